"""Finds ports that Neutron's openvswitch agent forgot, and puts them into their bridge again.

The agent hears of a new port over one connection to OVSDB and looks it up over another. If that
one lags, the port "was not found on the integration bridge", and nothing makes the agent look
again: the guest would stay cut off for good. A port that the agent has seen to bears a VLAN tag,
also one that is administratively down. It decides which ports have waited too long for theirs; it
must never touch a port that is no guest's. One daemon thread of nova-compute, started by the
driver.
"""

import logging
import threading
import time
from collections.abc import Collection

from . import vif
from .store import Nic, Store
from .watcher import Lock

LOG = logging.getLogger(__name__)
INTERVAL_S = 2.0
# The agent looks once a second. Twice as long each time: an agent that is slow, or away, must not
# be given ever more to do.
FIRST_PATIENCE_S = 10.0
LONGEST_PATIENCE_S = 160.0


class Patience:
    """How long each port has been without a tag, and how long it may be."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[float, float]] = {}  # tap: (deadline, patience), s

    def overdue(self, taps: Collection[str], now: float) -> list[str]:
        """Return those of the untagged ports that waited too long; their wait begins anew."""
        fresh = (now + FIRST_PATIENCE_S, FIRST_PATIENCE_S)
        self._waiting = {tap: self._waiting.get(tap, fresh) for tap in taps}
        late = sorted(tap for tap, (deadline, _) in self._waiting.items() if deadline <= now)
        for tap in late:
            patience = min(2 * self._waiting[tap][1], LONGEST_PATIENCE_S)
            self._waiting[tap] = (now + patience, patience)
        return late


class Mender:
    """Looks for forgotten ports every few seconds, for the life of this process."""

    def __init__(self, store: Store, lock: Lock) -> None:
        self._store = store
        self._lock = lock
        self._patience = Patience()

    def start(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._watch, name="wiring-mender", daemon=True).start()

    def look(self, now: float) -> None:
        """Plug again what has waited too long at `now` (monotonic, in s)."""
        owners = self._owners()
        for tap in self._patience.overdue(owners.keys() - vif.tagged(), now):
            uuid = owners[tap]
            LOG.warning("port %s of server %s is not wired, plugging it again", tap, uuid)
            with self._lock(uuid):  # it may be gone by now
                vif.replug(uuid, [nic for nic in self._store.nics(uuid) if nic.tap == tap])

    def _owners(self) -> dict[str, str]:
        def nics(uuid: str) -> list[Nic]:
            return [nic for nic in self._store.nics(uuid) if vif.plugged(nic)]

        return {nic.tap: uuid for uuid in self._store.uuids() for nic in nics(uuid)}

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(INTERVAL_S):
            try:
                self.look(time.monotonic())
            except Exception:
                LOG.exception("looking for forgotten ports failed, again in %s s", INTERVAL_S)
