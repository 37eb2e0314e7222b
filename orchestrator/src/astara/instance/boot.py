"""Give a router a server: ports first, then Nova; adopt what an earlier try left.

Must never boot a second server beside a usable one, and never repeat a creation by itself: a
creation whose answer was lost is found again by its mark.
"""

import logging

from .. import clock, metrics
from ..clients import errors, topology
from ..clients.neutron import Port
from ..clients.nova import Server, ServerRequest
from ..drivers.router import needs
from ..machine import instance_port
from ..metering import traffic
from . import affinity, names, ports, probe, userdata, verdict
from .memory import Memory
from .tools import Tools

LOG = logging.getLogger(__name__)

# For how long a creation that Nova did not answer may still come about: it was slow already.
DOUBT_S = 30.0
# The same where the connection was lost: Nova may be writing down what it was told.
CUT_OFF_DOUBT_S = 5.0
_LOOK_AGAIN_S = 2.0


def boot(tools: Tools, memory: Memory, router: topology.RouterDetail) -> bool:
    """Ask Nova for a server; return False if a usable one was there already (now remembered)."""
    found = probe.own_servers(tools, router.id, memory.index)
    existing = verdict.choose(found)
    if existing is not None and verdict.usable(existing):
        if memory.server is None or memory.server.id != existing.id:
            memory.forget_server()
        memory.server = existing
        LOG.info("server.adopted router=%s server=%s", router.id, existing.id)
        return False
    if found:
        _remove_unusable(tools, found)
    if (left_s := memory.doubt_until_s - clock.SYSTEM.monotonic()) > 0:
        reason = "Nova has not answered a creation, which may still come about"
        raise instance_port.Retry(reason, min(left_s, _LOOK_AGAIN_S))
    memory.forget_server()
    tools.fence.confirm(router.id)  # Nova knows no epochs: a second server would be ours to find
    plug = _prepare_ports(tools, memory, router)
    server_id = _request(tools, memory, router, plug)
    memory.counted = traffic.NOTHING
    name = names.server(router.id, memory.index)
    memory.server = Server(id=server_id, status="BUILD", name=name)
    LOG.info("server.requested router=%s server=%s ports=%s", router.id, server_id, len(plug.macs))
    return True


def _remove_unusable(tools: Tools, found: tuple[Server, ...]) -> None:
    """Delete servers that cannot serve; their ports are free when they are gone."""
    for server in found:
        LOG.warning(
            "server.unusable server=%s status=%s fault=%s",
            server.id,
            server.status,
            server.fault.message if server.fault else "",
        )
        remove(tools, server)
    raise instance_port.Retry(f"server {found[0].id} is being deleted")


def remove(tools: Tools, server: Server) -> None:
    """Ask Nova to end a server, unless it is at it already."""
    if server.status == "SOFT_DELETED":
        tools.nova.force_delete_server(server.id)
    elif server.task_state != "deleting":
        tools.nova.delete_server(server.id)


def _prepare_ports(tools: Tools, memory: Memory, router: topology.RouterDetail) -> ports.Plug:
    """Make the missing ports, free those that a vanished server still seems to hold."""
    needed = needs.carrier_networks(router)
    plug = ports.provide(tools.neutron, tools.wish(router.id, needed, memory.index))
    memory.learn_ports(needed, plug)
    for port in [*plug.carriers.values(), plug.management, *plug.surplus]:
        if port is not None and port.device_id:
            _free(tools, port)
    ports.remove_idle(tools.neutron, plug.surplus)
    return plug


def _free(tools: Tools, port: Port) -> None:
    """Empty the device of a port whose server is gone; Nova refuses ports in use."""
    if tools.nova.server(port.device_id) is not None:
        raise instance_port.Retry(f"port {port.id} still belongs to server {port.device_id}")
    LOG.warning("port.freed port=%s server=%s", port.id, port.device_id)
    tools.neutron.update_port(port.id, {"device_id": "", "device_owner": ""})


def _request(tools: Tools, memory: Memory, router: topology.RouterDetail, plug: ports.Plug) -> str:
    """Ask Nova for the server; what it refuses counts as a failed boot."""
    if plug.management is None:
        raise instance_port.Retry(f"no management port for router {router.id}")
    nic = tools.management_nic(plug.management)
    trust = tools.appliances.trust
    first_boot = userdata.FirstBoot(
        router_id=router.id,
        mac_address=nic.mac_address,
        addresses=nic.addresses,
        mtu=nic.mtu,
        api_port=tools.settings.api_port,
        ssh_public_key=tools.settings.ssh_public_key,
        tls=trust.first(names.appliance(router.id, memory.index)) if trust is not None else None,
        log_json=tools.settings.log_json,
    )
    request = ServerRequest(
        name=names.server(router.id, memory.index),
        image_id=memory.image_id or tools.settings.image_id,
        flavor_id=tools.flavor_id(),
        port_ids=(plug.management.id, *(port.id for port in plug.carriers.values())),
        user_data=userdata.render(first_boot),
        resource=names.resource(router.id),
        group_id=affinity.group(tools, router.id) if router.ha else None,
    )
    metrics.BOOTS.labels("asked").inc()
    try:
        return tools.nova.create_server(request)
    except errors.Unavailable as error:
        if error.status is None or isinstance(error, errors.TimedOut):
            doubt_s = DOUBT_S if isinstance(error, errors.TimedOut) else CUT_OFF_DOUBT_S
            memory.doubtful = True
            memory.doubt_until_s = clock.SYSTEM.monotonic() + doubt_s
        raise
    except errors.Rejected as error:
        metrics.BOOTS.labels("failed").inc()
        raise instance_port.BootFailed(str(error)) from error
