"""How much traffic there was between two looks at an appliance's counters; pure.

Counters begin anew with an appliance, a NIC or a firewall that is loaded; what was counted between
the look before and that moment nobody knows, and it is not guessed. Called by `meter`.
"""

import dataclasses
import typing

from astara_contract.stats import Counter, Stats

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING = Stats(since="", at="")
"""What a server had counted when we asked Nova for it."""


class Amount(typing.NamedTuple):
    """Traffic, seen from the appliance."""

    in_bytes: int = 0
    in_packets: int = 0
    out_bytes: int = 0
    out_packets: int = 0

    def plus(self, other: "Amount") -> "Amount":
        """Give the sum."""
        return Amount(*(mine + more for mine, more in zip(self, other, strict=True)))

    def minus(self, other: "Amount") -> "Amount":
        """Give the difference, which may be negative."""
        return Amount(*(mine - less for mine, less in zip(self, other, strict=True)))


@dataclasses.dataclass(frozen=True, slots=True)
class Used:
    """Traffic of one thing between two looks."""

    kind: str
    name: str
    scope: str
    amount: Amount


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """What was used from `begin` to `end`, by the appliance's clock (ISO 8601).

    `begin` is when a new appliance began to count, if that was since the look before.
    """

    begin: str
    end: str
    used: tuple[Used, ...]


def between(before: Stats | None, after: Stats) -> Interval | None:
    """Give what was used between two looks; None for the first, from which others count."""
    if before is None:
        return None
    anew = before.since != after.since
    known: dict[tuple[str, str], Counter] = {}
    if not anew:
        known |= {(old.kind, old.name): old for old in before.counters}
    return Interval(
        begin=after.since if anew else before.at,
        end=after.at,
        used=tuple(_used(known, after.counters)),
    )


def _used(
    known: dict[tuple[str, str], Counter], counters: tuple[Counter, ...]
) -> "Iterator[Used]":
    for new in counters:
        old = known.get((new.kind, new.name))
        amount = amount_of(new)
        if old is not None and old.since == new.since:
            grown = amount.minus(amount_of(old))
            # One that is lower in anything began anew in everything.
            amount = amount if min(grown) < 0 else grown
        if any(amount):
            yield Used(new.kind, new.name, new.scope, amount)


def amount_of(counter: Counter) -> Amount:
    """Give what a counter says."""
    return Amount(counter.in_bytes, counter.in_packets, counter.out_bytes, counter.out_packets)
