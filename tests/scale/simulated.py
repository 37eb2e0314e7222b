"""A simulator in a namespace of its own, for the tests that hold it to the real service."""

import contextlib
import pathlib
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import room as quarters
import world
from pyroute2 import netns

from lab import hosts

T = TypeVar("T")

HERE = pathlib.Path(__file__).resolve().parent
ROUTERS = 5
START_S = 120.0


@dataclass(frozen=True, slots=True)
class Room:
    """A namespace with a simulator."""

    name: str

    def inside(self, function: Callable[[], T]) -> T:
        """Call a function in a thread that lives there: sockets that it opens belong there."""
        return hosts.inside(self.name, function)


@contextlib.contextmanager
def room(simulator: str) -> Iterator[Room]:
    """Run a simulator of a few routers until the block ends."""
    made = Room(f"astara-{simulator}-{secrets.token_hex(4)}")
    netns.create(made.name)
    process = None
    try:
        _ip(made.name, "link", "set", "lo", "up")
        prefix = f"{world.PREFIX}/{world.PREFIX_LENGTH}"
        _ip(made.name, "-6", "route", "add", "local", prefix, "dev", "lo")
        argv = [sys.executable, str(HERE / f"{simulator}.py"), str(ROUTERS)]
        process = subprocess.Popen(["ip", "netns", "exec", made.name, *argv])
        quarters.wait_until(
            lambda: made.inside(lambda: _listens(simulator)), f"{simulator} answers", START_S, 0.1
        )
        yield made
    finally:
        if process is not None:
            process.kill()
            process.wait(20)
        netns.remove(made.name)


def _listens(simulator: str) -> bool:
    port = world.DOCUMENT_PORT if simulator == "appliances" else world.CLOUD_PORT
    host = world.address(0) if simulator == "appliances" else world.CLOUD_ADDRESS
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


def _ip(namespace: str, *words: str) -> None:
    subprocess.run(["ip", "-n", namespace, *words], check=True, timeout=30)
