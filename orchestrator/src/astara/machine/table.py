"""Hold the state machine as one table: in this state, if this holds, go there, because.

Pure. The first row of a state whose guard holds decides. AWAY rows come first: when nobody could
be asked, the state of the instance is an old one and proves nothing. The diagram in the
documentation is drawn from these rows, and a test holds them against the diagram of the original
design. What a state *does* is in `automaton`; what is counted and how long a pause takes as well.
Must never learn about servers, ports or HTTP.
"""

import dataclasses
import enum
from collections.abc import Set

from .vocabulary import Action, InstanceState, WalkState


class Fact(enum.StrEnum):
    """What the execution of a state found out beside the state of the instance."""

    AWAY = "away"  # something beside the instance did not answer: the look is inconclusive
    SILENT = "silent"  # an instance that used to answer does not
    EXHAUSTED = "exhausted"  # the budget of tries of this state is used up
    OVERDUE = "overdue"  # the deadline of this state has passed
    COOLING = "cooling"  # the pause in ERROR is not over
    REFUSED = "refused"  # the appliance could not apply the document
    FAILED_BEFORE = "failed-before"  # a boot failed since the last success


class Pause(enum.StrEnum):
    """When the next state is executed."""

    NONE = "at once"
    WATCH = "after boot_poll_interval"
    BACKOFF = "after a growing pause"
    COOLDOWN = "after a growing pause in ERROR"
    DONE = "at the next event"


# A pause is cut short by these actions; all others wait until it is over, and none is dropped.
INTERRUPTS = {
    Pause.WATCH: frozenset({Action.DELETE, Action.REBUILD}),
    Pause.BACKOFF: frozenset({Action.DELETE}),
    Pause.COOLDOWN: frozenset({Action.DELETE}),
}


class Origin(enum.StrEnum):
    """Where a row comes from."""

    DESIGN = "design"  # an edge of the original diagram
    DEVIATION = "deviation"  # ours; the reason says why
    DEADLINE = "deadline"  # ours: ends a wait
    FAILURE = "failure"  # ours: something did not work


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What decides: the action being walked, the instance's state, and facts."""

    action: Action
    instance: InstanceState
    facts: frozenset[Fact] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Guard:
    """Hold if action and instance state are among those named, and all facts are present."""

    actions: Set[Action] = frozenset(Action)
    states: Set[InstanceState] = frozenset(InstanceState)
    facts: Set[Fact] = frozenset()

    def holds(self, view: View) -> bool:
        """Tell whether the guard lets this view pass."""
        return (
            view.action in self.actions
            and view.instance in self.states
            and self.facts <= view.facts
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    `becomes` replaces the action on the way; None keeps it. `gives_up` puts the instance into
    ERROR with the reason.
    """

    state: WalkState
    guard: Guard
    next: WalkState
    reason: str
    origin: Origin = Origin.DESIGN
    pause: Pause = Pause.NONE
    becomes: Action | None = None
    gives_up: bool = False


ACTION_LETTERS = {"C": Action.CREATE, "R": Action.READ, "U": Action.UPDATE, "D": Action.DELETE}
ACTION_LETTERS |= {"P": Action.POLL, "E": Action.REBUILD}
STATE_LETTERS = {
    "D": InstanceState.DOWN,
    "B": InstanceState.BOOTING,
    "U": InstanceState.UP,
    "C": InstanceState.CONFIGURED,
    "R": InstanceState.RESTART_NEEDED,
    "H": InstanceState.HOTPLUG_NEEDED,
    "d": InstanceState.DEGRADED,
    "G": InstanceState.GONE,
    "E": InstanceState.ERROR,
}


def when(act: str = "", vm: str = "", *facts: Fact) -> Guard:
    """Write a guard in the letters of the original diagram; empty means any.

    Actions: Create Read Update Delete Poll rEbuild. Instance: Down Booting Up Configured
    Restart-needed Hotplug-needed degraded Gone Error.
    """
    return Guard(
        frozenset(ACTION_LETTERS[letter] for letter in act) or frozenset(Action),
        frozenset(STATE_LETTERS[letter] for letter in vm) or frozenset(InstanceState),
        frozenset(facts),
    )


_CALC, _ALIVE, _CREATE = WalkState.CALC_ACTION, WalkState.ALIVE, WalkState.CREATE_VM
_BOOT, _CONFIG, _REPLUG = WalkState.CHECK_BOOT, WalkState.CONFIGURE_VM, WalkState.REPLUG_VM
_STOP, _REBUILD, _CLEAR = WalkState.STOP_VM, WalkState.REBUILD_VM, WalkState.CLEAR_ERROR
_STATS, _EXIT = WalkState.STATS, WalkState.EXIT

_DESIGN, _OURS, _DEADLINE, _FAILURE = (
    Origin.DESIGN,
    Origin.DEVIATION,
    Origin.DEADLINE,
    Origin.FAILURE,
)

TABLE = (
    # CalcAction
    Row(
        _CALC,
        when("", "", Fact.AWAY),
        _CALC,
        "the first look found nobody to ask",
        _FAILURE,
        Pause.BACKOFF,
    ),
    Row(_CALC, when(vm="G"), _STOP, "the resource is gone: remove what served it"),
    Row(_CALC, when("D"), _STOP, "the resource was deleted"),
    Row(
        _CALC,
        when("", "E", Fact.COOLING),
        _CALC,
        "commands are kept until the pause is over",
        _OURS,
        Pause.COOLDOWN,
    ),
    Row(_CALC, when(vm="E"), _CLEAR, "the pause is over: try again without being asked"),
    Row(_CALC, when("E"), _REBUILD, "a new server was asked for"),
    Row(_CALC, when("CRUP", "B"), _BOOT, "a server is booting"),
    Row(_CALC, when("CRUP", "D"), _CREATE, "there is no server"),
    Row(_CALC, when("CRUP", "UC"), _ALIVE, "look at it before anything else"),
    Row(_CALC, when("CRUP", "H"), _ALIVE, "as for one that is up: it answers", _OURS),
    Row(_CALC, when("CRUP", "d"), _ALIVE, "one half of a pair serves: look at both", _OURS),
    Row(
        _CALC,
        when("CRUP", "R"),
        _STOP,
        "the design leaves this state without exit; a server beyond repair goes first",
        _OURS,
    ),
    # Alive
    Row(
        _ALIVE,
        when("", "", Fact.AWAY),
        _CALC,
        "Neutron or Nova did not answer: look again",
        _FAILURE,
        Pause.BACKOFF,
    ),
    Row(_ALIVE, when(vm="G"), _STOP, "the resource is gone"),
    Row(
        _ALIVE,
        when(vm="E"),
        _CALC,
        "an operator is needed",
        _FAILURE,
        Pause.COOLDOWN,
    ),
    Row(_ALIVE, when(vm="D"), _CREATE, "the server vanished"),
    Row(_ALIVE, when("R", "d"), _STATS, "one half serves: read its counters", _OURS),
    Row(_ALIVE, when(vm="d"), _CALC, "the other half is tried again later", _OURS, Pause.DONE),
    Row(_ALIVE, when(vm="R"), _STOP, "Nova calls the server failed or stopped", _OURS),
    Row(_ALIVE, when(vm="B"), _BOOT, "the server was started again behind our back", _OURS),
    Row(
        _ALIVE,
        when("", "UCH", Fact.SILENT, Fact.EXHAUSTED),
        _STOP,
        "silent for too long; the design goes to CreateVM, but Nova still has the server",
        _DEADLINE,
    ),
    Row(
        _ALIVE,
        when("", "UCH", Fact.SILENT),
        _CALC,
        "one missed probe proves nothing: probe again soon",
        _OURS,
        Pause.BACKOFF,
    ),
    Row(_ALIVE, when("R", "C"), _STATS, "alive and configured: read its counters"),
    Row(
        _ALIVE,
        when("P", "C"),
        _CALC,
        "alive and as it should be: nothing to do",
        pause=Pause.DONE,
    ),
    Row(_ALIVE, when("CU", "UC"), _CONFIG, "alive: bring the configuration up to date"),
    Row(
        _ALIVE,
        when("PRED", "UCH"),
        _CONFIG,
        "a poll corrects a configuration that has drifted; the design ends here",
        _OURS,
    ),
    Row(_ALIVE, when("CU", "H"), _CONFIG, "alive: the configuration needs other NICs", _OURS),
    # CreateVM
    Row(
        _CREATE,
        when("", "", Fact.AWAY, Fact.OVERDUE),
        _CALC,
        "nobody took the order for too long",
        _DEADLINE,
        Pause.COOLDOWN,
        gives_up=True,
    ),
    Row(
        _CREATE,
        when("", "", Fact.AWAY),
        _CREATE,
        "Nova or Neutron is busy or away",
        _FAILURE,
        Pause.BACKOFF,
    ),
    Row(_CREATE, when(vm="G"), _STOP, "the resource vanished meanwhile"),
    Row(_CREATE, when(vm="E"), _CALC, "too many boots failed", pause=Pause.COOLDOWN),
    Row(_CREATE, when(vm="D"), _CREATE, "the boot was refused", pause=Pause.BACKOFF),
    Row(_CREATE, when("CRUDP", "BUCR"), _BOOT, "a server exists"),
    Row(_CREATE, when(vm="d"), _CALC, "the other half is tried again later", _OURS, Pause.DONE),
    Row(_CREATE, when("", "BUCRHD"), _BOOT, "a server exists", _OURS),
    # CheckBoot
    Row(
        _BOOT,
        when("", "", Fact.AWAY),
        _CALC,
        "Nova did not answer: look again",
        _FAILURE,
        Pause.BACKOFF,
    ),
    Row(_BOOT, when(vm="DG"), _STOP, "the server or the resource vanished"),
    Row(
        _BOOT,
        when(vm="E"),
        _CALC,
        "an operator is needed",
        _FAILURE,
        Pause.COOLDOWN,
    ),
    Row(_BOOT, when(vm="U"), _CONFIG, "it answers: configure it"),
    Row(_BOOT, when(vm="H"), _CONFIG, "it answers: configure it", _OURS),
    Row(_BOOT, when(vm="d"), _CALC, "the other half is tried again later", _OURS, Pause.DONE),
    Row(
        _BOOT,
        when("", "B", Fact.OVERDUE),
        _STOP,
        "ACTIVE or not, it never answered in time: replace it",
        _DEADLINE,
    ),
    Row(_BOOT, when(vm="C"), _CALC, "it was configured before: look at it as usual"),
    Row(_BOOT, when(vm="BR"), _CALC, "not there yet, or failed", pause=Pause.WATCH),
    # ConfigureVM
    Row(
        _CONFIG,
        when("", "", Fact.AWAY),
        _CALC,
        "no answer: see whether it is alive",
        _FAILURE,
        Pause.BACKOFF,
    ),
    Row(_CONFIG, when(vm="DGR"), _STOP, "the server or the resource vanished"),
    Row(
        _CONFIG,
        when(vm="E"),
        _CALC,
        "the document or the appliance needs an operator",
        _FAILURE,
        Pause.COOLDOWN,
    ),
    Row(
        _CONFIG,
        when("", "", Fact.REFUSED, Fact.EXHAUSTED),
        _STOP,
        "a fresh appliance that takes no configuration is replaced",
        _FAILURE,
    ),
    Row(
        _CONFIG,
        when("", "", Fact.REFUSED),
        _CALC,
        "it rolled back: try again",
        _FAILURE,
        Pause.BACKOFF,
    ),
    Row(_CONFIG, when(vm="H"), _REPLUG, "NICs are missing or superfluous"),
    Row(_CONFIG, when("R", "C"), _STATS, "configured: read its counters"),
    Row(_CONFIG, when(vm="C"), _CALC, "configured: nothing left to do", pause=Pause.DONE),
    Row(_CONFIG, when(vm="d"), _CALC, "the other half is tried again later", _OURS, Pause.DONE),
    Row(
        _CONFIG,
        when(vm="UB"),
        _CALC,
        "not configured yet: look again",
        _FAILURE,
        Pause.BACKOFF,
    ),
    # ReplugVM
    Row(
        _REPLUG,
        when("", "", Fact.AWAY),
        _CALC,
        "Nova did not answer: look again",
        _FAILURE,
        Pause.BACKOFF,
    ),
    Row(_REPLUG, when(vm="R"), _STOP, "Nova cannot change its NICs: replace it"),
    Row(_REPLUG, when(vm="DG"), _STOP, "the server or the resource vanished", _OURS),
    Row(
        _REPLUG,
        when(vm="E"),
        _CALC,
        "an operator is needed",
        _FAILURE,
        Pause.COOLDOWN,
    ),
    Row(
        _REPLUG,
        when("", "H", Fact.OVERDUE),
        _STOP,
        "a NIC never appeared: replace the server",
        _DEADLINE,
    ),
    Row(
        _REPLUG,
        when(vm="H"),
        _REPLUG,
        "a change takes a moment; the design configures at once and comes back here for ever",
        _OURS,
        Pause.WATCH,
    ),
    Row(_REPLUG, when(vm="d"), _CALC, "the other half is tried again later", _OURS, Pause.DONE),
    Row(_REPLUG, when(vm="UCB"), _CONFIG, "the NICs are right"),
    # StopVM
    Row(
        _STOP,
        when("D", "", Fact.AWAY, Fact.OVERDUE),
        _STOP,
        "nobody to ask for long: keep trying, rarely",
        _DEADLINE,
        Pause.COOLDOWN,
    ),
    Row(
        _STOP,
        when("", "", Fact.AWAY, Fact.OVERDUE),
        _CALC,
        "Nova does not delete the server",
        _DEADLINE,
        Pause.COOLDOWN,
        gives_up=True,
    ),
    Row(
        _STOP,
        when("", "", Fact.AWAY),
        _STOP,
        "Nova or Neutron is busy or away",
        _FAILURE,
        Pause.BACKOFF,
    ),
    Row(_STOP, when(vm="G"), _EXIT, "nothing is left"),
    Row(_STOP, when("D", "D"), _EXIT, "nothing is left"),
    Row(
        _STOP,
        when("D", "E"),
        _STOP,
        "an operator is needed; a removal is never given up",
        _FAILURE,
        Pause.COOLDOWN,
    ),
    Row(_STOP, when(vm="E"), _CALC, "an operator is needed", _FAILURE, Pause.COOLDOWN),
    Row(
        _STOP,
        when("", "D", Fact.FAILED_BEFORE),
        _CREATE,
        "boot again after a pause: the last attempt failed",
        _OURS,
        Pause.BACKOFF,
    ),
    Row(_STOP, when(vm="D"), _CREATE, "boot again"),
    Row(
        _STOP,
        when("D", "", Fact.OVERDUE),
        _STOP,
        "something cannot be removed: keep trying, rarely",
        _DEADLINE,
        Pause.COOLDOWN,
    ),
    Row(
        _STOP,
        when("", "", Fact.OVERDUE),
        _CALC,
        "Nova does not delete the server",
        _DEADLINE,
        Pause.COOLDOWN,
        gives_up=True,
    ),
    Row(_STOP, when(vm="d"), _CALC, "the other half is tried again later", _OURS, Pause.DONE),
    Row(
        _STOP,
        when(),
        _STOP,
        "Nova is deleting; the design has no wait here",
        _OURS,
        Pause.WATCH,
    ),
    # RebuildVM
    Row(
        _REBUILD,
        when("", "", Fact.AWAY, Fact.OVERDUE),
        _CALC,
        "Nova does not delete the server",
        _DEADLINE,
        Pause.COOLDOWN,
        gives_up=True,
    ),
    Row(
        _REBUILD,
        when("", "", Fact.AWAY),
        _REBUILD,
        "Nova is busy or away",
        _FAILURE,
        Pause.BACKOFF,
    ),
    Row(
        _REBUILD,
        when(vm="G"),
        _STOP,
        "the resource is gone: its ports have to go as well",
        _OURS,
    ),
    Row(_REBUILD, when(vm="E"), _CALC, "an operator is needed", _FAILURE, Pause.COOLDOWN),
    Row(_REBUILD, when("E", "D"), _CREATE, "the old server is gone", becomes=Action.CREATE),
    Row(
        _REBUILD,
        when("", "", Fact.OVERDUE),
        _CALC,
        "Nova does not delete the server",
        _DEADLINE,
        Pause.COOLDOWN,
        gives_up=True,
    ),
    Row(_REBUILD, when(vm="d"), _CALC, "the other half is tried again later", _OURS, Pause.DONE),
    Row(_REBUILD, when(), _REBUILD, "Nova is deleting", pause=Pause.WATCH),
    # ClearError
    Row(
        _CLEAR,
        when("", "", Fact.AWAY),
        _CALC,
        "nobody to ask: the pause goes on",
        _FAILURE,
        Pause.COOLDOWN,
    ),
    Row(
        _CLEAR,
        when(vm="E"),
        _CALC,
        "an operator is still needed",
        _FAILURE,
        Pause.COOLDOWN,
    ),
    Row(_CLEAR, when(), _CALC, "no pause before the next action"),
    # Stats
    Row(
        _STATS,
        when("", "E"),
        _CALC,
        "an operator is needed",
        _FAILURE,
        Pause.COOLDOWN,
    ),
    Row(_STATS, when(), _CALC, "counters are read, or are not worth a retry", pause=Pause.DONE),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Contradiction:
    """Views for which the original diagram names another next state than the table."""

    state: WalkState
    guard: Guard
    reason: str


CONTRADICTIONS = (
    Contradiction(
        _ALIVE,
        when("P", "U"),
        "the design ends a poll of an instance that answers; UP means that it runs another "
        "configuration than the desired one, and a poll corrects that",
    ),
    Contradiction(
        _REPLUG,
        when(vm="H"),
        "the design configures at once, which comes straight back; the table waits until the NICs "
        "are there, and then configures",
    ),
    Contradiction(
        _REBUILD,
        when(vm="E"),
        "the design goes on deleting for ever; ERROR is left by CalcAction, after a pause",
    ),
    Contradiction(
        _REBUILD,
        when(vm="d"),
        "the design goes on deleting; half a pair that cannot be deleted now is left for later",
    ),
    Contradiction(
        _STOP,
        when("E", "BUCRHdE"),
        "the design boots the next server whatever became of the last; the table waits until "
        "it is gone, because both would carry the same ports",
    ),
    Contradiction(
        _CALC,
        when("", "E", Fact.COOLING),
        "the design clears an error without pause; while the pause lasts, commands are kept",
    ),
)

_BY_STATE = {state: tuple(row for row in TABLE if row.state is state) for state in WalkState}


class NoRowError(Exception):
    """Say that the table has a hole; a property test keeps it from happening."""


def decide(state: WalkState, view: View) -> Row:
    """Give the first row of `state` whose guard holds."""
    for row in _BY_STATE[state]:
        if row.guard.holds(view):
            return row
    raise NoRowError(f"{state} has no row for {view}")
