"""Which member of a router needs care, and what the router's instance is to be called; pure.

Decides that one member is cared for at a time, so that never both are stopped: a member that
answers gets its configuration first (it may be the one that serves), then one that is missing or
broken is replaced, then a silent one is watched until the automaton gives it up, and only beside
one that is well a member goes that is superfluous or is to be replaced although healthy. A router
with one member is the case in which there is nothing to choose. Called by ``router_instance``.

    care      the automaton's walk is about the chosen member: its state is the instance's
    DEGRADED  one member is well, and the other cannot be helped at present (it is `held`)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from astara_contract.document import HighAvailability

from ..machine.vocabulary import InstanceState

PRIORITIES = (150, 100)
"""Decide who is master where nobody is; there is no preemption."""

_ANSWERS = frozenset({InstanceState.UP, InstanceState.HOTPLUG_NEEDED})
_MISSING = frozenset({InstanceState.DOWN, InstanceState.BOOTING, InstanceState.RESTART_NEEDED})
# From what serves best to what serves nobody: what a tenant sees is the better of two.
_RANK = (
    InstanceState.CONFIGURED,
    InstanceState.UP,
    InstanceState.HOTPLUG_NEEDED,
    InstanceState.BOOTING,
    InstanceState.RESTART_NEEDED,
    InstanceState.DOWN,
)


@dataclass(frozen=True, slots=True)
class View:
    """One member as it was seen last."""

    state: InstanceState
    answering: bool
    serving: bool = False
    role: str = ""
    held: bool = False
    outdated: bool = False
    surplus: bool = False

    @property
    def well(self) -> bool:
        """Whether it answers and runs the desired configuration."""
        return self.state is InstanceState.CONFIGURED and self.answering

    @property
    def alone(self) -> bool:
        """Whether it has the router's addresses without listening to another one."""
        return self.serving and self.role == "single"


@dataclass(frozen=True, slots=True)
class Care:
    """The member that the walk is about, and the state of the instance."""

    index: int
    state: InstanceState


def choose(views: Sequence[View], before: int) -> Care:
    """Say whose turn it is; `before` is the one whose turn it was."""
    if len(views) == 1:
        return Care(0, views[0].state)
    return next(_needs(views, before))


def _needs(views: Sequence[View], before: int) -> Iterator[Care]:
    """Yield what is to be done, the most urgent first."""
    order = sorted(range(len(views)), key=lambda index: (index != before, index))
    free = [index for index in order if not views[index].held]
    for index in sorted(free, key=lambda index: _serves(views[index])):
        view, other = views[index], views[1 - index]
        # One that serves alone must hear of the pair before there is a second one.
        if view.answering and view.state in _ANSWERS and not (other.alone and not other.answering):
            yield Care(index, view.state)
    wanted = [index for index in free if not views[index].surplus]
    for index in wanted:
        if views[index].state in _MISSING:
            yield Care(index, views[index].state)
    for index in wanted:
        if not views[index].answering:
            yield Care(index, views[index].state)
    for index in sorted(order, key=lambda index: views[index].role == "master"):
        view = views[index]
        if (view.surplus or view.outdated) and views[1 - index].well:
            yield Care(index, InstanceState.RESTART_NEEDED)
    if all(view.well for view in views):
        yield Care(before, InstanceState.CONFIGURED)
    if any(view.well for view in views):
        yield Care(before, InstanceState.DEGRADED)
    yield Care(before, views[before].state)


def _serves(view: View) -> int:
    """Sort key: one that has the addresses comes before one that only might have."""
    return 0 if view.role in ("master", "single") and view.serving else 1


def best(views: Sequence[View]) -> View:
    """Return the member whose state is what the tenant notices."""
    ranked = {state: rank for rank, state in enumerate(_RANK)}
    return min(views, key=lambda view: (ranked.get(view.state, len(_RANK)), not view.answering))


def why_not_switch(views: Sequence[View]) -> str:
    """Say why a switchover need not even be tried, by what was seen last; empty if it may."""
    if len(views) != 2:
        return "it is no pair: one appliance serves it"
    ill = [index for index, view in enumerate(views) if not view.well]
    if not ill:
        return ""
    how = views[ill[0]].state if views[ill[0]].answering else "silent"
    return f"its appliance {ill[0]} is {how}"


def can_hand_over(views: Sequence[View]) -> tuple[int, str]:
    """Return who is master, and why it cannot hand over now; empty if it can."""
    masters = [index for index, view in enumerate(views) if view.role == "master"]
    if len(masters) != 1:
        return 0, f"{len(masters)} of its appliances say that they are master"
    other = views[1 - masters[0]]
    if not other.well or other.role != "backup":
        how = other.state if other.answering else "silent"
        return masters[0], f"the other appliance is {how}, in the role {other.role or 'unknown'}"
    return masters[0], ""


def section(peer: str | None, index: int, interval_ms: int) -> HighAvailability | None:
    """Return what a member is told of the other one; None while that has no address."""
    if peer is None:
        return None
    return HighAvailability(
        peers=(peer,), priority=PRIORITIES[index], advert_interval_ms=interval_ms
    )
