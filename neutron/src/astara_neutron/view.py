"""The API's answer, built from facts: the shape that the orchestrator reads.

Pure; called by the API plug-in only. A new key belongs in the attribute map of the `astara_router`
extension too, or the API layer drops it.
"""

import dataclasses

from . import facts, generation

#: What a detail has and a summary lacks.
DETAILS = frozenset(
    {
        "name",
        "enable_snat",
        "routes",
        "ports",
        "networks",
        "floatingips",
        "gateway_rate_limits",
        "conntrack_helpers",
        "metering_labels",
        "ipsec_site_connections",
        "bgp_speakers",
    }
)


def summary(view: facts.RouterView) -> dict[str, object]:
    """Return a router as the list shows it."""
    router = view.router
    return {
        "id": router.id,
        "project_id": router.project_id,
        "generation": generation.generation(view),
        "ha": router.ha,
        "admin_state_up": router.admin_state_up,
        "status": router.status,
        "flavor_id": router.flavor_id,
    }


def detail(
    view: facts.RouterView, allocations: dict[str, tuple[facts.Allocation, ...]]
) -> dict[str, object]:
    """Return all that the appliance of one router needs; `allocations` by internal network."""
    return {
        **summary(view),
        "name": view.router.name,
        "enable_snat": view.router.enable_snat,
        "routes": [dataclasses.asdict(route) for route in sorted(view.routes)],
        "ports": [_without(port, "router_id") for port in view.ports],
        "networks": [_network(net, allocations.get(net.id, ())) for net in view.networks],
        "floatingips": [_without(fip, "router_id") for fip in view.floatingips],
        "gateway_rate_limits": [dataclasses.asdict(item) for item in view.gateway_rate_limits],
        "conntrack_helpers": [dataclasses.asdict(item) for item in view.conntrack_helpers],
        "metering_labels": [dataclasses.asdict(item) for item in view.metering_labels],
        "ipsec_site_connections": [
            _without(item, "router_id") for item in view.ipsec_site_connections
        ],
        "bgp_speakers": [dataclasses.asdict(item) for item in view.bgp_speakers],
    }


def _network(
    network: facts.NetworkFacts, allocations: tuple[facts.Allocation, ...]
) -> dict[str, object]:
    return {
        **dataclasses.asdict(network),
        "subnets": [_without(subnet, "network_id") for subnet in network.subnets],
        "allocations": [_without(allocation, "network_id") for allocation in allocations],
    }


def _without(
    item: facts.PortFacts
    | facts.SubnetFacts
    | facts.FloatingIpFacts
    | facts.Allocation
    | facts.IpsecSiteConnection,
    key: str,
) -> dict[str, object]:
    content = dataclasses.asdict(item)
    del content[key]
    return content
