"""Read the debug modes again and again, and tell the registry when they changed.

Decides nothing. One query for all of them per interval; a database that is away is told once, and
the modes that are known stay in force. Runs in a thread of the worker.
"""

import logging
import threading
import typing

from .. import metrics, store

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from .. import clock
    from . import gate

LOG = logging.getLogger(__name__)


class DebugWatch:
    """Keeps one gate up to date."""

    def __init__(
        self,
        opened: store.Store,
        entrance: "gate.Gate",
        on_change: "Callable[[], object]",
        time: "clock.Clock",
        interval_s: float,
    ) -> None:
        self._store = opened
        self._gate = entrance
        self._on_change = on_change
        self._clock = time
        self._interval_s = interval_s
        self._ready = False
        self._failing = False
        self.seen_s: float | None = None  # when the modes were last read, by the monotonic clock

    def look(self) -> None:
        """Read the modes once; raises nothing of the database."""
        try:
            if not self._ready:
                self._store.make_ready()
                self._ready = True
            modes = self._store.debug.all()
        except store.StoreError as reason:
            if not self._failing:
                LOG.error("debug.unknown_for_now reason=%s", reason)
            self._failing = True
            return
        if self._failing:
            LOG.info("debug.known_again")
        self._failing = False
        self.seen_s = self._clock.monotonic()
        for scope in store.Scope:
            number = sum(mode.scope is scope for mode in modes)
            metrics.DEBUG_MODES.labels(scope).set(number)
        if self._gate.learn(modes):
            for mode in modes:
                LOG.info("debug.mode scope=%s subject=%s by=%s", mode.scope, mode.subject, mode.by)
            self._on_change()

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            try:
                self.look()
            except Exception:  # the boundary of one look: the next one may succeed
                LOG.exception("debug.crashed")
            stop.wait(self._clock.jitter(self._interval_s))
