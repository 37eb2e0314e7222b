"""Stages of the end-to-end tests: what a module needs in the cloud, made while others still run.

A module that wants one has a generator function `prepare(clouds)`, which makes the stage, yields
it and strikes it; its tests take the fixture `stage`. Stages are made one after the other in the
order of the modules, by a thread of their own: most of the time all that tests do is wait.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from openstack.connection import Connection

PATIENCE_S = 400


@dataclasses.dataclass(frozen=True, slots=True)
class Clouds:
    """The cloud in the eyes of its users."""

    tenant: "Connection"
    admin: "Connection"
    service: "Connection"


class Workshop:
    """Makes and strikes stages, one at a time."""

    def __init__(self, modules: list[ModuleType], clouds: Clouds) -> None:
        self._clouds = clouds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="workshop")
        self._struck: list[Future[Any]] = []
        self._made = {module: self._pool.submit(self._make, module) for module in modules}

    def _make(self, module: ModuleType) -> tuple[contextlib.ExitStack, Any]:
        with contextlib.ExitStack() as stack:
            stage = stack.enter_context(contextlib.contextmanager(module.prepare)(self._clouds))
            return stack.pop_all(), stage

    def stage(self, module: ModuleType) -> Any:
        """Return the module's stage; raises what its making raised."""
        return self._made[module].result(PATIENCE_S)[1]

    def strike(self, module: ModuleType) -> None:
        """Have the module's stage removed; failures show at the end."""
        made = self._made.pop(module)
        self._struck.append(self._pool.submit(lambda: made.result()[0].close()))

    def settle(self) -> None:
        """Wait until nothing is being made or struck."""
        self._pool.submit(lambda: None).result(PATIENCE_S)

    def close(self) -> None:
        """Strike what is left; raises the first failure."""
        for module in list(self._made):
            self.strike(module)
        self._pool.shutdown()
        for done in self._struck:
            done.result()


@pytest.fixture(scope="session")
def workshop(
    request: pytest.FixtureRequest,
    other_tenant: "Connection",
    admin: "Connection",
    service: "Connection",
) -> Iterator[Workshop]:
    modules = {
        item.module: None
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item.module, "prepare")
    }
    shop = Workshop(list(modules), Clouds(other_tenant, admin, service))
    yield shop
    shop.close()


@pytest.fixture(scope="module")
def stage(workshop: Workshop, request: pytest.FixtureRequest) -> Iterator[Any]:
    yield workshop.stage(request.module)
    workshop.strike(request.module)
