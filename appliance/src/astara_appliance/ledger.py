"""Count what the pipeline did since the agent started.

It never decides anything and forgets all at a restart. Written by the pipeline; read by the API
for drift and metrics.
"""

import collections
import dataclasses
import enum
import threading
from collections.abc import Iterable, Mapping

from . import clock


class Event(enum.Enum):
    """What is counted; those of the second group by driver."""

    REFUSED = "refused"
    """A push that changed nothing: wrong in itself, or refused by a check."""

    STALE = "stale"
    """A push of somebody who owns the appliance no longer."""

    FAILED = "failed"
    """A push that was taken back."""

    TRIAL_CONFIRMED = "confirmed"
    TRIAL_ENDED = "ended"

    REPAIRED = "repaired"
    REPAIR_FAILED = "repair-failed"


@dataclasses.dataclass(slots=True)
class Spent:
    """How often a driver applied a change, and the seconds that it took in all."""

    times: int = 0
    seconds: float = 0.0


class Ledger:
    """The counts; safe to read while they grow."""

    def __init__(self) -> None:
        self._counts: collections.Counter[tuple[Event, str]] = collections.Counter()
        self._spent: dict[str, Spent] = {}
        self._repaired_at: dict[str, str] = {}
        self._lock = threading.Lock()

    def count(self, event: Event, drivers: Iterable[str] = ("",)) -> None:
        """Count `event` once, or once for each of `drivers`."""
        with self._lock:
            for driver in drivers:
                self._counts[event, driver] += 1
                if event is Event.REPAIRED:
                    self._repaired_at[driver] = clock.now()

    def spend(self, seconds: Mapping[str, float]) -> None:
        """Add the seconds that each driver took to apply a change."""
        with self._lock:
            for driver, spent in seconds.items():
                entry = self._spent.setdefault(driver, Spent())
                entry.times += 1
                entry.seconds += spent

    def times(self, event: Event, driver: str = "") -> int:
        """Return how often `event` happened."""
        return self._counts[event, driver]

    def repaired_at(self, driver: str) -> str | None:
        """Return when `driver` last put something right."""
        return self._repaired_at.get(driver)

    def spent(self, driver: str) -> Spent:
        """Return what `driver` took to apply changes so far."""
        return self._spent.get(driver, Spent())
