"""Order of the whole suite, and the one devcloud that its end to end tests share.

The cloud is started by the first test that wants it and removed at the end. One that was running
before is used as it is and left running; data of an earlier one, and of a failed run, stay.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from openstack.connection import Connection


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run quick tests first, those that need the cloud last."""

    def cost(item: pytest.Item) -> int:
        return 2 * bool(item.get_closest_marker("cloud")) + bool(
            item.get_closest_marker("functional")
        )

    items.sort(key=cost)


@pytest.fixture(scope="session")
def tell(request: pytest.FixtureRequest) -> "Callable[[str], None]":
    """Print a line that is seen although the output of tests is captured."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(line)

    return write


@pytest.fixture(scope="session")
def devcloud(request: pytest.FixtureRequest, tell: "Callable[[str], None]") -> Iterator[None]:
    """Have the devcloud running, orchestrator included."""
    from astara_devcloud import layout, lifecycle

    where = layout.current_layout()
    # A start takes a minute or two.
    started = lifecycle.up(where, (), lambda text: tell(f"devcloud: {text}"))
    tell(f"devcloud: {started.kind} in {started.seconds:.1f} s")
    yield
    if started.kind == "already up":
        return
    if started.kind == "cold start" and not request.session.testsfailed:
        lifecycle.wipe(where, lambda text: None)
    else:
        lifecycle.down(where, lambda text: None)
        tell(f"devcloud: stopped; logs and data are in {where.root}")


@pytest.fixture(scope="session")
def admin(devcloud: None) -> "Connection":
    """The cloud's administrator."""
    return _connect("admin")


@pytest.fixture(scope="session")
def service(devcloud: None) -> "Connection":
    """Astara's own user: roles admin and service in the service project."""
    return _connect("service")


@pytest.fixture(scope="session")
def tenant(devcloud: None) -> "Connection":
    """A plain member of the project ``demo``."""
    return _connect("tenant")


@pytest.fixture(scope="session")
def other_tenant(devcloud: None) -> "Connection":
    """A plain member of another project."""
    return _connect("other")


def _connect(user: str) -> "Connection":
    from astara_devcloud import clients

    return clients.connect(user)
