"""Whose request runs, whose waits, whose is refused.

Decides that no client runs or keeps waiting more than its share, and that those who wait are
served in turn, client by client. A machine that boots asks for much at once, so that what is more
than its share waits a little before it is refused. Knows no sockets; called by `server` from all
its threads.
"""

import enum
import threading
from collections import OrderedDict, deque
from typing import Generic, TypeVar

_Call = TypeVar("_Call")


class Entry(enum.Enum):
    """What becomes of a call that has just come."""

    RUN = "run"
    WAIT = "wait"
    REFUSE = "refuse"


class Admission(Generic[_Call]):
    """The calls that run and those that wait, by client."""

    def __init__(self, running: int, running_of_one: int, waiting: int, waiting_of_one: int):
        self._free = running
        self._running_of_one = running_of_one
        self._room = waiting
        self._waiting_of_one = waiting_of_one
        self._running: dict[str, int] = {}
        self._waiting: OrderedDict[str, deque[_Call]] = OrderedDict()  # next client first
        self._lock = threading.Lock()

    def enter(self, client: str, call: _Call) -> Entry:
        """Take in a call: let its caller run it, keep it, or refuse it."""
        with self._lock:
            if self._free and self._may_run(client):
                self._run(client)
                return Entry.RUN
            queue = self._waiting.get(client, ())
            if not self._room or len(queue) >= self._waiting_of_one:
                return Entry.REFUSE
            self._waiting.setdefault(client, deque()).append(call)
            self._room -= 1
            return Entry.WAIT

    def leave(self, client: str) -> tuple[str, _Call] | None:
        """End a call that ran; give another one, and its client, to run in its place."""
        with self._lock:
            self._free += 1
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]
            for other in self._waiting:
                if self._may_run(other):
                    return other, self._next_of(other)
        return None

    def _may_run(self, client: str) -> bool:
        return self._running.get(client, 0) < self._running_of_one

    def _run(self, client: str) -> None:
        self._free -= 1
        self._running[client] = self._running.get(client, 0) + 1

    def _next_of(self, client: str) -> _Call:
        queue = self._waiting[client]
        call = queue.popleft()
        self._room += 1
        self._waiting.move_to_end(client)
        if not queue:
            del self._waiting[client]
        self._run(client)
        return call
