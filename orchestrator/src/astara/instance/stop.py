"""End an appliance: the server first, and only when it is gone its ports.

In the other order Nova would unplug NICs of a running appliance one by one, and a port that is
deleted under a server is made again by some hypervisors. Works without the router: everything is
found by its mark.
"""

import logging

from .. import clock
from ..clients.nova import Server
from . import affinity, boot, names, probe
from .memory import Memory
from .tools import Tools

LOG = logging.getLogger(__name__)

# Deleting a server takes seconds; one that is still there after so long was forgotten by Nova,
# whose messages a restarting broker loses.
LOST_AFTER_S = 30.0


def servers_remain(tools: Tools, memory: Memory, router_id: str, *, whole: bool) -> bool:
    """Ask Nova to delete what is left of the servers of a member, or of the `whole` router.

    Return whether there was anything.
    """
    if whole:
        found = tools.nova.servers(names.resource(router_id), names.server_prefix(router_id))
    else:
        found = probe.own_servers(tools, router_id, memory.index)
    for server in found:
        _end(tools, memory, server, router_id)
    if not found:
        memory.deletions.clear()
        memory.forget_server()
    return bool(found)


def _end(tools: Tools, memory: Memory, server: Server, router_id: str) -> None:
    """Ask for a server's end, and again if Nova has been at it for too long."""
    now = clock.SYSTEM.monotonic()
    if server.task_state != "deleting":
        LOG.info("server.delete router=%s server=%s", router_id, server.id)
        memory.deletions[server.id] = now
    elif now - memory.deletions.setdefault(server.id, now) > LOST_AFTER_S:
        LOG.warning("server.delete_lost router=%s server=%s", router_id, server.id)
        memory.deletions[server.id] = now
        tools.nova.reset_state(server.id)
        tools.nova.delete_server(server.id)
        return
    boot.remove(tools, server)


def ports_remain(tools: Tools, memory: Memory, router_id: str, *, whole: bool) -> bool:
    """Delete the ports of a member, or of the `whole` router; return whether some are held.

    The ports of a second member are what tells of a server group, so that goes before them.
    """
    memory.ports = None
    found = tools.neutron.ports_of_router(router_id)
    if not whole:
        found = tuple(port for port in found if names.port_index(port.name) == memory.index)
    if any(names.port_index(port.name) for port in found):
        affinity.forget(tools, router_id)
    held = 0
    for port in found:
        if port.device_id and tools.nova.server(port.device_id) is not None:
            held += 1
            continue
        tools.neutron.delete_port(port.id)
    if found:
        LOG.info("ports.deleted router=%s count=%s held=%s", router_id, len(found) - held, held)
    return held > 0
