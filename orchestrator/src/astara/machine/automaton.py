"""Walk one resource through the table: execute a state, look what came out, take the row.

Decides what is counted; the table decides where to, `patience` how long. Must never wait or hold a
thread: a pause is handed back as "wake me in so many seconds". Driven by `astara.worker`, by at
most one thread at a time; `submit` may come from another.
"""

import logging
import threading
import typing

from .. import metrics, tracing
from . import budget, history, instance_port, permit, table
from .collapse import collapse
from .outcome import Finished, Held, Idle, Misplaced, Outcome, Released, Wake
from .patience import NEVER, Patience, Policy
from .table import Fact, Pause
from .vocabulary import Action, InstanceState, WalkState

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from .. import clock

LOG = logging.getLogger(__name__)

# A walk that takes this many steps without a pause gives its thread to the next resource.
STEPS_PER_TURN = 24
_ANSWERED_ONCE = (InstanceState.UP, InstanceState.CONFIGURED, InstanceState.HOTPLUG_NEEDED)
_STOPPED = (InstanceState.DOWN, InstanceState.GONE)
# States whose failing execution is given up after a while, and the wait that counts.
_DEADLINES = {
    WalkState.CREATE_VM: "create",
    WalkState.STOP_VM: "stop",
    WalkState.REBUILD_VM: "stop",
}
_ROUTINE = (WalkState.CALC_ACTION, WalkState.ALIVE, WalkState.STATS)


class _ElsewhereError(Exception):
    """Stop the walk: the resource belongs to another worker."""


class Automaton:
    """The state machine of one resource."""

    def __init__(
        self,
        instance: instance_port.Instance,
        policy: Policy,
        time: "clock.Clock",
        owns: "Callable[[str], bool]" = lambda _tenant_id: True,
        moves: history.History | None = None,
        gate: "Callable[[str], permit.Ruling]" = permit.always,
        give_up: "Callable[[], str]" = budget.unlimited,
    ) -> None:
        self.instance = instance
        self.history = moves or history.History(time)
        self.state = WalkState.CALC_ACTION
        self.action: Action | None = None
        self._policy = policy
        self._patience = Patience(policy, time)
        self._owns = owns
        self._gate = gate
        self._give_up = give_up
        self._lock = threading.Lock()
        self._pending: set[Action] = set()
        self._observed = False
        self._fresh = False  # whether the step before has looked at everything
        self._boots = 0  # boots since the last success
        self._refusals = 0  # documents refused since the last success
        self._misses = 0  # silent probes in a row
        self._looks = 0  # looks at a booting server
        self._after_s = 0.0  # what the other side asked for before a retry
        self._said = ""  # why the step that was just executed failed
        self._told: set[tuple[str, ...]] = set()  # what the log said since the walk began
        self._clock = time
        self._asked_s: float | None = None  # since when something has been asked for
        self._entered_s = time.monotonic()  # when the instance entered its state

    # -- what others may ask, from any thread -----------------------------------------------------

    def submit(self, action: Action) -> None:
        """Keep an action for the walk; merged with others when the walk comes to CalcAction."""
        with self._lock:
            if self._asked_s is None:
                self._asked_s = self._clock.monotonic()
            self._pending.add(action)

    @property
    def pending(self) -> frozenset[Action]:
        """Give the actions that no walk has taken up yet."""
        with self._lock:
            return frozenset(self._pending)

    def ruling(self) -> permit.Ruling:
        """Say whether anything may be done to the resource now."""
        return self._gate(self.instance.tenant_id or self.instance.resource.tenant_id)

    def adopt(self, policy: Policy) -> None:
        """Go on with other budgets and times."""
        self._policy = policy
        self._patience.adopt(policy)

    def nudge(self) -> float | None:
        """Say how soon ERROR may be left because something has changed; None if it is not cooling.

        Not to be called while a thread walks.
        """
        return self._patience.hurry() if self._patience.cooling else None

    @property
    def attempts(self) -> int:
        """Give how often a boot or a document failed in a row."""
        return max(self._boots, self._refusals, self._misses)

    # -- the walk ---------------------------------------------------------------------------------

    def run(self, halt: "Callable[[], bool]" = lambda: False) -> Outcome:
        """Walk until nothing is to be done, a pause is due, the turn is over, or `halt`."""
        if Action.DELETE in self.pending:
            self.state = WalkState.CALC_ACTION  # a deletion waits for nothing
        for _ in range(STEPS_PER_TURN):
            if (ruling := self.ruling()).permit is not permit.Permit.GO:
                return self._stand_down(ruling)
            if self.state is WalkState.CALC_ACTION and not self._take_pending():
                return Idle()
            try:
                row = self._step()
            except _ElsewhereError:
                return Misplaced(self.instance.tenant_id, self._abandon())
            except instance_port.Fenced as reason:
                return self._stand_down(permit.Ruling(permit.Permit.LEAVE, str(reason)))
            if row.next is WalkState.EXIT:
                return Finished()
            if row.pause is Pause.DONE:
                self._end_walk()
                return Idle()
            if row.pause is not Pause.NONE:
                return Wake(self._pause_s(row.pause), table.INTERRUPTS[row.pause])
            if halt():
                break
        return Wake(0.0)

    def _take_pending(self) -> bool:
        """Merge what was asked into the action of the walk; tell whether there is one."""
        with self._lock:
            self.action, rest = collapse(self.action, self._pending)
            self._pending = set(rest)
        return self.action is not None

    def _abandon(self) -> frozenset[Action]:
        """Give up all that was asked, for another worker to do."""
        with self._lock:
            actions = {*self._pending, *([self.action] if self.action else [])}
            self._pending.clear()
        self.action = None
        return frozenset(actions)

    def _stand_down(self, ruling: permit.Ruling) -> Held | Released:
        """End the walk without a further step; the next one looks at everything afresh."""
        actions = self._abandon()
        self.state = WalkState.CALC_ACTION
        self._boots = self._refusals = self._misses = self._looks = 0
        self._patience.afresh()
        self._told.clear()
        if ruling.permit is permit.Permit.LEAVE:
            self.instance.let_go()
            return Released(ruling.reason)
        for action in actions:
            self.submit(action)
        return Held(ruling.reason)

    def _end_walk(self) -> None:
        self._count_walk()
        self.action = None
        self.instance.end_walk()
        self._patience.progress()
        self._told.clear()

    def _step(self) -> table.Row:
        if self.action is None:
            raise RuntimeError(f"{self.state} without action")
        before = self.instance.state
        with tracing.span(self.state, action=self.action):
            facts, seen = self._attempt(self.action)
            view = table.View(self.action, seen, facts)
            row = table.decide(self.state, view)
            tracing.note(instance=seen, next=row.next, reason=row.reason, failure=self._said)
        metrics.TRANSITIONS.labels(row.state, row.next).inc()
        if seen is not before:
            self._count_state(before)
        self._log_step(row, view)
        self.history.note(row, view, self._said)
        if row.gives_up:
            self.instance.set_error(row.reason)
            self._patience.all_over()
        self.action = row.becomes or self.action
        self.state = row.next
        return row

    def _count_walk(self) -> None:
        """Note how long it took since the first of the events that this walk was about."""
        with self._lock:
            since, self._asked_s = self._asked_s, None
            if self._pending:
                self._asked_s = self._clock.monotonic()
        if since is not None and self.action is not None:
            metrics.WALK_SECONDS.labels(self.action).observe(self._clock.monotonic() - since)

    def _count_state(self, left: InstanceState) -> None:
        now = self._clock.monotonic()
        metrics.STATE_SECONDS.labels(left).observe(now - self._entered_s)
        self._entered_s = now

    def _attempt(self, action: Action) -> tuple[frozenset[Fact], InstanceState]:
        """Execute the state; turn what it raises into facts."""
        self._after_s = 0.0
        self._said = ""
        self._fresh &= self.state is WalkState.ALIVE
        try:
            facts = _EXECUTE[self.state](self, action)
        except instance_port.Retry as reason:
            LOG.info("step.retried state=%s reason=%s", self.state, reason)
            metrics.STEP_FAILURES.labels("retry").inc()
            self._said = str(reason)
            self._after_s = reason.after_s or 0.0
            facts = self._away()
        except instance_port.BootFailed as reason:
            metrics.STEP_FAILURES.labels("boot").inc()
            self._said = str(reason)
            LOG.warning("boot.failed state=%s count=%d reason=%s", self.state, self._boots, reason)
            return NEVER, InstanceState.DOWN
        except instance_port.ConfigureFailed as reason:
            metrics.STEP_FAILURES.labels("refused").inc()
            self._said = str(reason)
            facts = self._refused(str(reason))
        except instance_port.OperatorError as reason:
            metrics.STEP_FAILURES.labels("operator").inc()
            LOG.error("operator.needed state=%s reason=%s", self.state, reason)
            self._said = str(reason)
            self.instance.set_error(self._said)
            facts = frozenset({Fact.COOLING})
        except (_ElsewhereError, instance_port.Fenced):
            raise
        except Exception as fault:  # the boundary of one step: the other resources go on
            metrics.STEP_FAILURES.labels("crash").inc()
            self._said = f"{type(fault).__name__}: {fault}"
            LOG.exception("step.crashed state=%s", self.state)
            facts = self._away()
        return facts, self.instance.state

    def _away(self) -> frozenset[Fact]:
        wait = _DEADLINES.get(self.state)
        return frozenset({Fact.AWAY}) | (self._patience.overdue(wait) if wait else NEVER)

    def _pause_s(self, pause: Pause) -> float:
        if pause is Pause.WATCH:
            return self._patience.watch_s()
        if pause is Pause.COOLDOWN:
            return self._patience.cooldown_s()
        return self._patience.backoff_s(self._after_s)

    # -- executing the states ---------------------------------------------------------------------

    def _calc_action(self, action: Action) -> frozenset[Fact]:
        self.instance.begin_walk()
        if not self._observed or action is Action.DELETE:
            self.instance.update_state()
            self._check_owner()
            self._fresh = True
        if action is Action.DELETE and self.instance.state is not InstanceState.GONE:
            # An event is a hint; Neutron, which still has the resource, is the truth.
            LOG.warning("delete.contradicted instance=%s", self.instance.state)
            self.action = Action.UPDATE
        return frozenset({Fact.COOLING}) if self._patience.cooling else NEVER

    def _check_owner(self) -> None:
        """Stop the walk if Neutron names a tenant whose resources another worker has."""
        self._observed = True
        tenant_id = self.instance.tenant_id
        if tenant_id and not self._owns(tenant_id):
            raise _ElsewhereError

    def _look(self, action: Action, *, fresh: bool) -> InstanceState:
        """Look as closely as the action asks for, unless the step before has just looked."""
        if fresh:
            return self.instance.state
        glance = action in (Action.POLL, Action.READ)
        return self.instance.glance() if glance else self.instance.update_state()

    def _alive(self, action: Action) -> frozenset[Fact]:
        fresh, self._fresh = self._fresh, False
        state = self._look(action, fresh=fresh)
        if state in _ANSWERED_ONCE and not self.instance.answering:
            self._misses += 1
            silent_too_long = self._patience.overdue("silent")
            if self._misses < self._policy.tries or not silent_too_long:
                return frozenset({Fact.SILENT})
            given_up = frozenset({Fact.EXHAUSTED}) if self._may_give_up() else NEVER
            return frozenset({Fact.SILENT}) | given_up
        self._misses = 0
        self._patience.over("silent")
        if state is InstanceState.DEGRADED:
            self._boots = self._refusals = 0  # what failed is held back, and then tried anew
        if state is InstanceState.CONFIGURED:
            # Only now: what dies right after its first configuration must not boot for ever.
            self._boots = self._refusals = 0
            self._patience.success()
            self.history.succeed()
        return NEVER

    def _may_give_up(self) -> bool:
        """Tell whether a silent appliance is replaced; if not, too many of them are silent."""
        refusal = self._give_up()
        if not refusal:
            metrics.REBUILDS.labels("allowed").inc()
            return True
        self._said = f"not rebuilt: {refusal}"
        told = ("held", refusal)
        if told not in self._told:
            self._told.add(told)
            metrics.REBUILDS.labels("held").inc()
            LOG.warning("rebuild.held state=%s reason=%s", self.state, refusal)
        return False

    def _create(self, _action: Action) -> frozenset[Fact]:
        if self._boots >= self._policy.boot_attempts:
            self._said = f"{self._boots} boots in a row failed: {self.history.error}"
            self.instance.set_error(self._said)
            return NEVER
        self._patience.waited_s("create")
        self._boots += 1
        try:
            self.instance.boot()
        except instance_port.Retry:
            self._boots -= 1
            raise
        self._patience.over("create")
        self._patience.over("boot")
        self._looks = 0
        return NEVER

    def _check_boot(self, _action: Action) -> frozenset[Fact]:
        waited_s = self._patience.waited_s("boot")
        self._looks += 1
        if self.instance.check_boot() is not InstanceState.BOOTING:
            self._patience.over("boot")
            self._looks = 0
            return NEVER
        # A server that an earlier orchestrator booted long ago gets the patience of a silent one.
        old = (self.instance.boot_age_s or 0.0) > self._policy.boot_timeout_s
        silent = waited_s >= self._policy.silent_timeout_s and self._looks >= self._policy.tries
        if old and silent:
            return frozenset({Fact.OVERDUE}) if self._may_give_up() else NEVER
        return self._patience.overdue("boot")

    def _configure(self, _action: Action) -> frozenset[Fact]:
        if self.instance.configure() is InstanceState.CONFIGURED:
            self._refusals = 0
            self._patience.all_over()
        return NEVER

    def _refused(self, reason: str) -> frozenset[Fact]:
        self._refusals += 1
        LOG.warning(
            "configure.refused state=%s count=%d reason=%s", self.state, self._refusals, reason
        )
        if self._refusals < self._policy.tries:
            return frozenset({Fact.REFUSED})
        self._refusals = 0
        if self.instance.serving:
            # It still serves the former document, which is more than a new server would.
            self._said = f"the appliance refuses its configuration: {reason}"
            self.instance.set_error(self._said)
            return NEVER
        return frozenset({Fact.REFUSED, Fact.EXHAUSTED})

    def _replug(self, _action: Action) -> frozenset[Fact]:
        self._patience.waited_s("replug")
        if self.instance.replug() is InstanceState.HOTPLUG_NEEDED:
            return self._patience.overdue("replug")
        self._patience.over("replug")
        return NEVER

    def _stop(self, action: Action) -> frozenset[Fact]:
        if self.instance.state is InstanceState.GONE:
            action = self.action = Action.DELETE
        self._patience.waited_s("stop")
        state = self.instance.stop(final=action is Action.DELETE)
        if state is InstanceState.GONE and action is not Action.DELETE:
            self.action = Action.DELETE
            state = self.instance.stop(final=True)
        return self._after_stop(state)

    def _rebuild(self, _action: Action) -> frozenset[Fact]:
        if not self._patience.waits("stop"):
            self._boots = 0  # whoever asks for a new server gets all attempts
            self.instance.outdate()
        self._patience.waited_s("stop")
        return self._after_stop(self.instance.stop(final=False))

    def _after_stop(self, state: InstanceState) -> frozenset[Fact]:
        if state not in _STOPPED:
            return self._patience.overdue("stop")
        self._patience.all_over()
        self._misses = 0
        return frozenset({Fact.FAILED_BEFORE}) if self._boots else NEVER

    def _clear_error(self, _action: Action) -> frozenset[Fact]:
        self._boots = self._refusals = self._misses = 0
        self._patience.all_over()
        self.instance.clear_error()
        self._check_owner()
        return NEVER

    def _stats(self, _action: Action) -> frozenset[Fact]:
        self.instance.read_stats()
        return NEVER

    # -- the log ----------------------------------------------------------------------------------

    def _log_step(self, row: table.Row, view: table.View) -> None:
        """Log each kind of step once per walk, and routine at debug only: a poll, and the way to
        the push of a change, of which the end tells enough.
        """
        kind = (row.state, row.next, view.instance, row.reason)
        onward = row.state in _ROUTINE and row.next in (*_ROUTINE, WalkState.CONFIGURE_VM)
        level = logging.DEBUG if onward or kind in self._told else logging.INFO
        self._told.add(kind)
        if not LOG.isEnabledFor(level):
            return
        LOG.log(
            level,
            "walk.moved state=%s next=%s action=%s instance=%s pause=%s reason=%s",
            row.state,
            row.next,
            view.action,
            view.instance,
            row.pause.name,
            row.reason,
        )


# One for all: there are as many automata as routers.
_EXECUTE: "dict[WalkState, Callable[[Automaton, Action], frozenset[Fact]]]" = {
    WalkState.CALC_ACTION: Automaton._calc_action,
    WalkState.ALIVE: Automaton._alive,
    WalkState.CREATE_VM: Automaton._create,
    WalkState.CHECK_BOOT: Automaton._check_boot,
    WalkState.CONFIGURE_VM: Automaton._configure,
    WalkState.REPLUG_VM: Automaton._replug,
    WalkState.STOP_VM: Automaton._stop,
    WalkState.REBUILD_VM: Automaton._rebuild,
    WalkState.CLEAR_ERROR: Automaton._clear_error,
    WalkState.STATS: Automaton._stats,
}
