"""What the guard of a pair and keepalived are told.

Decides that keepalived elects alone: it gets no address of the router, only one of its own on lo
because it insists on one, and tells its state through a FIFO. Preemption is off: the higher
priority decides only where there is no master. Texts are made of parsed addresses, numbers and
vetted device names. Pure; called by `driver`.
"""

import ipaddress
from typing import TYPE_CHECKING

from ...pair import settings
from .. import base, links
from ..interfaces import plan as interfaces_plan
from ..routes import plan as routes_plan

if TYPE_CHECKING:
    from astara_contract.document import Document, HighAvailability

    from ...system.netlink import Route

_NAME = "vrrp"


def configuration(
    document: "Document",
    facts: base.Facts,
    own_addresses: tuple[str, ...],
    places: settings.Places,
) -> tuple[str, settings.Settings] | None:
    """Return keepalived's text and the guard's settings, None for a single appliance.

    `own_addresses` are those of management ("ip/prefix"). Raises CheckFailed where the peer cannot
    be talked to.
    """
    pair = document.ha_config
    if pair is None:
        return None
    of = links.links(document, facts)
    carriers = tuple(sorted(link.device for link in of if link.role != "management"))
    management = facts.management
    if management is None:
        raise base.CheckFailed(_NAME, "there is no management NIC to hear the peer on")
    own = own_address(pair.peers[0], own_addresses)
    text = _keepalived(pair, management.device, own, carriers, places)
    return text, settings.Settings(
        management=management.device,
        peer=pair.peers[0],
        advert_interval_ms=pair.advert_interval_ms,
        carriers=carriers,
        addresses=_addresses(document, facts),
        routes=tuple(map(_route, routes_plan.plan_router(document, facts).routes)),
        keepalived=settings.digest(text),
        conntrackd=str(places.conntrackd) if pair.synchronise_connections else "",
    )


def own_address(peer: str, own_addresses: tuple[str, ...]) -> str:
    """Return the management address that talks to `peer`; CheckFailed if there is none."""
    wanted = ipaddress.ip_address(peer)
    known = [ipaddress.ip_interface(text) for text in own_addresses]
    same = [item for item in known if item.version == wanted.version]
    near = [item for item in same if wanted in item.network]
    for item in (*near, *same):
        if item.ip != wanted:
            return str(item.ip)
    raise base.CheckFailed(_NAME, f"no management address of our own to talk to {wanted}")


def _addresses(document: "Document", facts: base.Facts) -> tuple[settings.Address, ...]:
    return tuple(
        settings.Address(
            device=link.device,
            mac=link.mac,
            address=address,
            deprecated=address == interfaces_plan.METADATA_V6,
        )
        for link in interfaces_plan.plan_router(document, facts)
        for address in sorted(link.addresses)
    )


def _route(route: "Route") -> settings.Route:
    return settings.Route(
        destination=route.destination,
        hops=tuple(
            settings.Hop(gateway=hop.gateway, device=hop.device, onlink=hop.onlink)
            for hop in route.nexthops
        ),
        source=route.source,
    )


def _keepalived(
    pair: "HighAvailability",
    management: str,
    own: str,
    carriers: tuple[str, ...],
    places: settings.Places,
) -> str:
    peer = ipaddress.ip_address(pair.peers[0])
    v6 = peer.version == 6
    number = pair.virtual_router_id
    pretext = f"fe80::a57a:{number:x}/128" if v6 else f"169.254.165.{number}/32"
    lines = [
        "global_defs {",
        f"    router_id {settings.INSTANCE}",
        "    vrrp_version 3",
        "    script_user root",
        f"    vrrp_notify_fifo {places.fifo}",
        "    vrrp_priority -20",
        "    max_auto_priority 50",
        "}",
        f"vrrp_instance {settings.INSTANCE} {{",
        "    version 3",
        "    state BACKUP",
        "    nopreempt",
        *(["    native_ipv6"] if v6 else []),
        f"    interface {management}",
        f"    virtual_router_id {number}",
        f"    priority {pair.priority}",
        f"    advert_int {pair.advert_interval_ms / 1000:g}",
        f"    unicast_src_ip {own}",
        "    check_unicast_src",
        "    unicast_peer {",
        f"        {peer}",
        "    }",
        "    virtual_ipaddress {",
        f"        {pretext} dev lo",
        "    }",
    ]
    if carriers:
        lines += ["    track_interface {", *(f"        {name}" for name in carriers), "    }"]
    return "\n".join([*lines, "}", ""])
