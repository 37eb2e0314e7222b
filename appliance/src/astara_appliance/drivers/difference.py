"""What of one set is not in another, at the least cost: there may be thousands in both. Pure."""

from typing import NamedTuple


class Difference(NamedTuple):
    """What goes from a set, and what comes."""

    gone: frozenset[str]
    new: frozenset[str]


NONE = Difference(frozenset(), frozenset())


def between(present: frozenset[str], wanted: frozenset[str]) -> Difference:
    """Return what leads from `present` to `wanted`.

    Where a set only grew, or only shrank, one look at each element tells all.
    """
    if len(wanted) >= len(present):
        new = wanted - present
        all_stay = len(wanted) - len(new) == len(present)
        return Difference(NONE.gone if all_stay else present - wanted, new)
    gone = present - wanted
    none_comes = len(present) - len(gone) == len(wanted)
    return Difference(gone, NONE.new if none_comes else wanted - present)
