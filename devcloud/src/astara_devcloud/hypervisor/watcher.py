"""Notices guests that end by themselves, so that Nova soon shows them as SHUTOFF.

It only tells; it must never start or stop anything. One daemon thread of nova-compute, started by
the driver.
"""

import contextlib
import logging
import threading
from collections.abc import Callable

from . import lifecycle
from .store import Store

LOG = logging.getLogger(__name__)
INTERVAL_S = 1.0

Lock = Callable[[str], contextlib.AbstractContextManager[object]]


class Watcher:
    """Looks at every server once a second and reports each vanished guest once."""

    def __init__(self, store: Store, lock: Lock, tell: Callable[[str], None]) -> None:
        self._store = store
        self._lock = lock
        self._tell = tell
        self._told: dict[str, int] = {}

    def overlook(self) -> None:
        """Take no notice of guests that are gone already: somebody else sees to them."""
        for uuid in self._store.uuids():
            pid = self._store.recorded_pid(uuid)
            if pid is not None and self._is_news(uuid):
                self._told[uuid] = pid

    def start(self) -> None:
        """Watch from now on, for the life of this process."""
        threading.Thread(target=self._watch, name="guest-watcher", daemon=True).start()

    def look(self) -> list[str]:
        """Report the guests that vanished since the last look; return their uuids."""
        uuids = self._store.uuids()
        self._told = {uuid: pid for uuid, pid in self._told.items() if uuid in uuids}
        vanished = [uuid for uuid in uuids if self._vanished(uuid)]
        for uuid in vanished:
            self._tell(uuid)
        return vanished

    def _vanished(self, uuid: str) -> bool:
        if not self._is_news(uuid):
            return False
        with self._lock(uuid):  # a stop or reboot under way is no news once it is over
            if not self._is_news(uuid):
                return False
            pid = self._store.recorded_pid(uuid)
            if pid is not None:
                self._told[uuid] = pid
            return True

    def _is_news(self, uuid: str) -> bool:
        pid = self._store.recorded_pid(uuid)
        if pid is None or self._told.get(uuid) == pid:
            return False
        return lifecycle.running_pid(self._store, uuid) is None

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(INTERVAL_S):
            try:
                self.look()
            except Exception:
                LOG.exception("looking at the guests failed, trying again in %s s", INTERVAL_S)
