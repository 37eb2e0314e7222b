"""Which networks an appliance must be plugged into to serve a router; pure.

Decides the NICs and the served ports, never how they are made. Called by ``instance`` and by
``document``.
"""

from collections.abc import Mapping

from ...clients import topology

GATEWAY_OWNER = "network:router_gateway"
INTERFACE_OWNERS = frozenset(
    {"network:router_interface", "network:ha_router_replicated_interface"}
)


def logical_ports(router: topology.RouterDetail) -> tuple[topology.RouterPort, ...]:
    """Return the ports that an appliance serves, in the order of their ids."""
    wanted = INTERFACE_OWNERS | {GATEWAY_OWNER}
    served = (port for port in router.ports if port.device_owner in wanted)
    return tuple(sorted(served, key=lambda port: port.id))


def ports_by_network(
    router: topology.RouterDetail,
) -> Mapping[str, tuple[topology.RouterPort, ...]]:
    """Group the logical ports by network: several on one network share a NIC."""
    grouped: dict[str, tuple[topology.RouterPort, ...]] = {}
    for port in logical_ports(router):
        grouped[port.network_id] = (*grouped.get(port.network_id, ()), port)
    return dict(sorted(grouped.items()))


def carrier_networks(router: topology.RouterDetail) -> frozenset[str]:
    """Return the networks on which the appliance needs a carrier port.

    They do not depend on ``admin_state_up``: a router that is switched off keeps its NICs, so
    that switching it on again is only a matter of configuration.
    """
    return frozenset(ports_by_network(router))


def internal_networks(router: topology.RouterDetail) -> frozenset[str]:
    """Return the networks whose hosts the appliance serves with leases and names."""
    return frozenset(
        port.network_id for port in logical_ports(router) if port.device_owner in INTERFACE_OWNERS
    )


def associated_floatingips(router: topology.RouterDetail) -> tuple[topology.FloatingIp, ...]:
    """Return the floating IPs that lead to a port, be it by port forwardings, in the order of
    their addresses.
    """
    associated = (
        fip
        for fip in router.floatingips
        if (fip.port_id and fip.fixed_ip_address) or fip.port_forwardings
    )
    return tuple(sorted(associated, key=lambda fip: (fip.floating_ip_address, fip.id)))
