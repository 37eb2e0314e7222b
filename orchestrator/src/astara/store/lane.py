"""Run calls in threads of their own and leave them behind when they are late.

A driver's own time-outs do not cover everything: libpq waits for ever for a server that is stopped
but whose kernel still acknowledges, and a resolver may hang. So no caller ever waits in a driver.
Decides nothing about the calls. When all threads are stuck, further calls fail at once. Used by
`database` alone.
"""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from . import errors

T = TypeVar("T")


class _Call(Generic[T]):
    """One call on its way, and its result."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # handed to the caller, whose it is
            self._error = error
        self._done.set()

    def result(self, timeout_s: float) -> T:
        if not self._done.wait(timeout_s):
            raise errors.Unavailable(f"the database did not answer within {timeout_s:g} s")
        if self._error is not None:
            raise self._error
        return self._result[0]


class Lane:
    """A few daemon threads, started when needed."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[_Call[object]] = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0

    def call(self, work: Callable[[], T], timeout_s: float) -> T:
        """Run `work` and give its result; raises what it raises, or `Unavailable` when late."""
        call = _Call(work)
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < self._width:
                self._threads += 1
                name = f"store-{self._threads}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
        self._calls.put(call)  # type: ignore[arg-type]  # the queue does not look at results
        return call.result(timeout_s)

    def _run(self) -> None:
        while True:
            self._calls.get().run()
            with self._lock:
                self._idle += 1
