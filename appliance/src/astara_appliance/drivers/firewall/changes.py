"""The way from the elements that are there to those that are wanted. Pure; called by `driver`.

As commands of nft; what plain addresses there are by hundreds goes to `bulk` instead. And whose
connections have no ground any more on the way.
"""

from collections.abc import Mapping

from .. import difference
from ..difference import Difference
from . import bulk, conntrack, scopes, skeleton
from .elements import Elements, key_of, value_of

WHERE = f"{skeleton.FAMILY} {skeleton.TABLE}"
MANY = 500  # elements that are not worth their text
_NONE = frozenset[str]()


Differences = Mapping[str, Difference]


def differences(present: Elements, wanted: Elements) -> Differences:
    """Compare each set and map that is wanted; equal ones are left out."""
    found: dict[str, Difference] = {}
    # Several sets hold the same: the floating IPs.
    known: dict[tuple[int, int], Difference] = {}
    for name, items in wanted.items():
        current = present.get(name, _NONE)
        # Sets of thousands are compared only where they are two objects.
        if current is not items and current != items:
            both = id(current), id(items)
            found[name] = known[both] = known.get(both) or difference.between(current, items)
    return found


def many(differing: Differences) -> tuple[bulk.Step, ...]:
    """Return the steps of plain addresses if there are many in all, else none."""
    plain = ((name, differing[name]) for name in bulk.NAMES if name in differing)
    steps = tuple(bulk.Step(name, found.gone, found.new) for name, found in plain)
    return steps if sum(len(step.gone) + len(step.new) for step in steps) > MANY else ()


def commands(differing: Differences, wanted: Elements, steps: tuple[bulk.Step, ...]) -> str:
    """Return the commands for all that `steps` does not do.

    Interval sets are small and refilled: their elements depend on each other. All others change
    element by element, deletions first so that a key may get a new value.
    """
    done = {step.name for step in steps}
    deletions, additions = [], []
    for name, found in differing.items():
        if name in done:
            continue
        if _is_interval(name):
            deletions.append(f"flush set {WHERE} {name}\n")
            additions.append(_command("add", name, wanted[name]))
        else:
            # Named by key alone: nft would not take the value of a verdict map here.
            keys = frozenset(key_of(element) for element in found.gone)
            deletions.append(_command("delete", name, keys))
            additions.append(_command("add", name, found.new))
    return "".join((*deletions, *additions))


def trial(differing: Differences, wanted: Elements) -> str:
    """Return the additions that are worth a dry run: parsed addresses, in sets and maps of just
    these, are nothing that nft could refuse.
    """
    return "".join(
        _command("add", name, wanted[name] if _is_interval(name) else found.new)
        for name, found in differing.items()
        if name not in bulk.NAMES
    )


def ended(
    differing: Differences, present: Elements, wanted: Elements, unfinished: conntrack.Cut
) -> conntrack.Cut:
    """Tell whose connections lose their translation, beside those of an unfinished change."""
    public = set(unfinished.public)
    for name, part in (
        ("floating_to_fixed", key_of),
        ("fixed_to_floating", value_of),
        ("snat_address", value_of),
    ):
        public.update(part(element) for element in differing.get(name, difference.NONE).gone)
    sources = set(unfinished.sources)
    if differing.get("unnatted_if", difference.NONE).gone:
        # SNAT was switched on: what went out untranslated so far must start anew.
        sources.update(wanted["connected4"])
    if scopes.differ(present, wanted):
        # Who may talk to whom, and under which address, has changed.
        sources.update(wanted["connected4"])
    forwarded = set(unfinished.forwarded)
    for name in ("port_to_port", *skeleton.RANGED):
        forwarded.update(key_of(element) for element in differing.get(name, difference.NONE).gone)
    return conntrack.Cut(frozenset(public), frozenset(sources), frozenset(forwarded))


def _is_interval(name: str) -> bool:
    return name in skeleton.SETS and skeleton.SETS[name][1]


def _command(verb: str, name: str, items: frozenset[str]) -> str:
    if not items:
        return ""
    return f"{verb} element {WHERE} {name} {{ {', '.join(sorted(items))} }}\n"
