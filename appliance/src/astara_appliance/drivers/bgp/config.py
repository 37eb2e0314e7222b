"""Decide what BIRD is told: what is announced, to whom, and what is learned.

Announced are floating IPs, the IPv6 prefixes of internal networks, and their IPv4 prefixes where
IPv4 is not translated; a neighbour may be told less. They are static routes inside BIRD, by a
protocol for each kind that a neighbour can go without, and never reach the kernel: a change of
them changes no session. Of a neighbour's routes those within its `accept` are taken; never one
inside a network of this appliance, which would lead the tenants' own traffic away.

Sessions are named by address, so that one comes or goes without a touch to the others. Text is
made of parsed addresses, numbers and vetted device names; the only string of a document is the
password, whose type holds no quote. Pure; called by `driver`.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .. import base, links

if TYPE_CHECKING:
    from astara_contract.document import BgpNeighbor, Document

MARK = "astara "
"""In front of the digest by which BIRD tells which configuration it has taken."""

_FLOATING, _IN_SCOPE, _OTHER = _KINDS = ("floating", "in_scope", "reachable")
"""What is announced, by the names of BIRD's protocols: floating IPs, networks of an address scope
that an external network is of, other networks that can be reached from outside.
"""

LEARNED_AT_MOST = 10_000
"""Routes by one neighbour; more are not taken, so that it cannot exhaust the appliance."""


def configuration(document: "Document", facts: base.Facts) -> str | None:
    """Return bird.conf, None where no neighbour is wanted."""
    if document.bgp is None or not document.bgp.neighbors:
        return None
    of = links.links(document, facts)
    neighbors = sorted(document.bgp.neighbors, key=lambda item: _packed(item.address))
    body = [
        f"router id {_router_id(document, of)};",
        *_bfd(neighbors, of),
        *(
            _static(f"{kind}{version}", version, networks)
            for version in (4, 6)
            for kind, networks in _announced(document, of, version).items()
        ),
        *(_kernel(version) for version in (4, 6)),
        *(_session(neighbor, document, of) for neighbor in neighbors),
    ]
    text = "\n".join(body) + "\n"
    return (
        "log stderr { warning, error, fatal, auth, bug };\n"
        f'protocol device {{ description "{MARK}{digest(text)}"; }}\n{text}'
    )


def digest(text: str) -> str:
    """Return what names a configuration, without telling anything of it."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def mark_of(text: str) -> str:
    """Return the digest in a configuration, or in what BIRD shows of it; empty without one."""
    return text.partition(MARK)[2][:32]


def _announced(
    document: "Document", of: Sequence[links.Link], version: int
) -> dict[str, list[links.AnyNetwork]]:
    """Return what is announced by its kind; a prefix is of one kind."""
    public = links.public_addresses(document)
    floating = {net for net in map(ipaddress.ip_network, public) if net.version == version}
    scopes = {_scope(link, version) for link in of if link.role == "external"}
    inside: dict[str, set[links.AnyNetwork]] = {_IN_SCOPE: set(), _OTHER: set()}
    for link in (link for link in of if link.role == "internal"):
        scope = _scope(link, version)
        in_scope = bool(scope) and scope in scopes
        if in_scope or (scope in scopes and (version == 6 or not document.enable_snat)):
            inside[_IN_SCOPE if in_scope else _OTHER].update(_prefixes(link, version))
    inside[_OTHER] -= inside[_IN_SCOPE]
    found = {_FLOATING: floating} | {kind: nets - floating for kind, nets in inside.items()}
    return {kind: sorted(nets, key=_order) for kind, nets in found.items()}


def _scope(link: links.Link, version: int) -> str:
    return link.network.address_scope4 if version == 4 else link.network.address_scope6


def _prefixes(link: links.Link, version: int) -> list[links.AnyNetwork]:
    return [n for n in links.connected(link) if n.version == version and not n.is_link_local]


def _router_id(document: "Document", of: Sequence[links.Link]) -> str:
    """Return the lowest external IPv4 address; without one a number that stays the same."""
    own = [known.ip for link in of if link.role == "external" for known in link.v4]
    if own:
        return str(min(own))
    number = hashlib.sha256(document.router_id.encode()).digest()[:4]
    return str(ipaddress.IPv4Address(number if any(number) else b"\0\0\0\1"))


def _bfd(neighbors: Iterable["BgpNeighbor"], of: Sequence[links.Link]) -> list[str]:
    devices = sorted({_local(item, of)[0].device for item in neighbors if item.bfd})
    timing = "interval 300 ms; multiplier 3;"
    inside = " ".join(f'interface "{device}" {{ {timing} }};' for device in devices)
    return [f"protocol bfd {{ {inside} }}"] if devices else []


def _static(name: str, version: int, networks: Iterable[links.AnyNetwork]) -> str:
    routes = "".join(f"\troute {net} blackhole;\n" for net in networks)
    return f"protocol static {name} {{\n\tipv{version};\n{routes}}}"


def _told(neighbor: "BgpNeighbor", version: int) -> str:
    """Return which of our routes a neighbour hears of."""
    networks = {"reachable": (_IN_SCOPE, _OTHER), "in-scope": (_IN_SCOPE,), "none": ()}
    kinds = (
        *((_FLOATING,) if neighbor.announce_floating_ips else ()),
        *networks[neighbor.announce_networks],
    )
    if len(kinds) == len(_KINDS):
        return "where source = RTS_STATIC"
    names = " || ".join(f'proto = "{kind}{version}"' for kind in kinds)
    return f"where {names}" if names else "none"


def _kernel(version: int) -> str:
    channel = f"ipv{version} {{ import none; export where source = RTS_BGP; }};"
    return f"protocol kernel kernel{version} {{ merge paths on; {channel} }}"


def _session(neighbor: "BgpNeighbor", document: "Document", of: Sequence[links.Link]) -> str:
    address = ipaddress.ip_address(neighbor.address)
    link, own = _local(neighbor, of)
    asn = document.neighbor_asn if neighbor.asn is None else neighbor.asn
    own_asn = document.asn if neighbor.local_asn is None else neighbor.local_asn
    password = f'\tpassword "{neighbor.password}";\n' if neighbor.password else ""
    return (
        f"protocol bgp peer_{address.packed.hex()} {{\n"
        f"\tlocal {own} as {own_asn};\n\tneighbor {address} as {asn};\n"
        f'\tinterface "{link.device}";\n\tdirect;\n{password}'
        f"\tconnect delay time 1; connect retry time 5; error wait time 1, 30;\n"
        f"\tbfd {'on' if neighbor.bfd else 'off'};\n"
        f"\tipv{address.version} {{\n\t\timport {_accepted(neighbor, address.version, of)};\n"
        f"\t\timport limit {LEARNED_AT_MOST} action block;\n"
        f"\t\texport {_told(neighbor, address.version)};\n\t\tnext hop self;\n\t}};\n}}"
    )


def _accepted(neighbor: "BgpNeighbor", version: int, of: Sequence[links.Link]) -> str:
    wanted = sorted({ipaddress.ip_network(text) for text in neighbor.accept}, key=_order)
    if not wanted:
        return "none"
    ours = {net for link in of for net in links.connected(link) if net.version == version}
    refused = f" && !(net ~ {_within(sorted(ours, key=_order))})" if ours else ""
    return f"where net ~ {_within(wanted)}{refused}"


def _within(networks: Iterable[links.AnyNetwork]) -> str:
    return f"[ {', '.join(f'{net}+' for net in networks)} ]"


def _local(
    neighbor: "BgpNeighbor", of: Sequence[links.Link]
) -> tuple[links.Link, links.AnyAddress]:
    """Return the link on which the neighbour is, and our address there."""
    address = ipaddress.ip_address(neighbor.address)
    for link in of:
        known: tuple[ipaddress.IPv4Interface | ipaddress.IPv6Interface, ...]
        known = (*link.v4, *link.v6, *link.link_local)
        own = next((item.ip for item in known if address in item.network), None)
        if link.role == "external" and own is not None:
            return link, own
    raise base.CheckFailed("bgp", f"neighbour {address} is on no external network")


def _order(network: links.AnyNetwork) -> tuple[int, bytes, int]:
    return network.version, network.network_address.packed, network.prefixlen


def _packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed
