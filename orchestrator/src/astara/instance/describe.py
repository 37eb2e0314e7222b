"""Tell people what is known about an instance, from memory alone; pure.

Decides nothing. Called by any thread while another may be at work: it takes each reference once.
"""

from collections.abc import Iterator

from ..machine import instance_port
from .memory import Memory
from .ports import Plug
from .tools import Tools


def describe(
    tools: Tools, memory: Memory, *, digest: str, ports: bool
) -> instance_port.Description:
    """Return what is known now."""
    router, server, known = memory.known, memory.server, memory.ports
    plug = known[1] if known is not None else None
    views: list[instance_port.PortView] = []
    if ports and router is not None:
        views.extend(router.ports)
    if ports and plug is not None:
        views.extend(_plugged(plug))
    return instance_port.Description(
        name=router.name if router is not None else "",
        server_id=server.id if server is not None else _server_of(plug),
        address=(tools.address_of(plug.management) or "") if plug is not None else "",
        digest=digest,
        ports=tuple(views),
        traffic=dict(memory.used),
    )


def _server_of(plug: Plug | None) -> str:
    """Return the server that holds the management port: Nova is not asked while all is well."""
    return plug.management.device_id if plug is not None and plug.management is not None else ""


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
