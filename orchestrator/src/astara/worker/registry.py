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

from .. import events, metrics, tracing
from ..machine import automaton, instance_port, outcome, permit
from ..machine.vocabulary import Action, InstanceState
from . import turns

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .. import clock

LOG = logging.getLogger(__name__)

# So many walks that wait for a thread have what they will read in Neutron read together; fewer
# than the minimum read by themselves at once.
TOGETHER_MIN = 4
TOGETHER_MAX = 50

# One action of a tenant makes several notifications: whoever looks after the first of them alone
# looks again. It takes up to twice as long, so that many become ready, and are read, together.
SETTLE_S = 0.04

TRACES_MAX = 16  # traces that one walk may belong to

# What is asked again and again, and concerns the appliance alone.
_ROUTINE = frozenset({Action.POLL, Action.READ})

_Key = tuple["_By", str]  # what a hint is looked up by


class _By(enum.Enum):
    """What an id in a hint may be."""

    TENANT = enum.auto()
    NETWORK = enum.auto()
    PORT_NETWORK = enum.auto()  # a network whose ports are part of the document


class Phase(enum.Enum):
    """What a slot is doing."""

    IDLE = "idle"  # nothing to do
    READY = "ready"  # in the queue for a thread
    BRIEFED = "briefed"  # what it needs is being read, together with that of others
    RUNNING = "running"  # a thread is on it
    WAITING = "waiting"  # a timer will make it ready
    HELD = "held"  # nothing may be done to it now


class Slot:
    """One resource and its automaton."""

    __slots__ = (
        "audit_id",
        "automaton",
        "crc",
        "full",
        "held",
        "interrupts",
        "keys",
        "news",
        "phase",
        "resource",
        "stale",
        "timer",
        "traces",
        "wake_s",
    )

    def __init__(self, resource: events.Resource, machine: automaton.Automaton) -> None:
        self.resource = resource
        self.automaton = machine
        self.phase = Phase.IDLE
        self.keys: frozenset[_Key] = frozenset()
        self.full = False  # whether its next walk looks at Neutron, or at the appliance alone
        self.stale = False  # whether something was asked for while it was being briefed
        self.news = False  # whether something has changed since its walk began
        self.crc = zlib.crc32(resource.id.encode())
        self.interrupts: frozenset[Action] = frozenset()
        self.timer = 0  # the number of the timer that counts; others are stale
        self.wake_s = 0.0  # when the timer that counts is due
        self.audit_id = ""  # the last audit that named this resource
        self.traces: tuple[tracing.Asked, ...] = ()  # of events that no walk has ended yet
        self.held = ""  # why nothing may be done to it, while it is HELD


class Registry:
    """The slots of one worker."""

    def __init__(
        self,
        make: "Callable[[events.Resource], automaton.Automaton]",
        time: "clock.Clock",
        forward: "Callable[[events.Event], object]",
        ours: "Callable[[str], bool]" = lambda _resource_id: True,
        briefing: instance_port.Briefing | None = None,
        settle_s: float = 0.0,
    ) -> None:
        self._make = make
        self._settle_s = settle_s
        self._briefing = briefing
        self._clock = time
        self._forward = forward
        self._ours = ours
        self._changed = threading.Condition()
        self._slots: dict[str, Slot] = {}
        self._by_key: dict[_Key, set[str]] = {}
        self._blind: set[str] = set()  # those whose first walk has not looked yet
        self._turns: turns.Turns[Slot] = turns.Turns()
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
                metrics.EVENTS_DROPPED.labels("elsewhere").inc()
                return  # another node has heard of it as well
            slot = Slot(event.resource, self._make(event.resource))
            self._slots[event.resource.id] = slot
            self._blind.add(event.resource.id)
            self._set_keys(slot, frozenset({(_By.TENANT, event.resource.tenant_id)}))
        if event.recount:
            slot.automaton.instance.recount()
        if event.generation is not None:
            slot.audit_id = event.source
            if self._runs(slot, event.generation):
                metrics.EVENTS_DROPPED.labels("needless").inc()
                return
            metrics.AUDIT_FINDINGS.labels("behind").inc()
        changed = event.generation is None or (
            event.generation != slot.automaton.instance.generation
        )
        self._submit(slot, event.action, changed=changed, trace=event.trace)

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
            self._submit(slot, hint.action, changed=True, trace=hint.trace)

    def _meant(self, hint: events.Hint) -> "Iterable[Slot]":
        if not hint.network_id:
            names = self._by_key.get((_By.TENANT, hint.tenant_id), set())
        else:
            kind = _By.PORT_NETWORK if hint.port else _By.NETWORK
            # One that is on its first walk may have read Neutron just before what happened.
            names = self._by_key.get((kind, hint.network_id), set()) | self._blind
        return [self._slots[name] for name in sorted(names)]

    def _take_poll(self, poll: events.PollSlice) -> None:
        for slot in self._slots.values():
            if slot.crc % poll.of == poll.index:
                self._submit(slot, poll.action)

    def _take_audit_end(self, audit_id: str) -> None:
        unlisted = [slot for slot in self._slots.values() if slot.audit_id != audit_id]
        metrics.AUDIT_FINDINGS.labels("unlisted").inc(len(unlisted))
        for slot in unlisted:
            self._submit(slot, Action.UPDATE)
        LOG.info(
            "audit.ended audit=%s resources=%d unlisted=%d ready=%d timers=%d",
            audit_id,
            len(self._slots),
            len(unlisted),
            len(self._turns),
            len(self._timers),
        )

    def _submit(
        self, slot: Slot, action: Action, *, changed: bool = False, trace: str = ""
    ) -> None:
        """Ask for an action; `changed` says that there is a reason to try again what failed."""
        metrics.EVENTS.labels(action).inc()
        if slot.phase is not Phase.IDLE:
            metrics.EVENTS_MERGED.labels(action).inc()
        if action in _ROUTINE and slot.phase is not Phase.IDLE:
            metrics.EVENTS_DROPPED.labels("busy").inc()
            return  # it is being looked at, or will be by its timer; counters go on counting
        # Before the action is submitted: what was read until now may lack what it is about.
        self._outdate(slot)
        slot.full |= action not in _ROUTINE
        slot.automaton.submit(action)
        if trace and len(slot.traces) < TRACES_MAX:
            slot.traces = (*slot.traces, tracing.asked(trace))
        if slot.phase is Phase.IDLE and changed:
            self._wait(slot, self._settling_s(), frozenset())
            return
        if slot.phase is Phase.IDLE or (slot.phase is Phase.WAITING and action in slot.interrupts):
            self._make_ready(slot, poll=action in _ROUTINE)
            return
        if action not in _ROUTINE and slot.phase is Phase.READY:
            self._turns.hasten(slot)
        if changed and action is not Action.POLL:
            self._nudge(slot)

    def _settling_s(self) -> float:
        """Return the seconds until the next beat that is at least `settle_s` away."""
        beat_s = self._settle_s
        return beat_s + -(self._clock.monotonic() + beat_s) % beat_s if beat_s else 0.0

    def _nudge(self, slot: Slot) -> None:
        """Have a resource in ERROR tried soon: somebody may just have put right what was wrong."""
        if slot.phase is not Phase.WAITING:
            slot.news = True  # a walk that is on its way may have looked before
        elif (soon_s := slot.automaton.nudge()) is not None:
            self._wait(slot, soon_s, slot.interrupts)

    def _outdate(self, slot: Slot) -> None:
        slot.stale = True
        if self._briefing is not None:
            self._briefing.forget(slot.resource.id)

    # -- emptied by the pool ---------------------------------------------------------------------

    def _make_ready(self, slot: Slot, *, poll: bool = False) -> None:
        slot.phase = Phase.READY
        slot.timer = 0
        self._turns.add(slot, self._clock.monotonic(), poll=poll)
        self._changed.notify()

    def take(self) -> Slot | None:
        """Wait for a slot that may run and give it to this thread; None when all is over.

        While many are waiting, the thread first reads for a batch of them.
        """
        while True:
            with self._changed:
                if not self._wait_for_work():
                    return None
                batch = self._batch()
                if not batch:
                    slot = self._turns.next(self._clock.monotonic())
                    slot.phase = Phase.RUNNING
                    slot.full = slot.news = False
                    return slot
                new = [slot.resource.id for slot in batch if slot.resource.id in self._blind]
            self._brief(batch, new)

    def _wait_for_work(self) -> bool:
        """Wait until something is ready; False when all is over."""
        while not self._closed:
            next_s = self._fire_timers()
            if self._turns:
                return True
            self._changed.wait(next_s)
        return False

    def _batch(self) -> list[Slot]:
        """Take those that are to be briefed together off the queue; none if they are few."""
        if self._briefing is None:
            return []
        batch = self._turns.batch(TOGETHER_MIN, TOGETHER_MAX)
        for slot in batch:
            slot.phase, slot.stale = Phase.BRIEFED, False
        return batch

    def _brief(self, batch: list[Slot], new: list[str]) -> None:
        """Have read what a batch needs and queue it; no lock is held meanwhile."""
        try:
            if self._briefing is not None:
                self._briefing.prepare([slot.resource.id for slot in batch], new)
        finally:
            with self._changed:
                for slot in batch:
                    if slot.stale or not self._has(slot):
                        self._outdate(slot)
                    slot.phase = Phase.READY
                    self._turns.add_briefed(slot)
                self._changed.notify_all()

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

    def give_back(
        self, slot: Slot, ended: outcome.Outcome, traces: "tuple[tracing.Asked, ...]" = ()
    ) -> None:
        """Take a slot back from a thread and do what its outcome says.

        `traces` are those to which the walk belongs; they go on if it does.
        """
        with self._changed:
            over = isinstance(ended, outcome.Idle | outcome.Finished)
            slot.traces = slot.traces[len(traces) :] if over else slot.traces
            self._outdate(slot)
            if not self._has(slot):
                return  # it was left to another node before its turn came
            self._index(slot)
            match ended:
                case outcome.Finished():
                    self._drop(slot)
                case outcome.Misplaced(tenant_id, actions):
                    self._drop(slot)
                    self._forward_all(slot, tenant_id, actions)
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
        if slot.news and (soon_s := slot.automaton.nudge()) is not None:
            delay_s = soon_s
        slot.news = False
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
        self._remove(slot)

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
        """Note by what hints mean a slot that has just been walked."""
        instance = slot.automaton.instance
        self._blind.discard(slot.resource.id)
        tenants = {instance.tenant_id, slot.resource.tenant_id}
        keys = frozenset(
            [(_By.TENANT, tenant) for tenant in tenants]
            + [(_By.NETWORK, network) for network in instance.networks]
            + [(_By.PORT_NETWORK, network) for network in instance.port_networks]
        )
        if keys != slot.keys:
            self._set_keys(slot, keys)

    def _set_keys(self, slot: Slot, keys: frozenset[_Key]) -> None:
        for key in slot.keys - keys:
            self._by_key[key].discard(slot.resource.id)
            if not self._by_key[key]:
                del self._by_key[key]
        for key in keys - slot.keys:
            self._by_key.setdefault(key, set()).add(slot.resource.id)
        slot.keys = keys

    def _has(self, slot: Slot) -> bool:
        return self._slots.get(slot.resource.id) is slot

    def _remove(self, slot: Slot) -> None:
        self._set_keys(slot, frozenset())
        self._outdate(slot)
        self._blind.discard(slot.resource.id)
        slot.timer = 0
        del self._slots[slot.resource.id]

    def _drop(self, slot: Slot) -> None:
        self._remove(slot)
        if slot.automaton.pending and slot.automaton.pending != {Action.DELETE}:
            # Something arrived in the last moment: let a new automaton look.
            for event in self._events(slot, slot.resource, slot.automaton.pending, "left over"):
                self._take_event(event)

    def _forward_all(self, slot: Slot, tenant_id: str, actions: frozenset[Action]) -> None:
        owned = events.Resource(slot.resource.driver, slot.resource.id, tenant_id)
        LOG.info("resource.forwarded %s=%s tenant=%s", owned.driver, owned.id, tenant_id)
        for event in self._events(slot, owned, actions, "forwarded"):
            self._forward(event)

    @staticmethod
    def _events(
        slot: Slot, resource: events.Resource, actions: frozenset[Action], source: str
    ) -> "Iterator[events.Event]":
        """Ask again for actions, so that each trace that a slot belongs to goes on; an event has
        room for one.
        """
        traces = [each.context for each in slot.traces]
        surplus = [min(actions)] * (len(traces) - len(actions)) if actions else []
        for action, trace in itertools.zip_longest([*sorted(actions), *surplus], traces):
            if action is not None:
                yield events.Event(resource, action, source=source, trace=trace or "")

    # -- the whole -------------------------------------------------------------------------------

    def close(self) -> None:
        """End: threads that wait in `take` get None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def count(self) -> int:
        """How many resources there are."""
        return len(self._slots)

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
                self._submit(slot, action, changed=True)
            return slot is not None

    def census(self) -> dict[str, int]:
        """Count slots by phase, for the log and for tests."""
        with self._changed:
            counts = {phase.value: 0 for phase in Phase}
            for slot in self._slots.values():
                counts[slot.phase.value] += 1
            return counts
