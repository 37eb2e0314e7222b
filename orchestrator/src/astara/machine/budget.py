"""Decide how many silent appliances health may give up: single faults, and not a whole outage.

When the management network fails, appliances go on serving their tenants and all of them are
silent to us at once. Replacing them would turn an outage of ours into one of theirs. So in any
window of time a worker gives up only a few, by number or by share of what it serves, whichever is
more; the others are asked again and again until they answer or their turn comes. Servers that Nova
says are gone cost no budget. Pure but for the clock; one for all automata of a worker.
"""

import dataclasses
import threading
import typing
from collections import deque

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from .. import clock


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How much may be given up; see the options `health_rebuild_*`."""

    number: int = 3
    share: float = 0.02
    window_s: float = 600.0


class Budget:
    """The rebuilds that were decided lately; safe to share between threads."""

    def __init__(self, limits: Limits, owned: "Callable[[], int]", time: "clock.Clock") -> None:
        self._limits = limits
        self._owned = owned
        self._clock = time
        self._lock = threading.Lock()
        self._spent: deque[float] = deque()

    def adopt(self, limits: Limits) -> None:
        """Go on with other limits; what was spent counts against them."""
        with self._lock:
            self._limits = limits

    def spend(self) -> str:
        """Take one from the budget: "" if there was one, else a sentence that says why not."""
        owned = self._owned()
        with self._lock:
            now, limits = self._clock.monotonic(), self._limits
            while self._spent and self._spent[0] <= now - limits.window_s:
                self._spent.popleft()
            most = max(limits.number, int(limits.share * owned))
            if len(self._spent) < most:
                self._spent.append(now)
                return ""
            return (
                f"{len(self._spent)} silent appliances were given up within "
                f"{limits.window_s:.0f} s, which is the budget: is the management network well?"
            )

    def left(self) -> int:
        """Give how many may be given up now."""
        owned = self._owned()
        with self._lock:
            since = self._clock.monotonic() - self._limits.window_s
            spent = sum(moment > since for moment in self._spent)
            return max(0, max(self._limits.number, int(self._limits.share * owned)) - spent)


def unlimited() -> str:
    """Be the budget of an automaton that stands alone."""
    return ""
