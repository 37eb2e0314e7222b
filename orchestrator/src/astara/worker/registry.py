"""Keep the automata of one worker: who exists, who may run, who waits, who is meant by a hint.

Decides who runs next and never runs two threads on one resource. Pure bookkeeping under one lock;
no I/O, no waiting. The inbox feeds it (`handle`), the pool empties it (`take`, `give_back`).
"""

import enum
import heapq
import itertools
import logging
import threading
import typing
import zlib
from collections import deque

from .. import events
from ..machine import automaton, outcome, permit
from ..machine.vocabulary import Action, InstanceState

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .. import clock

LOG = logging.getLogger(__name__)


_Key = tuple[bool, str]  # (only ports?, network id): what a hint is looked up by


class Phase(enum.Enum):
    """What a slot is doing."""

    IDLE = "idle"  # nothing to do
    READY = "ready"  # in the queue for a thread
    RUNNING = "running"  # a thread is on it
    WAITING = "waiting"  # a timer will make it ready
    HELD = "held"  # nothing may be done to it now


class Slot:
    """One resource and its automaton."""

    __slots__ = (
        "audit_id",
        "automaton",
        "held",
        "interrupts",
        "keys",
        "phase",
        "resource",
        "timer",
        "wake_s",
    )

    def __init__(self, resource: events.Resource, machine: automaton.Automaton) -> None:
        self.resource = resource
        self.automaton = machine
        self.phase = Phase.IDLE
        self.keys: frozenset[_Key] | None = None  # None until the first walk has looked
        self.interrupts: frozenset[Action] = frozenset()
        self.timer = 0  # the number of the timer that counts; others are stale
        self.wake_s = 0.0  # when the timer that counts is due
        self.audit_id = ""  # the last audit that named this resource
        self.held = ""  # why nothing may be done to it, while it is HELD


def slice_of(resource_id: str, slices: int) -> int:
    """Give the slice of the health period in which a resource is polled."""
    return zlib.crc32(resource_id.encode()) % slices


class Registry:
    """The slots of one worker."""

    def __init__(
        self,
        make: "Callable[[events.Resource], automaton.Automaton]",
        time: "clock.Clock",
        forward: "Callable[[events.Event], object]",
        ours: "Callable[[str], bool]" = lambda _resource_id: True,
    ) -> None:
        self._make = make
        self._clock = time
        self._forward = forward
        self._ours = ours
        self._changed = threading.Condition()
        self._slots: dict[str, Slot] = {}
        self._by_key: dict[_Key, set[str]] = {}
        self._ready: deque[Slot] = deque()
        self._timers: list[tuple[float, int, Slot]] = []
        self._timer_numbers = itertools.count(1)
        self._closed = False

    # -- fed by the inbox ------------------------------------------------------------------------

    def handle(self, message: events.Message) -> None:
        """Take in one message."""
        with self._changed:
            match message:
                case events.Event():
                    self._take_event(message)
                case events.Hint():
                    self._take_hint(message)
                case events.PollSlice():
                    self._take_poll(message)
                case events.AuditEnd():
                    self._take_audit_end(message.audit_id)
                case _:
                    LOG.error("message.misdirected message=%s", type(message).__name__)

    def _take_event(self, event: events.Event) -> None:
        slot = self._slots.get(event.resource.id)
        if slot is None:
            if not self._ours(event.resource.id):
                return  # another node has heard of it as well
            slot = Slot(event.resource, self._make(event.resource))
            self._slots[event.resource.id] = slot
        if event.generation is not None:
            slot.audit_id = event.source
            if self._runs(slot, event.generation):
                return
        self._submit(slot, event.action)

    @staticmethod
    def _runs(slot: Slot, generation: str) -> bool:
        """Tell whether the instance is known to run what Neutron has now."""
        instance = slot.automaton.instance
        return (
            slot.phase is Phase.IDLE
            and instance.state is InstanceState.CONFIGURED
            and instance.applied_generation == generation
        )

    def _take_hint(self, hint: events.Hint) -> None:
        for slot in self._meant(hint):
            self._submit(slot, hint.action)

    def _meant(self, hint: events.Hint) -> "Iterable[Slot]":
        if not hint.network_id:
            return [
                slot
                for slot in self._slots.values()
                if hint.tenant_id in (slot.resource.tenant_id, slot.automaton.instance.tenant_id)
            ]
        known = self._by_key.get((hint.port, hint.network_id), set())
        # One that is on its first walk may have read Neutron just before what the hint is about.
        blind = (slot for slot in self._slots.values() if slot.keys is None)
        return [*(self._slots[name] for name in sorted(known)), *blind]

    def _take_poll(self, poll: events.PollSlice) -> None:
        for resource_id, slot in self._slots.items():
            if slice_of(resource_id, poll.of) == poll.index:
                self._submit(slot, Action.POLL)

    def _take_audit_end(self, audit_id: str) -> None:
        unlisted = [slot for slot in self._slots.values() if slot.audit_id != audit_id]
        for slot in unlisted:
            self._submit(slot, Action.UPDATE)
        LOG.info(
            "audit.ended audit=%s resources=%d unlisted=%d ready=%d timers=%d",
            audit_id,
            len(self._slots),
            len(unlisted),
            len(self._ready),
            len(self._timers),
        )

    def _submit(self, slot: Slot, action: Action) -> None:
        if action is Action.POLL and slot.phase is not Phase.IDLE:
            return  # it is being looked at, or will be by its timer
        slot.automaton.submit(action)
        if slot.phase is Phase.IDLE or (slot.phase is Phase.WAITING and action in slot.interrupts):
            self._make_ready(slot)

    # -- emptied by the pool
    # -----------------------------------------------------------------------

    def _make_ready(self, slot: Slot) -> None:
        slot.phase = Phase.READY
        slot.timer = 0
        self._ready.append(slot)
        self._changed.notify()

    def take(self) -> Slot | None:
        """Wait for a slot that may run and give it to this thread; None when all is over."""
        with self._changed:
            while not self._closed:
                next_s = self._fire_timers()
                if self._ready:
                    slot = self._ready.popleft()
                    slot.phase = Phase.RUNNING
                    return slot
                self._changed.wait(next_s)
        return None

    def _fire_timers(self) -> float | None:
        """Make ready what is due; give the seconds until the next timer, None without one."""
        now = self._clock.monotonic()
        while self._timers:
            at, number, slot = self._timers[0]
            if slot.timer != number:
                heapq.heappop(self._timers)  # it was interrupted or dropped
            elif at > now:
                return at - now
            else:
                heapq.heappop(self._timers)
                self._make_ready(slot)
        return None

    def give_back(self, slot: Slot, ended: outcome.Outcome) -> None:
        """Take a slot back from a thread and do what its outcome says."""
        with self._changed:
            self._index(slot)
            match ended:
                case outcome.Finished():
                    self._drop(slot)
                case outcome.Misplaced(tenant_id, actions):
                    self._drop(slot)
                    self._forward_all(slot.resource, tenant_id, actions)
                case outcome.Wake(delay_s, interrupts):
                    self._wait(slot, delay_s, interrupts)
                case outcome.Held(reason):
                    self._hold(slot, reason)
                    self._reconsider(slot)  # it may have been freed since it asked
                case outcome.Released(reason):
                    self._release(slot, reason)
                case outcome.Idle():
                    slot.phase = Phase.IDLE
                    if slot.automaton.pending:
                        self._make_ready(slot)

    def _wait(self, slot: Slot, delay_s: float, interrupts: frozenset[Action]) -> None:
        if delay_s <= 0 or slot.automaton.pending & interrupts:
            self._make_ready(slot)
            return
        slot.phase = Phase.WAITING
        slot.interrupts = interrupts
        slot.timer = next(self._timer_numbers)
        slot.wake_s = self._clock.monotonic() + delay_s
        heapq.heappush(self._timers, (slot.wake_s, slot.timer, slot))
        self._changed.notify()  # a thread that sleeps for longer must learn of it

    def _hold(self, slot: Slot, reason: str) -> None:
        if slot.held != reason:
            LOG.info(
                "resource.held %s=%s reason=%s", slot.resource.driver, slot.resource.id, reason
            )
        slot.phase = Phase.HELD
        slot.held = reason

    def _release(self, slot: Slot, reason: str) -> None:
        """Drop a slot of which another node takes care, whatever is pending."""
        LOG.info("resource.left %s=%s reason=%s", slot.resource.driver, slot.resource.id, reason)
        self._unindex(slot)
        slot.timer = 0
        del self._slots[slot.resource.id]

    def reconsider(self, *, everything: bool) -> None:
        """Look again at what may be done: to what is held, or to `everything`.

        What is running finds out by itself before its next step.
        """
        with self._changed:
            for slot in list(self._slots.values()):
                if slot.phase is Phase.HELD or (everything and slot.phase is not Phase.RUNNING):
                    self._reconsider(slot)

    def _reconsider(self, slot: Slot) -> None:
        """Hold, free or drop one slot that is not running.

        What is freed is looked at afresh: something may have changed while nobody looked.
        """
        ruling = slot.automaton.ruling()
        if ruling.permit is permit.Permit.LEAVE:
            slot.automaton.instance.let_go()
            self._release(slot, ruling.reason)
        elif ruling.permit is permit.Permit.HOLD and slot.phase in (Phase.IDLE, Phase.HELD):
            self._hold(slot, ruling.reason)
        elif ruling.permit is permit.Permit.GO and slot.phase is Phase.HELD:
            LOG.info("resource.freed %s=%s", slot.resource.driver, slot.resource.id)
            slot.held = ""
            slot.automaton.submit(Action.UPDATE)
            self._make_ready(slot)

    def _index(self, slot: Slot) -> None:
        instance = slot.automaton.instance
        keys = frozenset(
            [(False, network) for network in instance.networks]
            + [(True, network) for network in instance.port_networks]
        )
        if keys != slot.keys:
            self._unindex(slot)
            for key in keys:
                self._by_key.setdefault(key, set()).add(slot.resource.id)
            slot.keys = keys

    def _unindex(self, slot: Slot) -> None:
        for key in slot.keys or frozenset():
            self._by_key[key].discard(slot.resource.id)
            if not self._by_key[key]:
                del self._by_key[key]
        slot.keys = None

    def _drop(self, slot: Slot) -> None:
        self._unindex(slot)
        slot.timer = 0
        del self._slots[slot.resource.id]
        if slot.automaton.pending and slot.automaton.pending != {Action.DELETE}:
            # Something arrived in the last moment: let a new automaton look.
            for action in slot.automaton.pending:
                self._take_event(events.Event(slot.resource, action, source="left over"))

    def _forward_all(
        self, resource: events.Resource, tenant_id: str, actions: frozenset[Action]
    ) -> None:
        owned = events.Resource(resource.driver, resource.id, tenant_id)
        LOG.info("resource.forwarded %s=%s tenant=%s", owned.driver, owned.id, tenant_id)
        for action in actions:
            self._forward(events.Event(owned, action, source="forwarded"))

    # -- the whole
    # -----------------------------------------------------------------------------------

    def close(self) -> None:
        """End: threads that wait in `take` get None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def slot(self, resource_id: str) -> Slot | None:
        """Give the slot of a resource to look at; None if this worker has none."""
        with self._changed:
            return self._slots.get(resource_id)

    def all_slots(self) -> list[Slot]:
        """Give all slots, to look at without the lock: they change meanwhile."""
        with self._changed:
            return list(self._slots.values())

    def submit(self, resource_id: str, action: Action) -> bool:
        """Ask for an action on a resource that is here; False if it is not."""
        with self._changed:
            slot = self._slots.get(resource_id)
            if slot is not None:
                self._submit(slot, action)
            return slot is not None

    def census(self) -> dict[str, int]:
        """Count slots by phase, for the log and for tests."""
        with self._changed:
            counts = {phase.value: 0 for phase in Phase}
            for slot in self._slots.values():
                counts[slot.phase.value] += 1
            return counts
