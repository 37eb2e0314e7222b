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


Outcome = Idle | Wake | Finished | Misplaced
