"""Plug and unplug NICs of a running appliance until they are those the router needs.

Decides by network id which carrier to attach, detach or delete. One pass: it asks for what is
missing and comes back; whether the appliance sees it is looked at by the next pass.
"""

import logging
from concurrent.futures import ThreadPoolExecutor

from ..clients import errors, topology
from ..clients.neutron import Port
from ..drivers.router import needs
from . import ports
from .memory import Memory
from .tools import Tools

LOG = logging.getLogger(__name__)

_AT_ONCE = 4


def request_changes(
    tools: Tools, memory: Memory, router: topology.RouterDetail, server_id: str
) -> bool:
    """Ask for all attachments and detachments; return whether superfluous ports are still held.

    Raises ``errors.Rejected`` when Nova refuses an attachment for good.
    """
    needed = needs.carrier_networks(router)
    plug = ports.provide(tools.neutron, tools.wish(router.id, needed, memory.index))
    memory.learn_ports(needed, plug)
    _attach(tools, server_id, [p for p in plug.carriers.values() if p.device_id != server_id])
    for port in plug.surplus:
        if port.device_id == server_id:
            LOG.info("port.detach server=%s port=%s", server_id, port.id)
            tools.nova.detach_port(server_id, port.id)
    held = ports.remove_idle(tools.neutron, plug.surplus)
    return held > 0


def _attach(tools: Tools, server_id: str, wanted: list[Port]) -> None:
    """Attach several ports at once: Nova answers when the hypervisor has done it, in seconds."""
    if not wanted:
        return
    LOG.info("port.attach server=%s ports=%s", server_id, [port.id for port in wanted])
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(wanted))) as pool:
        asked = [pool.submit(tools.nova.attach_port, server_id, port.id) for port in wanted]
    failures = [error for future in asked if (error := future.exception()) is not None]
    for error in failures:
        # Busy passes by itself; of several failures the one that will not pass counts.
        if not isinstance(error, errors.Busy):
            raise error
    if failures:
        raise failures[0]
