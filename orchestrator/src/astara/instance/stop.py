"""End an appliance: the server first, and only when it is gone its ports.

In the other order Nova would unplug NICs of a running appliance one by one, and a port that is
deleted under a server is made again by some hypervisors. Works without the router: everything is
found by its mark.
"""

import logging

from . import boot, names
from .memory import Memory
from .tools import Tools

LOG = logging.getLogger(__name__)


def servers_remain(tools: Tools, memory: Memory, router_id: str) -> bool:
    """Ask Nova to delete what is left of the servers; return whether there was anything."""
    found = tools.nova.servers(names.resource(router_id), names.server_prefix(router_id))
    for server in found:
        if server.task_state != "deleting":
            LOG.info("server.delete router=%s server=%s", router_id, server.id)
        boot.remove(tools, server)
    if not found:
        memory.forget_server()
    return bool(found)


def ports_remain(tools: Tools, memory: Memory, router_id: str) -> bool:
    """Delete all ports of a router's appliance; return whether some are still held."""
    memory.ports = None
    found = tools.neutron.ports_of_router(router_id)
    held = 0
    for port in found:
        if port.device_id and tools.nova.server(port.device_id) is not None:
            held += 1
            continue
        tools.neutron.delete_port(port.id)
    if found:
        LOG.info("ports.deleted router=%s count=%s held=%s", router_id, len(found) - held, held)
    return held > 0
