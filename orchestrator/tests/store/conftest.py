"""Databases to test with: SQLite always, the servers where functional tests run."""

import contextlib
import pathlib
import sys
import types

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import throwaway_servers
from store_opening import opened

from astara.store import schema

FUNCTIONAL = [
    pytest.param("mariadb", marks=pytest.mark.functional),
    pytest.param("postgresql", marks=pytest.mark.functional),
]


@pytest.fixture(scope="session", params=["sqlite", *FUNCTIONAL])
def server(request, tmp_path_factory):
    """A server of each kind, shared by all tests of the session."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("store") / "astara.db"
        yield types.SimpleNamespace(url=f"sqlite:///{path}", process=None)
        return
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(getattr(throwaway_servers, request.param)())


@pytest.fixture
def base(server):
    """A database whose schema is the newest and whose tables are empty."""
    base = opened(server.url)
    if schema.current(base) is not None:
        schema.downgrade(base, "base")
    schema.upgrade(base)
    yield base
    base.close()
