"""Routers, their extra routes and floating IPs; called by `views`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from neutron.db.models import l3, l3_attrs

from .. import facts
from . import grouping, services


@dataclass(frozen=True, slots=True)
class Selection:
    """Which routers to read, in the order of their ids.

    `filters` maps column names to accepted values. `marker` is the last id of the page before; it
    need not exist any more, so a router that is deleted meanwhile does not end an audit.
    """

    filters: Mapping[str, Collection[str]] = field(default_factory=dict)
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False


def read(session: Any, selection: Selection) -> list[facts.RouterFacts]:
    """Return the selected routers."""
    router, extra = l3.Router, l3_attrs.RouterExtraAttributes
    query = sa.select(
        router.id,
        router.project_id,
        router.name,
        router.admin_state_up,
        router.status,
        router.flavor_id,
        router.enable_snat,
        extra.ha,
    ).outerjoin(extra, extra.router_id == router.id)
    found = [
        facts.RouterFacts(
            id=row.id,
            project_id=row.project_id or "",
            name=row.name or "",
            admin_state_up=bool(row.admin_state_up),
            status=row.status,
            ha=bool(row.ha),
            flavor_id=row.flavor_id,
            enable_snat=bool(row.enable_snat),
        )
        for row in session.execute(_narrow(query, selection))
    ]
    # "Previous page" means the routers before the marker, still in ascending order.
    return found[::-1] if selection.reverse else found


def routes(session: Any, router_ids: Collection[str]) -> dict[str, tuple[facts.Route, ...]]:
    """Return the extra routes by router."""
    route = l3.RouterRoute
    rows = session.execute(
        sa.select(route.router_id, route.destination, route.nexthop)
        .where(route.router_id.in_(router_ids))
        .order_by(route.destination, route.nexthop)
    )
    return grouping.pairs(
        (row.router_id, facts.Route(row.destination, row.nexthop)) for row in rows
    )


def floatingips(session: Any, router_ids: Collection[str]) -> list[facts.FloatingIpFacts]:
    """Return the floating IPs that lead through these routers."""
    fip = l3.FloatingIP
    rows = session.execute(
        sa.select(
            fip.id,
            fip.router_id,
            fip.floating_ip_address,
            fip.fixed_ip_address,
            fip.fixed_port_id,
            fip.floating_network_id,
            fip.status,
        )
        .where(fip.router_id.in_(router_ids))
        .order_by(fip.id)
    ).all()
    ids = [row.id for row in rows]
    forwarded = services.port_forwardings(session, ids)
    limits = services.limits_of_floatingips(session, ids)
    of_networks = services.limits_of_networks(session, {row.floating_network_id for row in rows})
    return [
        facts.FloatingIpFacts(
            id=row.id,
            router_id=row.router_id,
            floating_ip_address=row.floating_ip_address,
            fixed_ip_address=row.fixed_ip_address,
            port_id=row.fixed_port_id,
            floating_network_id=row.floating_network_id,
            status=row.status,
            port_forwardings=forwarded.get(row.id, ()),
            rate_limits=limits.get(row.id, of_networks.get(row.floating_network_id, ())),
        )
        for row in rows
    ]


def _narrow(query: Any, selection: Selection) -> Any:
    column = l3.Router.id
    for name, values in selection.filters.items():
        query = query.where(getattr(l3.Router, name).in_(values))
    if selection.marker is not None:
        marker = selection.marker
        query = query.where(column < marker if selection.reverse else column > marker)
    return query.order_by(column.desc() if selection.reverse else column).limit(selection.limit)
