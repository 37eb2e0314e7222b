"""Tell people what is known about an instance, from memory alone; pure.

Decides nothing. Called by any thread while another may be at work: it takes each reference once.
"""

from collections.abc import Iterator

from ..clients import topology
from ..drivers.router import needs
from ..machine import instance_port
from .memory import Memory
from .ports import Plug
from .tools import Tools


def describe(
    tools: Tools, memory: Memory, *, digest: str, ports: bool
) -> instance_port.Description:
    """Return what is known now."""
    router, server, known = memory.last_detail, memory.server, memory.ports
    plug = known[1] if known is not None else None
    views: list[instance_port.PortView] = []
    if ports and router is not None:
        views.extend(_logical(router))
    if ports and plug is not None:
        views.extend(_plugged(plug))
    return instance_port.Description(
        name=router.name if router is not None else "",
        server_id=server.id if server is not None else "",
        address=(tools.address_of(plug.management) or "") if plug is not None else "",
        digest=digest,
        ports=tuple(views),
    )


def _logical(router: topology.RouterDetail) -> Iterator[instance_port.PortView]:
    """Yield the ports whose addresses the appliance carries."""
    for port in needs.logical_ports(router):
        yield instance_port.PortView(
            use="gateway" if port.device_owner == needs.GATEWAY_OWNER else "interface",
            id=port.id,
            network_id=port.network_id,
            mac_address=port.mac_address,
            addresses=tuple(fixed.ip_address for fixed in port.fixed_ips),
        )


def _plugged(plug: Plug) -> Iterator[instance_port.PortView]:
    """Yield the ports that are NICs of the server."""
    if plug.management is not None:
        yield instance_port.PortView(
            use="management",
            id=plug.management.id,
            network_id=plug.management.network_id,
            mac_address=plug.management.mac_address,
            addresses=tuple(fixed.ip_address for fixed in plug.management.fixed_ips),
        )
    for network_id, port in plug.carriers.items():
        yield instance_port.PortView(
            use="carrier", id=port.id, network_id=network_id, mac_address=port.mac_address
        )
