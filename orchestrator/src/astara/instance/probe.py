"""Look at an instance: Neutron's detail, Nova's server, the appliance's own answer.

Decides in which order to ask, so that a healthy instance costs as few calls as possible: an
appliance that answers is running, and Nova need not be asked. Must never wait for anything but
an answer. Called by all verbs.
"""

import logging

from astara_contract import document as contract

from .. import clock
from ..clients import errors, topology
from ..clients.neutron import Port
from ..clients.nova import Server
from ..drivers.router import document, needs
from . import names, ports, renewal, verdict
from .briefing import Briefing
from .memory import Memory, Wanted
from .tools import Tools

LOG = logging.getLogger(__name__)


def read_detail(tools: Tools, memory: Memory, router_id: str) -> topology.RouterDetail | None:
    """Return the detail of this walk; None means that Neutron has no such router."""
    if not memory.detail_read:
        memory.learn_detail(tools.neutron.router(router_id))
    return memory.detail


def learn(tools: Tools, memory: Memory, found: Briefing) -> None:
    """Take in what was read for this walk together with others."""
    memory.learn_detail(found.router)
    if found.ports is not None:
        told = memory.known
        needed = told.networks if told is not None else needs.carrier_networks(found.router)
        network_id = tools.settings.management_network_id
        memory.learn_ports(needed, ports.sort(found.ports, needed, network_id, memory.index))


def read_ports(
    tools: Tools, memory: Memory, router: topology.RouterDetail, *, fresh: bool = False
) -> ports.Plug:
    """Return the ports of the appliance, remembered as long as the same networks are needed."""
    told = memory.known if memory.detail is router else None
    needed = told.networks if told is not None else needs.carrier_networks(router)
    if fresh or memory.ports is None or memory.ports[0] != needed:
        plug = ports.look(tools.neutron, tools.wish(router.id, needed, memory.index))
        memory.learn_ports(needed, plug)
        return plug
    return memory.ports[1]


def read_server(tools: Tools, memory: Memory, router_id: str) -> Server | None:
    """Ask Nova for the server: the known one, else whichever carries our mark."""
    if memory.server is not None and not memory.doubtful:
        known = tools.nova.server(memory.server.id)
        if known is not None and verdict.usable(known):
            memory.server = known
            return known
    found = own_servers(tools, router_id, memory.index)
    chosen = verdict.choose(found)
    if chosen is not None and verdict.running(chosen):
        _end_doubles(tools, router_id, found, chosen)
        # A creation that was not answered may still make one.
        memory.doubtful = clock.SYSTEM.monotonic() < memory.doubt_until_s
    if chosen is None or (memory.server is not None and chosen.id != memory.server.id):
        memory.forget_server()
    memory.server = chosen
    return chosen


def _count_again(tools: Tools, memory: Memory, router: topology.RouterDetail) -> None:
    """Find out which server has the ports, and delete the others that carry our mark."""
    management = read_ports(tools, memory, router, fresh=True).management
    known = memory.server.id if memory.server is not None else ""
    holder = (management.device_id if management is not None else "") or known
    found = own_servers(tools, router.id, memory.index)
    chosen = verdict.choose(found, holder)
    if chosen is not None and verdict.running(chosen):
        _end_doubles(tools, router.id, found, chosen)
        if chosen.id != known:
            memory.forget_server()
        memory.server = chosen
    memory.recount = False


def _end_doubles(tools: Tools, router_id: str, found: tuple[Server, ...], chosen: Server) -> None:
    """Delete what an unanswered creation left beside the server that runs, and has the ports."""
    doubles = [each for each in found if each.id != chosen.id and each.task_state != "deleting"]
    if doubles:
        tools.fence.confirm(router_id)  # another node may have made the one that serves now
    for server in doubles:
        LOG.warning(
            "server.doubled server=%s status=%s beside=%s", server.id, server.status, chosen.id
        )
        tools.nova.delete_server(server.id)


def own_servers(tools: Tools, router_id: str, index: int) -> tuple[Server, ...]:
    """Ask Nova for the servers of one member, oldest first."""
    found = tools.nova.servers(names.resource(router_id), names.server(router_id, index))
    return tuple(server for server in found if names.server_index(server.name) == index)


def probe(tools: Tools, memory: Memory, management: Port | None, *, more: bool = False) -> bool:
    """Ask the appliance for its status; say whether it answered.

    `more` says that a push may follow in this walk.
    """
    address = tools.address_of(management)
    router_id = ports.router_of(management) if management is not None else ""
    appliance = names.appliance(router_id, memory.index)
    memory.status = None
    if address is not None:
        try:
            memory.status = tools.appliances.status(address, appliance, more=more)
            renewal.renew_if_due(tools, appliance, address)
        except errors.Unavailable as error:
            LOG.debug("appliance.silent address=%s reason=%s", address, error.reason)
        except errors.ServiceError as error:
            # Something answers, but not as an appliance does: to the tenant that is silence.
            LOG.warning("appliance.odd_answer address=%s reason=%s", address, error.reason)
    memory.answering = memory.status is not None
    if memory.status is not None:
        memory.serving = memory.status.digest is not None
        memory.role = memory.status.role
        memory.answered_by = _server_id(memory, management)
    return memory.answering


def _server_id(memory: Memory, management: Port | None) -> str | None:
    """Return the server in which the appliance runs: ours, or the one that holds its port."""
    if memory.server is not None:
        return memory.server.id
    return (management.device_id or None) if management is not None else None


def look(
    tools: Tools, memory: Memory, router: topology.RouterDetail, *, silent: bool = False
) -> None:
    """See whether the server is there and the appliance answers.

    `silent` says that it has just been asked in vain.
    """
    if memory.recount:
        _count_again(tools, memory, router)
    plug = read_ports(tools, memory, router)
    before = _server_id(memory, plug.management)
    asked_already = before is not None
    if asked_already and not silent and probe(tools, memory, plug.management, more=True):
        return
    server = read_server(tools, memory, router.id)
    if server is None or not verdict.running(server):
        return
    if not asked_already or server.id != before:
        probe(
            tools,
            memory,
            read_ports(tools, memory, router, fresh=not memory.ports_read).management,
            more=True,
        )


def desired(
    tools: Tools, memory: Memory, router: topology.RouterDetail, *, fresh: bool = False
) -> verdict.Desired:
    """Return what a healthy appliance would report."""
    plug = read_ports(tools, memory, router, fresh=fresh)
    if not plug.complete:
        return verdict.Desired(macs=None, digest=None)
    return verdict.Desired(macs=plug.macs, digest=wanted(tools, memory, router, plug).digest)


def wanted(
    tools: Tools, memory: Memory, router: topology.RouterDetail, plug: ports.Plug
) -> Wanted:
    """Return the desired document with its digest, built once for the same detail and ports."""
    last = memory.wanted
    same = last is not None and last.router is router and last.plug is plug
    if last is None or not same or last.pair != memory.pair:
        desired = build_document(tools, router, plug, memory.pair)
        last = memory.wanted = Wanted(router, plug, memory.pair, desired, contract.digest(desired))
    return last


def build_document(
    tools: Tools,
    router: topology.RouterDetail,
    plug: ports.Plug,
    pair: contract.HighAvailability | None = None,
) -> contract.Document:
    """Build the desired document for the ports that exist; the management port must."""
    if plug.management is None:
        raise errors.NotFound("network", "build document", "there is no management port")
    carriers = {
        network: document.Nic(mac_address=port.mac_address, network_id=network)
        for network, port in plug.carriers.items()
    }
    management = tools.management_nic(plug.management)
    return document.build(router, management, carriers, tools.site, pair)
