"""Walk one resource through the table: execute a state, look what came out, take the row.

Decides how often and how long (budgets, deadlines, pauses); the table decides where to. Must never
wait or hold a thread: a pause is handed back as "wake me in so many seconds". Driven by
`astara.worker.registry`, by at most one thread at a time; `submit` may come from another.
"""

import dataclasses
import logging
import threading
import typing

from .. import clock
from . import instance_port, table
from .collapse import collapse
from .table import Fact, Pause
from .vocabulary import Action, InstanceState, WalkState

if typing.TYPE_CHECKING:
    from collections.abc import Callable

LOG = logging.getLogger(__name__)

# A walk that takes this many steps without a pause gives its thread to the next resource.
STEPS_PER_TURN = 24
_ANSWERED_ONCE = frozenset(
    {InstanceState.UP, InstanceState.CONFIGURED} | {InstanceState.HOTPLUG_NEEDED}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """Budgets and times, in seconds; see the options of the same names."""

    boot_timeout_s: float = 600
    stop_timeout_s: float = 600
    hotplug_timeout_s: float = 60
    silent_timeout_s: float = 15
    cooldown_s: float = 30
    cooldown_max_s: float = 900
    boot_attempts: int = 5
    tries: int = 3
    retry_delay_s: float = 1
    retry_delay_max_s: float = 30
    watch_interval_s: float = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Idle:
    """The walk has ended; the next event starts another."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wake:
    """Run again in `delay_s`, or at once when one of `interrupts` is submitted."""

    delay_s: float
    interrupts: frozenset[Action] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """The resource is gone and so is all that served it: drop the automaton."""


@dataclasses.dataclass(frozen=True, slots=True)
class Misplaced:
    """Another worker owns the tenant to which Neutron says the resource belongs."""

    tenant_id: str
    actions: frozenset[Action]


Outcome = Idle | Wake | Finished | Misplaced


class _ElsewhereError(Exception):
    """Stop the walk: the resource belongs to another worker."""


class Automaton:
    """The state machine of one resource."""

    def __init__(
        self,
        instance: instance_port.Instance,
        policy: Policy,
        time: clock.Clock,
        owns: "Callable[[str], bool]" = lambda _tenant_id: True,
    ) -> None:
        self.instance = instance
        self.state = WalkState.CALC_ACTION
        self.action: Action | None = None
        self._policy = policy
        self._clock = time
        self._owns = owns
        self._lock = threading.Lock()
        self._pending: set[Action] = set()
        self._observed = False
        self._boots = 0  # boots since the last success
        self._refusals = 0  # documents refused since the last success
        self._misses = 0  # silent probes in a row
        self._looks = 0  # looks at a booting server
        self._backoffs = 0  # pauses since the last progress
        self._cooldowns = 0  # pauses in ERROR since the last success
        self._since: dict[str, float] = {}  # when a wait began, by its name
        self._cooling_until = 0.0
        self._after_s: float | None = None
        self._told: set[tuple[str, ...]] = set()  # what the log said since the walk began
        self._execute: dict[WalkState, Callable[[Action], frozenset[Fact]]] = {
            WalkState.CALC_ACTION: self._calc_action,
            WalkState.ALIVE: self._alive,
            WalkState.CREATE_VM: self._create,
            WalkState.CHECK_BOOT: self._check_boot,
            WalkState.CONFIGURE_VM: self._configure,
            WalkState.REPLUG_VM: self._replug,
            WalkState.STOP_VM: self._stop,
            WalkState.REBUILD_VM: self._rebuild,
            WalkState.CLEAR_ERROR: self._clear_error,
            WalkState.STATS: self._stats,
        }

    # -- what others may ask, from any thread --------------------------------------------------

    def submit(self, action: Action) -> None:
        """Keep an action for the walk; merged with others when the walk comes to CalcAction."""
        with self._lock:
            self._pending.add(action)

    @property
    def pending(self) -> frozenset[Action]:
        """Give the actions that no walk has taken up yet."""
        with self._lock:
            return frozenset(self._pending)

    # -- the walk --------------------------------------------------------------------------------

    def run(self, halt: "Callable[[], bool]" = lambda: False) -> Outcome:
        """Walk until nothing is to be done, a pause is due, the turn is over, or `halt`."""
        if Action.DELETE in self.pending:
            self.state = WalkState.CALC_ACTION  # a deletion waits for nothing
        for _ in range(STEPS_PER_TURN):
            if self.state is WalkState.CALC_ACTION and not self._take_pending():
                return Idle()
            try:
                row = self._step()
            except _ElsewhereError:
                return Misplaced(self.instance.tenant_id, self._abandon())
            if row.next is WalkState.EXIT:
                return Finished()
            if row.pause is Pause.DONE:
                self.action = None
                self._backoffs = 0
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
        with self._lock:
            actions = frozenset(self._pending) | ({self.action} if self.action else frozenset())
            self._pending.clear()
        self.action = None
        return frozenset(actions)

    def _step(self) -> table.Row:
        if self.action is None:
            raise RuntimeError(f"{self.state} without action")
        facts, seen = self._attempt(self.action)
        view = table.View(self.action, seen, facts)
        row = table.decide(self.state, view)
        self._log_step(row, view)
        if row.gives_up:
            self.instance.set_error(row.reason)
            self._since.clear()
        self.action = row.becomes or self.action
        self.state = row.next
        return row

    def _attempt(self, action: Action) -> tuple[frozenset[Fact], InstanceState]:
        """Execute the state; turn what it raises into facts."""
        self._after_s = None
        try:
            facts = self._execute[self.state](action)
        except instance_port.Retry as reason:
            self._after_s = reason.after_s
            LOG.info("step.retried %s reason=%s", self._names(), reason)
            facts = frozenset({Fact.AWAY}) | self._overdue_now()
        except instance_port.BootFailed as reason:
            LOG.warning("boot.failed %s count=%d reason=%s", self._names(), self._boots, reason)
            return frozenset(), InstanceState.DOWN
        except instance_port.ConfigureFailed as reason:
            facts = self._refused(str(reason))
        except instance_port.OperatorError as reason:
            LOG.error("operator.needed %s reason=%s", self._names(), reason)
            self.instance.set_error(str(reason))
            facts = frozenset({Fact.COOLING})
        except _ElsewhereError:
            raise
        except Exception:  # the boundary of one step: whatever it is, the other resources go on
            LOG.exception("step.crashed %s", self._names())
            facts = frozenset({Fact.AWAY}) | self._overdue_now()
        return facts, self.instance.state

    # -- executing the states ---------------------------------------------------------------------

    def _calc_action(self, action: Action) -> frozenset[Fact]:
        instance = self.instance
        instance.begin_walk()
        if not self._observed or action is Action.DELETE:
            self._observe()
        if action is Action.DELETE and instance.state is not InstanceState.GONE:
            # An event is a hint; Neutron, which still has the resource, is the truth.
            LOG.warning("delete.contradicted %s instance=%s", self._names(), instance.state)
            self.action = Action.UPDATE
        cooling = self._clock.monotonic() < self._cooling_until
        return frozenset({Fact.COOLING}) if cooling else frozenset()

    def _observe(self) -> None:
        self.instance.update_state()
        self._note_observed()

    def _note_observed(self) -> None:
        self._observed = True
        tenant_id = self.instance.tenant_id
        if tenant_id and not self._owns(tenant_id):
            raise _ElsewhereError

    def _alive(self, _action: Action) -> frozenset[Fact]:
        state = self.instance.update_state()
        if state in _ANSWERED_ONCE and not self.instance.answering:
            self._misses += 1
            patient = self._waited("silent") < self._policy.silent_timeout_s
            if self._misses < self._policy.tries or patient:
                return frozenset({Fact.SILENT})
            return frozenset({Fact.SILENT, Fact.EXHAUSTED})
        self._misses = 0
        self._since.pop("silent", None)
        if state is InstanceState.CONFIGURED:
            # Only now: what dies right after its first configuration must not boot for ever.
            self._boots = self._refusals = self._cooldowns = 0
        return frozenset()

    def _create(self, _action: Action) -> frozenset[Fact]:
        if self._boots >= self._policy.boot_attempts:
            self.instance.set_error(f"{self._boots} boots in a row failed")
            return frozenset()
        self._waited("create")
        self._boots += 1
        try:
            self.instance.boot()
        except instance_port.Retry:
            self._boots -= 1
            raise
        self._since.pop("create", None)
        self._since.pop("boot", None)
        self._looks = 0
        return frozenset()

    def _check_boot(self, _action: Action) -> frozenset[Fact]:
        waited_s = self._waited("boot")
        self._looks += 1
        if self.instance.check_boot() is not InstanceState.BOOTING:
            self._since.pop("boot", None)
            self._looks = 0
            return frozenset()
        # A server that an earlier orchestrator booted long ago gets the patience of a silent one.
        age_s = self.instance.boot_age_s or 0.0
        silent = waited_s >= self._policy.silent_timeout_s and self._looks >= self._policy.tries
        overdue = waited_s > self._policy.boot_timeout_s or (
            age_s > self._policy.boot_timeout_s and silent
        )
        return frozenset({Fact.OVERDUE}) if overdue else frozenset()

    def _configure(self, _action: Action) -> frozenset[Fact]:
        if self.instance.configure() is InstanceState.CONFIGURED:
            self._refusals = 0
            self._since.clear()
        return frozenset()

    def _refused(self, reason: str) -> frozenset[Fact]:
        self._refusals += 1
        LOG.warning(
            "configure.refused %s count=%d reason=%s", self._names(), self._refusals, reason
        )
        if self._refusals < self._policy.tries:
            return frozenset({Fact.REFUSED})
        self._refusals = 0
        if self.instance.serving:
            # It still serves the former document, which is more than a new server would.
            self.instance.set_error(f"the appliance refuses its configuration: {reason}")
            return frozenset()
        return frozenset({Fact.REFUSED, Fact.EXHAUSTED})

    def _replug(self, _action: Action) -> frozenset[Fact]:
        waited_s = self._waited("replug")
        if self.instance.replug() is not InstanceState.HOTPLUG_NEEDED:
            self._since.pop("replug", None)
            return frozenset()
        return self._overdue("replug", waited_s)

    def _stop(self, action: Action) -> frozenset[Fact]:
        if self.instance.state is InstanceState.GONE:
            action = self.action = Action.DELETE
        waited_s = self._waited("stop")
        state = self.instance.stop(final=action is Action.DELETE)
        if state is InstanceState.GONE and action is not Action.DELETE:
            self.action = Action.DELETE
            state = self.instance.stop(final=True)
        return self._stopped(state, waited_s)

    def _rebuild(self, _action: Action) -> frozenset[Fact]:
        if "stop" not in self._since:
            self._boots = 0  # whoever asks for a new server gets all attempts
        return self._stopped(self.instance.stop(final=False), self._waited("stop"))

    def _stopped(self, state: InstanceState, waited_s: float) -> frozenset[Fact]:
        if state not in (InstanceState.DOWN, InstanceState.GONE):
            return self._overdue("stop", waited_s)
        self._since.clear()
        self._misses = 0
        return frozenset({Fact.FAILED_BEFORE}) if self._boots else frozenset()

    def _clear_error(self, _action: Action) -> frozenset[Fact]:
        self._boots = self._refusals = self._misses = 0
        self._since.clear()
        self.instance.clear_error()
        self._note_observed()
        return frozenset()

    def _stats(self, _action: Action) -> frozenset[Fact]:
        self.instance.read_stats()
        return frozenset()

    # -- time
    # ----------------------------------------------------------------------------------------

    def _waited(self, wait: str) -> float:
        """Give the seconds since the wait of that name began, which may be now."""
        now = self._clock.monotonic()
        return now - self._since.setdefault(wait, now)

    def _overdue(self, wait: str, waited_s: float) -> frozenset[Fact]:
        limits = {
            "create": self._policy.boot_timeout_s,
            "replug": self._policy.hotplug_timeout_s,
            "stop": self._policy.stop_timeout_s,
        }
        return frozenset({Fact.OVERDUE}) if waited_s > limits[wait] else frozenset()

    def _overdue_now(self) -> frozenset[Fact]:
        """Tell whether a state that could not be executed has been tried for too long."""
        waits = {
            WalkState.CREATE_VM: "create",
            WalkState.STOP_VM: "stop",
            WalkState.REBUILD_VM: "stop",
        }
        wait = waits.get(self.state)
        return self._overdue(wait, self._waited(wait)) if wait else frozenset()

    def _pause_s(self, pause: Pause) -> float:
        policy = self._policy
        if pause is Pause.WATCH:
            return self._clock.jitter(policy.watch_interval_s)
        if pause is Pause.COOLDOWN:
            return self._cooldown_s()
        grown_s = min(policy.retry_delay_max_s, policy.retry_delay_s * 2**self._backoffs)
        self._backoffs = min(self._backoffs + 1, 30)
        return max(self._clock.jitter(grown_s), self._after_s or 0.0)

    def _cooldown_s(self) -> float:
        """Start a pause in ERROR, longer than the last, or give the rest of the running one."""
        now = self._clock.monotonic()
        if now >= self._cooling_until:
            grown_s = min(
                self._policy.cooldown_max_s, self._policy.cooldown_s * 2**self._cooldowns
            )
            self._cooldowns = min(self._cooldowns + 1, 30)
            self._cooling_until = now + self._clock.jitter(grown_s)
            self._backoffs = 0
        return self._cooling_until - now

    # -- the log
    # ---------------------------------------------------------------------------------------

    def _names(self) -> str:
        resource = self.instance.resource
        return f"{resource.driver}={resource.id} state={self.state}"

    def _log_step(self, row: table.Row, view: table.View) -> None:
        """Log each kind of step once per walk, and the routine of polls at debug only."""
        kind = (row.state, row.next, view.instance, row.reason)
        routine = {WalkState.CALC_ACTION, WalkState.ALIVE, WalkState.STATS}
        quiet = kind in self._told or (row.state in routine and row.next in routine)
        self._told.add(kind)
        LOG.log(
            logging.DEBUG if quiet else logging.INFO,
            "walk.moved %s next=%s action=%s instance=%s pause=%s reason=%s",
            self._names(),
            row.next,
            view.action,
            view.instance,
            row.pause.name,
            row.reason,
        )
        if row.pause is Pause.DONE:
            self._told.clear()
