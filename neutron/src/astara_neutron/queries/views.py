"""Assembles routers with all that a generation covers, in a fixed number of statements.

Called by the API plug-in, for a page of routers and for a single one.
"""

from typing import Any

from .. import facts
from . import bgp, grouping, networks, ports, routers, services, vpn


def read(session: Any, selection: routers.Selection) -> list[facts.RouterView]:
    """Return the selected routers in the order of their ids."""
    found = routers.read(session, selection)
    ids = [router.id for router in found]
    own = ports.of_routers(session, ids)
    internal = internal_networks(own)
    others = ports.of_other_routers(session, internal, ids)
    on_network = grouping.by_key([*own, *others], lambda port: port.network_id)
    attached = networks.read(session, {port.network_id for port in own})
    tallies = ports.tallies(session, internal)
    routes = routers.routes(session, ids)
    floating = grouping.by_key(routers.floatingips(session, ids), lambda fip: fip.router_id)
    ports_of = grouping.by_key(own, lambda port: port.router_id)
    outside = {port.router_id: port.network_id for port in own if ports.is_gateway(port)}
    limits = _gateway_limits(session, ids, outside)
    helpers, labels = (
        services.conntrack_helpers(session, ids),
        services.metering_labels(session, ids),
    )
    connections = vpn.connections(session, ids)
    speakers = bgp.speakers(session, set(outside.values()))

    def view(router: facts.RouterFacts) -> facts.RouterView:
        mine = ports_of.get(router.id, ())
        inside = sorted(internal_networks(mine))
        return facts.RouterView(
            router=router,
            routes=routes.get(router.id, ()),
            ports=mine,
            networks=tuple(attached[net] for net in sorted({port.network_id for port in mine})),
            floatingips=floating.get(router.id, ()),
            tallies={net: tallies[net] for net in inside if net in tallies},
            neighbours={net: _others(on_network[net], router.id) for net in inside},
            gateway_rate_limits=limits.get(router.id, ()),
            conntrack_helpers=helpers.get(router.id, ()),
            metering_labels=labels.get(router.id, ()),
            ipsec_site_connections=connections.get(router.id, ()),
            bgp_speakers=speakers.get(outside.get(router.id, ""), ()),
        )

    return [view(router) for router in found]


def internal_networks(own: tuple[facts.PortFacts, ...] | list[facts.PortFacts]) -> set[str]:
    """Return the networks that router ports serve: all but those of gateways."""
    return {port.network_id for port in own if not ports.is_gateway(port)}


def _others(found: tuple[facts.PortFacts, ...], router_id: str) -> tuple[facts.PortFacts, ...]:
    return tuple(port for port in found if port.router_id != router_id)


def _gateway_limits(
    session: Any, router_ids: list[str], outside: dict[str, str]
) -> dict[str, tuple[facts.RateLimit, ...]]:
    """Return the limits by router: of its own policy, else of its external network's; `outside`
    says which that is.
    """
    of_networks = services.limits_of_networks(session, set(outside.values()))
    inherited = {router: of_networks[net] for router, net in outside.items() if net in of_networks}
    return inherited | services.limits_of_gateways(session, router_ids)
