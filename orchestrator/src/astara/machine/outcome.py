"""Say how a turn of an automaton ended: what the worker does with it next."""

import dataclasses

from .vocabulary import Action


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


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """Nothing may be done now; all that was asked is kept, and the next walk starts afresh."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Released:
    """Another node owns the resource: drop the automaton and all that was asked of it."""

    reason: str


Outcome = Idle | Wake | Finished | Misplaced | Held | Released
