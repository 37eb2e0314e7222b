"""What is in the firewall's sets and maps for a document.

Elements are text as nft reads it, in one canonical spelling, so that desired and listed ones
compare as strings: `"eth2" . 10.0.0.0/24`, `203.0.113.7 : 10.0.0.5`. They are made of parsed
addresses and vetted device names only, never of a document's strings. Pure; called by `driver`.
"""

import dataclasses
import ipaddress
import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from .. import base, limits, links
from . import nft, openings, scopes, skeleton

if TYPE_CHECKING:
    from astara_contract.document import Document

_PUBLIC = ("public4", *skeleton.COUNTED)

Elements = Mapping[str, frozenset[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Management:
    """How the appliance is reached: what boot set up, also before there is a document."""

    device: str | None
    addresses: tuple[str, ...]
    """With prefix lengths."""

    ports: tuple[int, ...]


def elements(
    document: "Document",
    of: tuple[links.Link, ...],
    management: Management,
    needs: base.Openings = base.NO_OPENINGS,
) -> dict[str, frozenset[str]]:
    """Return the wanted elements of every set and map of the skeleton."""
    parts: defaultdict[str, list[Set[str]]] = defaultdict(list)
    for found in (
        _management(of, management),
        _zones(of),
        _own_addresses(of),
        _sources(document, of),
        _translation(document, of),
        scopes.elements(of, snat=document.enable_snat),
        _forwardings(document),
        _classes(document, of),
        _advertising(of),
        _peers(document),
        _bgp(document),
        openings.elements(needs),
    ):
        for name, items in found.items():
            if items:
                parts[name].append(items)
    return {name: _joined(parts[name]) for name in (*skeleton.SETS, *skeleton.MAPS)}


def parse_listing(listing: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return the elements in the JSON listing of the table (libnftables-json(5))."""
    found = {}
    for item in listing["nftables"]:
        described = item.get("set") or item.get("map")
        if described is not None:
            kinds = described["type"]
            kinds = [kinds] if isinstance(kinds, str) else kinds
            found[described["name"]] = frozenset(
                _listed(element, kinds) for element in described.get("elem", ())
            )
    return found


def _joined(parts: Sequence[Set[str]]) -> frozenset[str]:
    """Join parts; a single one is not copied: some hold every floating IP, and they are kept."""
    return frozenset(parts[0]) if len(parts) == 1 else frozenset().union(*parts)


def key_of(element: str) -> str:
    """Return the part of a map's element that names it; a set's element is all key."""
    return element.partition(" : ")[0]


def value_of(element: str) -> str:
    """Return what a map's element leads to."""
    return element.partition(" : ")[2]


def _zones(of: tuple[links.Link, ...]) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for link in of:
        device = _quoted(link.device)
        if link.role == "external":
            found["external_if"].add(device)
            found["input_zone"].add(f"{device} : jump input_external")
            found["source_zone"].add(f"{device} : jump source_external")
            found["forward_zone"].add(f"{device} : jump forward_external")
        elif link.is_tenant:
            found["tenant_if"].add(device)
            found["input_zone"].add(f"{device} : jump input_tenant")
            found["source_zone"].add(f"{device} : jump source_tenant")
        if link.role == "internal":
            found["internal_if"].add(device)
            found["same_link"].add(f"{device} . {device}")
            found["forward_zone"].add(f"{device} : jump forward_internal")
    return found


def _management(of: tuple[links.Link, ...], booted: Management) -> dict[str, set[str]]:
    networks = [link for link in of if link.role == "management"]
    devices = {link.device for link in networks} | ({booted.device} if booted.device else set())
    listed = [text for link in networks for text in link.network.interface.addresses]
    owns = [ipaddress.ip_interface(text).ip for text in (*booted.addresses, *listed)]
    return {
        "management_if": {_quoted(device) for device in devices},
        "input_zone": {f"{_quoted(device)} : jump input_management" for device in devices},
        "management_port": {str(port) for port in booted.ports},
        "management4": {str(own) for own in owns if own.version == 4},
        "management6": {str(own) for own in owns if own.version == 6},
    }


def _own_addresses(of: tuple[links.Link, ...]) -> dict[str, set[str]]:
    outside = {str(own.ip) for link in of if link.role == "external" for own in link.v4}
    return {"external4": outside, "public4": set(outside)}


def _sources(document: "Document", of: tuple[links.Link, ...]) -> dict[str, set[str]]:
    """Compute who may send on which tenant interface: its subnets, and what is routed by it."""
    tenants = [link for link in of if link.is_tenant]
    behind: dict[str, list[links.AnyNetwork]] = {
        link.device: list(links.connected(link)) for link in tenants
    }
    on_link = [network for networks in behind.values() for network in networks]
    for link in tenants:
        connected = links.connected(link)
        for destination, nexthop in links.routes(document):
            hop = ipaddress.ip_address(nexthop)
            if any(hop in network for network in connected) and not link.has_address(nexthop):
                behind[link.device].append(destination)
    found: dict[str, set[str]] = {"source4": set(), "source6": set()}
    for device, networks in behind.items():
        for version in (4, 6):
            merged = _merged(networks, version)
            found[f"source{version}"].update(f"{_quoted(device)} . {cidr}" for cidr in merged)
    for version in (4, 6):
        found[f"connected{version}"] = _merged(on_link, version)
    return found


def _translation(document: "Document", of: tuple[links.Link, ...]) -> dict[str, Set[str]]:
    external = [link for link in of if link.role == "external"]
    internal = [link for link in of if link.role == "internal"]
    floating = document.floating_ips
    seen_as = {item.fixed_ip: item.floating_ip for item in floating}
    if len(seen_as) < len(floating):
        # Of several floating IPs of one address, the lowest is the one it is seen as outside.
        highest_first = sorted(floating, key=lambda item: _number(item.floating_ip), reverse=True)
        seen_as = {item.fixed_ip: item.floating_ip for item in highest_first}
    public = frozenset(links.public_addresses(document))
    found: dict[str, Set[str]] = {
        "floating_to_fixed": frozenset([f"{x.floating_ip} : {x.fixed_ip}" for x in floating]),
        "fixed_to_floating": frozenset([f"{fixed} : {own}" for fixed, own in seen_as.items()]),
        **dict.fromkeys(_PUBLIC, public),
    }
    if document.enable_snat:
        found["snat_address"] = {
            f"{_quoted(link.device)} : {_outgoing(link, document)}" for link in external if link.v4
        }
    else:
        found["unnatted_if"] = {_quoted(link.device) for link in external}
    outside = [link for link in external if link.v4]
    if outside:
        hairpin = _outgoing(outside[0], document)
        # Hairpin traffic needs this also where SNAT is off: between two machines of one network
        # the answer would otherwise not come back through us.
        found["hairpin_address"] = {f"{_quoted(link.device)} : {hairpin}" for link in internal}
    return found


def _outgoing(link: links.Link, document: "Document") -> str:
    """Return the address under which machines leave by `link`: one that the gateway has for its
    neighbour, where there are several.
    """
    gateway = document.default_v4_gateway
    near = [own for own in link.v4 if gateway and ipaddress.ip_address(gateway) in own.network]
    return str((*near, *link.v4)[0].ip)


def _forwardings(document: "Document") -> dict[str, set[str]]:
    """Compute the ports of floating IPs that lead to machines.

    Ranges are one element each, but for those that change the ports: nftables translates a range
    to one port or to the same ports, so these are told port by port.
    """
    found: dict[str, set[str]] = {"port_to_port": set(), "ports_to_port": set()}
    found["ports_to_fixed"] = set()
    for item in document.port_forwardings:
        last = item.port if item.port_end is None else item.port_end
        key = f"{item.floating_ip} . {item.protocol}"
        ports = f"{item.port}-{last}"
        if item.fixed_port_end is None and last > item.port:
            found["ports_to_port"].add(f"{key} . {ports} : {item.fixed_ip} . {item.fixed_port}")
        elif item.fixed_port == item.port and last > item.port:
            found["ports_to_fixed"].add(f"{key} . {ports} : {item.fixed_ip}")
        else:
            shift = item.fixed_port - item.port
            found["port_to_port"].update(
                f"{key} . {port} : {item.fixed_ip} . {port + shift}"
                for port in range(item.port, last + 1)
            )
    return found


def _classes(document: "Document", of: tuple[links.Link, ...]) -> dict[str, set[str]]:
    """Compute the traffic class of each limited address, and which devices have classes."""
    found: dict[str, set[str]] = {"class_zone": set()}
    for direction in limits.DIRECTIONS:
        role = "internal" if direction == "ingress" else "external"
        numbers = limits.numbers(document, direction)
        found[f"{direction}_class"] = {
            f"{address} : {limits.CLASSES}:{number:x}" for address, number in numbers.items()
        }
        found["class_zone"] |= {
            f"{_quoted(link.device)} : jump class_{direction}"
            for link in of
            if numbers and link.role == role
        }
    return found


def _advertising(of: tuple[links.Link, ...]) -> dict[str, set[str]]:
    return {
        "advertising_if": {
            _quoted(link.device)
            for link in of
            if link.is_tenant and any(subnet.ipv6_ra_mode for subnet in link.network.subnets)
        }
    }


def _peers(document: "Document") -> dict[str, set[str]]:
    pair = document.ha_config
    peers = [ipaddress.ip_address(text) for text in pair.peers] if pair else []
    return {
        f"peer{version}": {str(peer) for peer in peers if peer.version == version}
        for version in (4, 6)
    }


def _bgp(document: "Document") -> dict[str, set[str]]:
    neighbors = document.bgp.neighbors if document.bgp else ()
    addresses = [ipaddress.ip_address(neighbor.address) for neighbor in neighbors]
    return {
        f"bgp{version}": {str(item) for item in addresses if item.version == version}
        for version in (4, 6)
    }


def _merged(networks: Iterable[links.AnyNetwork], version: int) -> set[str]:
    """Return the networks of `version` without overlaps, which interval sets refuse."""
    if version == 4:
        v4 = [item for item in networks if isinstance(item, ipaddress.IPv4Network)]
        return {_spelled(cidr) for cidr in ipaddress.collapse_addresses(v4)}
    v6 = [item for item in networks if isinstance(item, ipaddress.IPv6Network)]
    return {_spelled(cidr) for cidr in ipaddress.collapse_addresses(v6)}


def _spelled(cidr: links.AnyNetwork) -> str:
    """Spell `cidr` as nft lists it: a single address without its prefix length."""
    return str(cidr.network_address) if cidr.prefixlen == cidr.max_prefixlen else str(cidr)


def _quoted(device: str) -> str:
    return f'"{device}"'


def _number(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET, address)


def _listed(element: Any, kinds: list[str]) -> str:
    if isinstance(element, list):
        key, value = element
        return f"{_listed(key, kinds)} : {_value(value)}"
    if isinstance(element, dict) and "elem" in element:
        return _listed(element["elem"]["val"], kinds)  # one with a counter
    if isinstance(element, dict) and "concat" in element:
        parts = zip(element["concat"], kinds, strict=True)
        return " . ".join(_scalar(part, kind) for part, kind in parts)
    return _scalar(element, kinds[0])


def _value(value: Any) -> str:
    if isinstance(value, dict):
        if "concat" in value:
            return " . ".join(str(part) for part in value["concat"])
        ((verb, argument),) = value.items()
        return f"{verb} {argument['target']}" if argument else str(verb)
    return str(value)


def _scalar(part: Any, kind: str) -> str:
    if isinstance(part, dict) and "prefix" in part:
        return f"{part['prefix']['addr']}/{part['prefix']['len']}"
    if isinstance(part, dict) and "range" in part:
        # Of ports; of addresses where two prefixes meet, not what we would write: different.
        return "-".join(str(end) for end in part["range"])
    if kind == "inet_proto":
        return nft.protocol_name(part)
    return _quoted(part) if kind == "ifname" else str(part)
