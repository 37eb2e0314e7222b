"""Who of those that are ready is next: changes before polls, but never without any poll.

When a worker has more to do than it can, tenants who wait for a change should not wait for looks
at thousands of healthy appliances, nor may a dead one stay unseen: a look that has waited for
seconds gets turns, and never all of them. Pure, without a lock of its own. Owned by `registry`.
"""

from collections import deque
from typing import Generic, Protocol, TypeVar

from .. import events

POLL_PATIENCE_S = 5.0  # how long polls wait for changes
POLL_EVERY = 4  # then one turn of so many is a poll's


class Waiting(Protocol):
    """One resource that waits for its turn; `full`: it needs a whole reading."""

    resource: events.Resource
    full: bool


Slot = TypeVar("Slot", bound=Waiting)


class Turns(Generic[Slot]):
    """Queues of slots; one that waits for a poll may become urgent at any time."""

    def __init__(self) -> None:
        self._ready: deque[Slot] = deque()
        self._briefed: deque[Slot] = deque()  # what they need has been read
        self._polls: dict[str, tuple[Slot, float]] = {}  # and since when, in that order
        self._count = 0

    def __len__(self) -> int:
        return len(self._ready) + len(self._briefed) + len(self._polls)

    def add(self, slot: Slot, now: float, *, poll: bool) -> None:
        """Queue a slot at `now` (monotonic, in s)."""
        if poll:
            self._polls[slot.resource.id] = slot, now
        else:
            self._ready.append(slot)

    def add_briefed(self, slot: Slot) -> None:
        """Queue a slot for which all has been read; it goes before the others."""
        self._briefed.append(slot)

    def hasten(self, slot: Slot) -> None:
        """Move a slot that waits for a poll to the changes; nothing for any other."""
        if self._polls.pop(slot.resource.id, None) is not None:
            self._ready.append(slot)

    def next(self, now: float) -> Slot:
        """Take the next slot off its queue at `now`; there must be one."""
        changes = self._briefed or self._ready
        self._count += 1
        if self._polls and (not changes or self._is_a_polls(now)):
            slot, _ = self._polls.pop(next(iter(self._polls)))
            return slot
        return changes.popleft()

    def _is_a_polls(self, now: float) -> bool:
        _, since = self._polls[next(iter(self._polls))]
        return now - since >= POLL_PATIENCE_S and self._count % POLL_EVERY == 0

    def batch(self, least: int, most: int) -> list[Slot]:
        """Take those off whose need can be read together; none while some wait that have it."""
        if self._briefed or len(self._ready) < least:
            return []
        found: list[Slot] = []
        while self._ready and self._ready[0].full and len(found) < most:
            found.append(self._ready.popleft())
        return found
