"""Decide which routes the appliance has beside the connected ones, and what has to change.

Pure. Four sources, the first that names a destination wins:

1. the router's extra routes (`static_routes`); several next hops for one destination share the
load; 2. the default gateways of the external networks; 3. the other subnets of external networks,
whose hosts are neighbours although the router has no address there; 4. host routes of the subnets,
as their hosts have them.

A next hop must be in a network that the appliance is connected to (never management); a route
whose next hop is not, or is the appliance itself, is left out and told in `skipped`: one odd host
route of a tenant must not stop the router. An external gateway is always reachable, also outside
its subnet (RFC 1812 section 3.3.1 hosts do it, Neutron allows it).

Called by `RoutesDriver` and, for the gateways, by the reachability probe of the API.
"""

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator

from astara_contract.document import Document, Network

from ...system.netlink import InstalledRoute, Nexthop, Route
from .. import base

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}

PROTOCOL = 172
"""Marks a route as ours in the kernel (0xAC; rtnetlink(7): above RTPROT_STATIC is free for
daemons).
"""

METRIC = 10
"""Better than what a base image may have set up on management, worse than connected routes."""

_BY_HAND = (
    3,
    4,
    PROTOCOL,
)  # RTPROT_BOOT is what `ip route add` gives, RTPROT_STATIC what admins do


@dataclasses.dataclass(frozen=True, slots=True)
class Connected:
    """An address of the appliance on a device."""

    device: str
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """The routes that we own, and those that cannot be."""

    routes: tuple[Route, ...]
    skipped: tuple[str, ...] = ()
    management: str = ""
    """The device whose other routes stay."""

    follow_role: bool = False
    """Whether routes come and go by somebody else's hand."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """Routes to install (or to replace by destination) and to remove."""

    replace: tuple[Route, ...]
    remove: tuple[InstalledRoute, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.replace or self.remove)


def plan_routes(document: Document, facts: base.Facts) -> Desired:
    """Compute our routes; in a pair they follow the role, which its guard alone knows."""
    desired = plan_router(document, facts)
    if document.ha_resource:
        return dataclasses.replace(desired, routes=(), follow_role=True)
    return desired


def plan_router(document: Document, facts: base.Facts) -> Desired:
    """Compute the routes of the router where it has its addresses."""
    connected = tuple(_connected(document, facts))
    skipped: list[str] = []
    routes: dict[str, Route] = {}
    for found in (
        _extra_routes(document, connected, skipped),
        default_routes(document, facts),
        _other_subnets(document, facts),
        _host_routes(document, connected, skipped),
    ):
        for route in found:
            routes.setdefault(route.destination, route)
    management = facts.management
    return Desired(
        tuple(sorted(routes.values())),
        tuple(skipped),
        management=management.device if management else "",
    )


def default_routes(document: Document, facts: base.Facts) -> tuple[Route, ...]:
    """Return the default routes by the external networks, at most one for each IP version."""
    found: dict[int, Route] = {}
    for network in document.networks:
        if network.network_type != "external" or facts.find(network.interface) is None:
            continue
        for gateway in _gateways(network, document.default_v4_gateway):
            route = _default_route(network, gateway, facts)
            if route is not None:
                found.setdefault(gateway.version, route)
    return tuple(found[version] for version in sorted(found))


def change_routes(observed: Iterable[InstalledRoute], desired: Desired) -> Change:
    """Compute the changes that lead from observed to desired."""
    if desired.follow_role:
        return Change((), ())
    observed = tuple(observed)
    have = {item.route.destination: item.route for item in observed if _is_ours(item)}
    want = {route.destination: route for route in desired.routes}
    return Change(
        replace=tuple(route for key, route in sorted(want.items()) if have.get(key) != route),
        remove=tuple(
            item
            for item in sorted(observed, key=_place)
            if (_is_ours(item) and item.route.destination not in want)
            or _is_foreign(item, desired.management)
        ),
    )


def _place(item: InstalledRoute) -> tuple[str, int, int]:
    return (item.route.destination, item.metric, item.protocol)


def _is_ours(item: InstalledRoute) -> bool:
    return (item.protocol, item.metric) == (PROTOCOL, METRIC)


def _is_foreign(item: InstalledRoute, management: str) -> bool:
    """Tell whether somebody added this route by hand where the document decides."""
    devices = {hop.device for hop in item.route.nexthops}
    return item.protocol in _BY_HAND and not _is_ours(item) and devices != {management}


def _connected(document: Document, facts: base.Facts) -> Iterator[Connected]:
    for network in document.networks:
        nic = facts.nic(network.interface)
        if network.network_type == "management" or network.interface.state != "up":
            continue
        for text in network.interface.addresses:
            yield Connected(nic.device, ipaddress.ip_interface(text))


def _gateways(network: Network, default_v4_gateway: str) -> Iterator[_Address]:
    """Yield the gateways of an external network; the document's default gateway comes first."""
    if default_v4_gateway and _claims(network, ipaddress.ip_address(default_v4_gateway)):
        yield ipaddress.ip_address(default_v4_gateway)
    for subnet in network.subnets:
        if subnet.gateway_ip:
            yield ipaddress.ip_address(subnet.gateway_ip)


def _claims(network: Network, gateway: _Address) -> bool:
    return any(
        gateway in ipaddress.ip_network(subnet.cidr)
        or (subnet.gateway_ip and ipaddress.ip_address(subnet.gateway_ip) == gateway)
        for subnet in network.subnets
    )


def _default_route(network: Network, gateway: _Address, facts: base.Facts) -> Route | None:
    if network.interface.state != "up":
        return None
    device = facts.nic(network.interface).device
    own = [ipaddress.ip_interface(text) for text in network.interface.addresses]
    own = [address for address in own if address.version == gateway.version]
    if not own or gateway in {address.ip for address in own}:
        return None
    near = [address for address in own if gateway in address.network]
    # A preferred source keeps our own traffic off the floating IPs that live on the same device.
    usable = [a for a in [*near, *own] if not a.ip.is_link_local]
    return Route(
        destination=_DEFAULT[gateway.version],
        nexthops=(Nexthop(str(gateway), device, onlink=not near and not gateway.is_link_local),),
        source=str(usable[0].ip) if usable else None,
    )


def _other_subnets(document: Document, facts: base.Facts) -> Iterator[Route]:
    for network in document.networks:
        if network.network_type != "external" or network.interface.state != "up":
            continue
        device = facts.nic(network.interface).device
        own = [ipaddress.ip_interface(text) for text in network.interface.addresses]
        own = [address for address in own if not address.ip.is_link_local]
        for cidr in (ipaddress.ip_network(subnet.cidr) for subnet in network.subnets):
            usable = [address.ip for address in own if address.version == cidr.version]
            if usable and not any(address in cidr for address in usable):
                yield Route(str(cidr), (Nexthop("", device),), str(usable[0]))


def _extra_routes(
    document: Document, connected: tuple[Connected, ...], skipped: list[str]
) -> Iterator[Route]:
    wanted: dict[str, list[str]] = {}
    for destination, nexthop in document.static_routes:
        wanted.setdefault(_normal(destination), []).append(nexthop)
    for destination, nexthops in wanted.items():
        hops = {_hop(nexthop, connected) for nexthop in nexthops} - {None}
        if hops:
            yield Route(destination, tuple(sorted(hop for hop in hops if hop is not None)))
        else:
            skipped.append(f"{destination} via {nexthops[0]}")


def _host_routes(
    document: Document, connected: tuple[Connected, ...], skipped: list[str]
) -> Iterator[Route]:
    local = {str(item.address.network) for item in connected}
    for network in document.networks:
        if network.network_type == "management":
            continue
        for route in (route for subnet in network.subnets for route in subnet.host_routes):
            destination = ipaddress.ip_network(route.destination)
            # A subnet's default route or its way to the metadata address is meant for its hosts,
            # not for their router.
            if destination.prefixlen == 0 or destination.is_link_local:
                continue
            hop = _hop(route.nexthop, connected)
            if hop is not None and str(destination) not in local:
                yield Route(str(destination), (hop,))
            elif hop is None:
                skipped.append(f"{destination} via {route.nexthop}")


def _hop(nexthop: str, connected: tuple[Connected, ...]) -> Nexthop | None:
    """Return the way to `nexthop`, None if no connected network has it or it is our own."""
    gateway = ipaddress.ip_address(nexthop)
    ways = [
        item
        for item in connected
        if gateway.version == item.address.version
        and gateway in item.address.network
        and not gateway.is_link_local
    ]
    if not ways or any(item.address.ip == gateway for item in connected):
        return None
    best = max(ways, key=lambda item: item.address.network.prefixlen)
    return Nexthop(str(gateway), best.device)


def _normal(destination: str) -> str:
    return str(ipaddress.ip_network(destination))
