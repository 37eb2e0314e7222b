"""Tell people what is known about an instance, from memory alone; pure.

Decides nothing. Called by any thread while another may be at work: it takes each reference once.
"""

from collections.abc import Iterator, Sequence

from ..machine import instance_port
from ..metering import traffic
from . import pair
from .member import Member
from .memory import Memory
from .ports import Plug
from .tools import Tools


def describe(tools: Tools, members: Sequence[Member], *, ports: bool) -> instance_port.Description:
    """Return what is known now."""
    router = members[0].memory.known
    views = tuple(_member(tools, each) for each in members)
    shown = next((view for view in views if view.role == "master"), views[0])
    seen: list[instance_port.PortView] = []
    if ports and router is not None:
        seen.extend(router.ports)
    for member in members if ports else ():
        plug = _plug(member.memory)
        if plug is not None:
            seen.extend(_plugged(plug))
    return instance_port.Description(
        name=router.name if router is not None else "",
        server_id=shown.server_id,
        address=shown.address,
        digest=shown.digest,
        ports=tuple(seen),
        members=views if len(views) > 1 else (),
        traffic=_used(members),
    )


def _used(members: Sequence[Member]) -> dict[str, tuple[int, int, int, int]]:
    """Add up what was read of the counters of all appliances."""
    used: dict[str, tuple[int, int, int, int]] = {}
    for member in members:
        for scope, amount in member.memory.used.items():
            before = used.get(scope)
            used[scope] = amount if before is None else amount.plus(traffic.Amount(*before))
    return used


def _member(tools: Tools, member: Member) -> instance_port.MemberView:
    memory, plug = member.memory, _plug(member.memory)
    server = memory.server
    return instance_port.MemberView(
        index=member.index,
        state=member.state,
        role=memory.role,
        answering=memory.answering,
        server_id=server.id if server is not None else _server_of(plug),
        address=(tools.address_of(plug.management) or "") if plug is not None else "",
        digest=member.digest,
        note=_note(member.view()),
    )


def _note(view: pair.View) -> str:
    if view.held:
        return "could not be repaired; tried again later"
    return "to be replaced" if view.outdated else ""


def _plug(memory: Memory) -> Plug | None:
    known = memory.ports
    return known[1] if known is not None else None


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
