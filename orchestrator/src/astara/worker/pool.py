"""Run ready automata on a bounded number of threads.

Decides nothing; a thread takes a slot, lets its automaton walk, and gives it back. Must never die
of what one resource does. Started by `worker.process`.
"""

import logging
import threading
import time
import typing

from astara_contract import logline

from .. import tracing
from ..machine import outcome
from . import registry

if typing.TYPE_CHECKING:
    from collections.abc import Callable

LOG = logging.getLogger(__name__)

CRASH_PAUSE_S = 30.0


class Pool:
    """Threads on one registry."""

    def __init__(self, slots: registry.Registry, threads: int, halt: "Callable[[], bool]") -> None:
        self._slots = slots
        self._halt = halt
        self._doing: dict[str, tuple[str, float]] = {}  # by thread: resource, and since when
        self._threads = [
            threading.Thread(target=self._run, name=f"t{number:02d}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads after the registry was closed; False if one is still at work."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def doing(self) -> "list[tuple[str, bool, str, float]]":
        """Say of each thread: name, whether it lives, its resource or nothing, for how long."""
        now = time.monotonic()
        lines = []
        for thread in self._threads:
            resource_id, since_s = self._doing.get(thread.name, ("", now))
            lines.append((thread.name, thread.is_alive(), resource_id, now - since_s))
        return lines

    def _walk(self, slot: registry.Slot, traces: tuple[tracing.Asked, ...]) -> outcome.Outcome:
        named = slot.resource
        with (
            tracing.resumed("walk", traces, **{named.driver: named.id}) as trace,
            logline.about(named.driver, named.id, trace),
        ):
            ended = slot.automaton.run(self._halt)
            tracing.note(outcome=type(ended).__name__)
            return ended

    def _run(self) -> None:
        name = threading.current_thread().name
        while (slot := self._slots.take()) is not None:
            self._doing[name] = (slot.resource.id, time.monotonic())
            traces = slot.traces
            try:
                ended = self._walk(slot, traces)
            except Exception:  # the boundary of one walk: a bug costs this resource a pause
                LOG.exception("walk.crashed %s=%s", slot.resource.driver, slot.resource.id)
                ended = outcome.Wake(CRASH_PAUSE_S)
            self._slots.give_back(slot, ended, traces)
            self._doing[name] = ("", time.monotonic())
