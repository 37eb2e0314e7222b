"""Rules of the document that types cannot say: addresses that parse, references that hold.

`check` decides whether a well-typed document makes sense and raises ContractError at the first
thing that does not. It changes nothing. Called by `document.parse` alone.
"""

import collections
import itertools
import socket
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from astara_contract import parsed
from astara_contract.errors import ContractError
from astara_contract.shape import Document, Interface, Network, PortForwarding, Subnet

_Parsed = TypeVar("_Parsed")

# Parts of the historic shape that have no meaning in schema version 1. A document that uses them
# is refused: applying it without them would silently be something else than what was asked for.
_NOT_IN_VERSION_1 = ("anchors", "services", "vpn")


def check(document: Document) -> None:
    """Raise ContractError if `document` contradicts itself or an address does not parse."""
    for key in _NOT_IN_VERSION_1:
        if getattr(document, key):
            raise ContractError(f"$.{key}", "not supported by schema version 1: must be empty")
    for at, network in enumerate(document.networks):
        _check_network(network, f"$.networks[{at}]")
    _check_unique(document)
    _check_routing(document)
    _check_floating_ips(document)
    _check_port_forwardings(document)
    _check_counted_and_limited(document)
    _check_pair(document)
    _check_bgp(document)
    _each(document.dns_forwarders, "$.dns_forwarders", _address)
    if document.orchestrator.address:
        _address(document.orchestrator.address, "$.orchestrator.address")
    for key in ("labels", "address_book"):
        for name, cidrs in getattr(document, key).items():
            _each(cidrs, f"$.{key}.{name}", _cidr)


def _check_network(network: Network, path: str) -> None:
    _check_interface(network.interface, f"{path}.interface")
    for at, subnet in enumerate(network.subnets):
        _check_subnet(subnet, f"{path}.subnets[{at}]")
    for at, allocation in enumerate(network.allocations):
        where = f"{path}.allocations[{at}]"
        for text in allocation.ip_addresses:
            _address(text, f"{where}.ip_addresses")


def _check_interface(interface: Interface, path: str) -> None:
    for at, text in enumerate(interface.addresses):
        where = f"{path}.addresses[{at}]"
        _parsed(parsed.interface, text, where)
        if parsed.interface(text).is_multicast:
            raise ContractError(where, f"{text} is a multicast address")
    if not interface.lladdr and not interface.ifname:
        raise ContractError(path, "needs lladdr (or, historically, ifname) to find the NIC")
    if interface.lladdr and int(interface.lladdr[:2], 16) & 1:
        raise ContractError(f"{path}.lladdr", f"{interface.lladdr} is a group address")


def _check_subnet(subnet: Subnet, path: str) -> None:
    network = _cidr(subnet.cidr, f"{path}.cidr")
    if subnet.gateway_ip:
        _same_family(subnet.gateway_ip, network.version, f"{path}.gateway_ip")
    for at, server in enumerate(subnet.dns_nameservers):
        _address(server, f"{path}.dns_nameservers[{at}]")
    for at, route in enumerate(subnet.host_routes):
        where = f"{path}.host_routes[{at}]"
        destination = _cidr(route.destination, f"{where}.destination")
        _same_family(route.nexthop, destination.version, f"{where}.nexthop")
    if network.version == 4 and (subnet.ipv6_ra_mode or subnet.ipv6_address_mode):
        raise ContractError(path, "an IPv4 subnet has no IPv6 modes")


def _check_unique(document: Document) -> None:
    nets = [(f"$.networks[{at}]", network) for at, network in enumerate(document.networks)]
    _unique((f"{path}.network_id", n.network_id) for path, n in nets)
    _unique(
        (f"{path}.interface.lladdr", n.interface.lladdr.lower())
        for path, n in nets
        if n.interface.lladdr
    )
    _unique(
        (f"{path}.interface.addresses[{at}]", parsed.interface(text).ip)
        for path, n in nets
        for at, text in enumerate(n.interface.addresses)
        # Link-local addresses are unique on a link only (RFC 4291 section 2.5.6).
        if not parsed.interface(text).is_link_local
    )
    management = [path for path, n in nets if n.network_type == "management"]
    if len(management) > 1:
        raise ContractError(f"{management[1]}.network_type", "a second management network")


def _check_routing(document: Document) -> None:
    if document.default_v4_gateway:
        _same_family(document.default_v4_gateway, 4, "$.default_v4_gateway")
    for at, (destination, nexthop) in enumerate(document.static_routes):
        network = _cidr(destination, f"$.static_routes[{at}][0]")
        _same_family(nexthop, network.version, f"$.static_routes[{at}][1]")


def _check_floating_ips(document: Document) -> None:
    public = [item.floating_ip for item in document.floating_ips]
    fixed = [item.fixed_ip for item in document.floating_ips]
    # Where it is, is looked for only when something is wrong: there may be thousands.
    if not (_are_ipv4(public) and _are_ipv4(fixed)):
        for at, item in enumerate(document.floating_ips):
            _same_family(item.floating_ip, 4, f"$.floating_ips[{at}].floating_ip")
            _same_family(item.fixed_ip, 4, f"$.floating_ips[{at}].fixed_ip")
    if len(set(public)) < len(public):
        _unique((f"$.floating_ips[{at}].floating_ip", text) for at, text in enumerate(public))
    has_external = any(n.network_type == "external" for n in document.networks)
    for key in ("floating_ips", "port_forwardings"):
        if getattr(document, key) and not has_external:
            raise ContractError(f"$.{key}", "there is no external network to answer on")


def _check_port_forwardings(document: Document) -> None:
    if not document.port_forwardings:
        return
    whole = {item.floating_ip for item in document.floating_ips}
    taken: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
    for at, item in enumerate(document.port_forwardings):
        where = f"$.port_forwardings[{at}]"
        _same_family(item.floating_ip, 4, f"{where}.floating_ip")
        _same_family(item.fixed_ip, 4, f"{where}.fixed_ip")
        if item.floating_ip in whole:
            reason = f"{item.floating_ip} leads as a whole to a machine: it has no ports to spare"
            raise ContractError(f"{where}.floating_ip", reason)
        first, last = _ports(item, where)
        others = taken.setdefault((item.floating_ip, item.protocol), [])
        others.append((first, last, where))
    for ranges in taken.values():
        ranges.sort()
        for (_, end, other), (start, _, where) in itertools.pairwise(ranges):
            if start <= end:
                raise ContractError(f"{where}.port", f"{start} is already taken by {other}")


def _ports(item: PortForwarding, where: str) -> tuple[int, int]:
    last = item.port if item.port_end is None else item.port_end
    if last < item.port:
        raise ContractError(f"{where}.port_end", f"below the first, {item.port}")
    if item.fixed_port_end is not None and item.fixed_port_end - item.fixed_port != (
        last - item.port
    ):
        raise ContractError(f"{where}.fixed_port_end", "not as many ports as are forwarded")
    return item.port, last


def _check_counted_and_limited(document: Document) -> None:
    for at, limit in enumerate(document.rate_limits):
        _same_family(limit.address, 4, f"$.rate_limits[{at}].address")
    _unique(
        (f"$.rate_limits[{at}].address", limit.address)
        for at, limit in enumerate(document.rate_limits)
    )
    for at, label in enumerate(document.metering_labels):
        for index, rule in enumerate(label.rules):
            where = f"$.metering_labels[{at}].rules[{index}]"
            versions = {
                _cidr(text, where).version for text in (rule.source, rule.destination) if text
            }
            if len(versions) > 1:
                raise ContractError(where, "source and destination are of different IP versions")
    _unique(
        (f"$.metering_labels[{at}].id", label.id)
        for at, label in enumerate(document.metering_labels)
    )
    _unique(
        (f"$.conntrack_helpers[{at}]", f"{item.protocol}/{item.port}")
        for at, item in enumerate(document.conntrack_helpers)
    )


def _check_pair(document: Document) -> None:
    pair = document.ha_config
    if not document.ha_resource:
        if pair is not None:
            raise ContractError("$.ha_config", "given, but ha_resource is false")
        return
    if pair is None:
        raise ContractError("$.ha_resource", "needs ha_config: who the other one is")
    _each(pair.peers, "$.ha_config.peers", _address)
    if len(pair.peers) != 1:
        raise ContractError("$.ha_config.peers", "a pair has exactly one peer")
    peer = parsed.address(pair.peers[0])
    own = {
        parsed.interface(text).ip
        for network in document.networks
        for text in network.interface.addresses
    }
    if peer in own:
        raise ContractError("$.ha_config.peers[0]", f"{peer} is this appliance itself")


def _check_bgp(document: Document) -> None:
    neighbors = document.bgp.neighbors if document.bgp else ()
    outside = [
        parsed.interface(text)
        for network in document.networks
        if network.network_type == "external"
        for text in network.interface.addresses
    ]
    for at, neighbor in enumerate(neighbors):
        where = f"$.bgp.neighbors[{at}]"
        address = _address(neighbor.address, f"{where}.address")
        if not any(address in own.network and address != own.ip for own in outside):
            raise ContractError(f"{where}.address", f"{address} is on no external network")
        local = document.asn if neighbor.local_asn is None else neighbor.local_asn
        remote = document.neighbor_asn if neighbor.asn is None else neighbor.asn
        if not local or not remote:
            raise ContractError(where, "0 is no autonomous system (RFC 7607)")
        for index, cidr in enumerate(neighbor.accept):
            if _cidr(cidr, f"{where}.accept[{index}]").version != address.version:
                raise ContractError(f"{where}.accept[{index}]", "of another IP version")
    _unique(
        (f"$.bgp.neighbors[{at}].address", parsed.address(neighbor.address))
        for at, neighbor in enumerate(neighbors)
    )


def _unique(items: Iterable[tuple[str, Hashable]]) -> None:
    seen: dict[Hashable, str] = {}
    for path, value in items:
        if value in seen:
            raise ContractError(path, f"{value} is already at {seen[value]}")
        seen[value] = path


def _each(values: Iterable[str], path: str, rule: Callable[[str, str], object]) -> None:
    for at, value in enumerate(values):
        rule(value, f"{path}[{at}]")


def _address(text: str, path: str) -> parsed.Address:
    return _parsed(parsed.address, text, path)


def _cidr(text: str, path: str) -> parsed.Network:
    return _parsed(parsed.network, text, path)


def _same_family(text: str, version: int, path: str) -> None:
    if _address(text, path).version != version:
        raise ContractError(path, f"{text} is not an IPv{version} address")


def _are_ipv4(texts: list[str]) -> bool:
    """Tell whether all are IPv4 addresses, ten times faster than by address objects."""
    try:
        collections.deque(map(socket.inet_pton, itertools.repeat(socket.AF_INET), texts), maxlen=0)
    except (OSError, ValueError):  # ValueError: an embedded zero
        return False
    return True


def _parsed(parser: Callable[[str], _Parsed], text: str, path: str) -> _Parsed:
    try:
        return parser(text)
    except ValueError as error:
        raise ContractError(path, str(error)) from None
