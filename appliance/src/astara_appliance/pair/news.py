"""The guard's word to the agent that the role has changed: an empty datagram, no data.

It wakes whoever waits; the role itself is read from the guard's state (`role.observe`), so a lost
or doubled word costs nothing but time. The guard never waits for the agent. Called by the guard
(`tell`) and by the watch loops (`Ear`).
"""

import contextlib
import select
import socket

from ..system import files
from .settings import Places


def tell(places: Places) -> None:
    """Wake the agent, if it is there to be woken."""
    with (
        contextlib.suppress(FileNotFoundError, ConnectionRefusedError, BlockingIOError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as speaker,
    ):
        speaker.sendto(b"", str(places.news))


class Ear:
    """Where the agent hears it; one for each life of the agent."""

    def __init__(self, places: Places) -> None:
        files.remove_file(places.news)
        places.news.parent.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(places.news))

    def wait(self, longest_s: float) -> None:
        """Return when something was told, or after `longest_s`."""
        if not select.select([self._socket], [], [], longest_s)[0]:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(16)
