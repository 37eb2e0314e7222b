"""Measure a worker when somebody asks: what cannot be counted when it happens.

Decides nothing; reads what is in memory, without the registry's lock. Called by `control`.
"""

import collections
import typing

from .. import clock
from . import control_protocol as protocol

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

    from ..pki import trust
    from . import registry


def of(
    number: int,
    slots: "registry.Registry",
    known: "trust.Census | None",
    rebuilds_left: int,
    *,
    routers: bool,
) -> protocol.Figures:
    """Give the figures of a worker; `known` is what it knows of certificates."""
    everyone = slots.all_slots()
    shown = known.shown.values() if known is not None else ()
    return protocol.Figures(
        number=number,
        instances=collections.Counter(str(slot.automaton.instance.state) for slot in everyone),
        rebuilds_left=rebuilds_left,
        certificates=_certificates(known) if known is not None else {},
        oldest_begins=min((one.begins for one in shown), default=None),
        first_ends=min((one.ends for one in shown), default=None),
        authorities=_authorities(known) if known is not None else {},
        routers=tuple(_routers(everyone, known)) if routers else (),
    )


def _certificates(known: "trust.Census") -> dict[str, int]:
    now = clock.SYSTEM.wall()
    ended = sum(one.ends < now for one in known.shown.values())
    due = sum(one.ends >= now and router_id in known.due for router_id, one in known.shown.items())
    return {"fresh": len(known.shown) - due - ended, "due": due, "ended": ended}


def _authorities(known: "trust.Census") -> dict[int, tuple[float, float]]:
    return {number: (one.begins, one.ends) for number, one in known.authorities.items()}


def _routers(
    everyone: "list[registry.Slot]", known: "trust.Census | None"
) -> "Iterator[protocol.RouterFigures]":
    shown = known.shown if known is not None else {}
    for slot in everyone:
        # The second appliance of a pair has a name of its own; see `instance.names`.
        both = (slot.resource.id, f"{slot.resource.id}-1")
        ends = [shown[name].ends for name in both if name in shown]
        yield protocol.RouterFigures(
            id=slot.resource.id,
            traffic=slot.automaton.instance.describe().traffic,
            certificate_ends=min(ends, default=None),
        )
