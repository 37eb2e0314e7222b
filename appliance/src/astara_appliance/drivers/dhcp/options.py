"""What hosts are told beside their address: DHCP options of subnets and ports.

The result is lines of dnsmasq's options file. Where options of both match a host, dnsmasq takes
the last line, so a port's own option wins. Values that tenants may set pass only when they fit
the option's kind and hold no character that dnsmasq reads as syntax; others are left out: one odd
option of one port must not stop a router. Pure; called by `config`.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import links
from .service import Served

if TYPE_CHECKING:
    from astara_contract.document import Allocation, DhcpOption

_NO_SERVER = ("0.0.0.0", "::")  # noqa: S104 - Neutron's way to say "announce no name server"
_OPTION_ROOM = 255

# Names as `dnsmasq --help dhcp` and `--help dhcp6` list them, by kind of value.
_V4_ADDRESSES = {
    "netmask": 1, "router": 3, "dns-server": 6, "log-server": 7, "lpr-server": 9,
    "swap-server": 16, "policy-filter": 21, "router-solicitation": 32, "static-route": 33,
    "nis-server": 41, "ntp-server": 42, "netbios-ns": 44, "netbios-dd": 45, "x-windows-fs": 48,
    "x-windows-dm": 49, "mobile-ip-home": 68, "smtp-server": 69,
    "pop3-server": 70, "nntp-server": 71, "irc-server": 74, "tftp-server-address": 150,
    "server-ip-address": 255,
}  # fmt: skip
_V4_NUMBERS = {
    "time-offset": 2, "boot-file-size": 13, "ip-forward-enable": 19,
    "non-local-source-routing": 20, "max-datagram-reassembly": 22, "default-ttl": 23, "mtu": 26,
    "all-subnets-local": 27, "router-discovery": 31, "trailer-encapsulation": 34,
    "arp-timeout": 35, "ethernet-encap": 36, "tcp-ttl": 37, "tcp-keepalive": 38,
    "netbios-nodetype": 46, "T1": 58, "T2": 59, "client-arch": 93, "ipv6-only": 108,
}  # fmt: skip
_V4_TEXTS = {
    "domain-name": 15, "root-path": 17, "extension-path": 18, "nis-domain": 40,
    "netbios-scope": 47, "vendor-class": 60, "tftp-server": 66,
    "bootfile-name": 67, "posix-timezone": 100, "tzdb-timezone": 101, "domain-search": 119,
    "sip-server": 120,
}  # fmt: skip
_V4_ROUTES = {"classless-static-route": 121}
_V4_ROUTE_NUMBERS = (121, 249)
_V6_ADDRESSES = {
    "sip-server": 22, "dns-server": 23, "nis-server": 27, "sntp-server": 31,
}  # fmt: skip
_V6_TEXTS = {
    "sip-server-domain": 21, "domain-search": 24, "nis-domain": 29,
    "posix-timezone": 41, "tzdb-timezone": 42, "bootfile-url": 59, "bootfile-param": 60,
}  # fmt: skip

# The protocol's own fields (RFC 2132 section 9, RFC 3046, RFC 8415): never for a port to set.
_V4_RESERVED = frozenset({0, 50, 51, 52, 53, 54, 55, 56, 57, 61, 81, 82, 90, 118})
_V6_LOWEST = 21  # below are the options of the DHCPv6 exchange itself

# Printable ASCII without what dnsmasq reads as quote, escape or comment.
_TEXT = re.compile(r"[!$-\[\]-~]([ !$-\[\]-~]*[!$-\[\]-~])?")
_NUMBER = re.compile(r"[0-9]{1,10}")


def subnet_lines(served: Iterable[Served], domain: str) -> list[str]:
    """Return what subnets tell; what single ports add (`port_lines`) comes after it."""
    return [line for item in served for line in _subnet_lines(item, domain)]


def port_tag(allocation: "Allocation") -> str:
    """Return the name of a port inside dnsmasq."""
    return "p-" + allocation.mac_address.lower().replace(":", "")


def port_lines(allocation: "Allocation") -> list[str]:
    """Return the lines of a port's extra options that may be passed on."""
    lines = []
    for option in allocation.extra_dhcp_opts:
        words = _v4_option(option) if option.ip_version == 4 else _v6_option(option)
        if words is not None:
            lines.append(f"tag:{port_tag(allocation)},{words}")
    return lines


def _subnet_lines(item: Served, domain: str) -> list[str]:
    if item.cidr.version == 4:
        pairs = _v4_pairs(item)
        if domain:
            pairs.append(("option:domain-name", domain))
    else:
        pairs = [("option6:dns-server", _bracketed(_name_servers(item)))]
        if domain:
            pairs.append(("option6:domain-search", domain))
    return [f"tag:{item.tag},{name}" + (f",{value}" if value else "") for name, value in pairs]


def _v4_pairs(item: Served) -> list[tuple[str, str]]:
    """An option without a value is one that dnsmasq is kept from filling in by itself."""
    pairs = [
        ("option:router", _spelled(item.subnet.gateway_ip)),
        ("option:dns-server", ",".join(_name_servers(item))),
    ]
    mtu = item.link.network.interface.mtu or item.link.network.mtu
    if mtu:
        pairs.append(("option:mtu", str(mtu)))
    routes = ",".join(f"{cidr},{hop}" for cidr, hop in _fitting(_v4_routes(item)))
    if routes:
        # 249 is what Microsoft's client asks for instead of 121 (MS-DHCPE section 2.2.8).
        pairs += [("option:classless-static-route", routes), ("249", routes)]
    return pairs


def _v4_routes(item: Served) -> list[tuple[str, str]]:
    """Return all routes of a host: it must ignore the router option beside these (RFC 3442)."""
    own, gateway = item.link.address_in(item.subnet), _spelled(item.subnet.gateway_ip)
    found = {}
    if gateway:
        found["0.0.0.0/0"] = gateway
    if own or gateway:
        found[f"{links.METADATA_IPV4}/32"] = own or gateway
    for route in item.subnet.host_routes:
        found[_cidr(route.destination)] = _spelled(route.nexthop)
    for neighbour in item.link.network.subnets:
        if ":" not in neighbour.cidr and neighbour.cidr != item.subnet.cidr:
            found.setdefault(_cidr(neighbour.cidr), "0.0.0.0")  # noqa: S104 - on link
    return list(found.items())


def _fitting(routes: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return as many routes as an option can hold (RFC 3442: 5 to 9 bytes each)."""
    kept, room = [], _OPTION_ROOM
    for cidr, hop in routes:
        room -= 5 + (int(cidr.partition("/")[2]) + 7) // 8
        if room < 0:
            break
        kept.append((cidr, hop))
    return kept


def _name_servers(item: Served) -> list[str]:
    """Return the subnet's own name servers, else the appliance; none if it says "no server"."""
    given = [_spelled(text) for text in item.subnet.dns_nameservers]
    fitting = [text for text in given if (":" in text) == (item.cidr.version == 6)]
    if fitting:
        return [text for text in fitting if text not in _NO_SERVER]
    own = item.link.address_in(item.subnet)
    if own is None and item.cidr.version == 6 and item.link.link_local:
        own = str(item.link.link_local[0].ip)
    return [own] if own else []


def _v4_option(option: "DhcpOption") -> str | None:
    name = option.name.removeprefix("option:")
    known = {**_V4_ADDRESSES, **_V4_NUMBERS, **_V4_TEXTS, **_V4_ROUTES}
    number = _number(name, known)
    if number is None or number in _V4_RESERVED or not 0 < number <= _OPTION_ROOM:
        return None
    parts = [part.strip() for part in option.value.split(",")]
    if number in _V4_ADDRESSES.values():
        accepted = all(_is_address(part, 4) for part in parts)
    elif number in _V4_NUMBERS.values():
        accepted = all(_NUMBER.fullmatch(part) for part in parts)
    elif number in _V4_ROUTE_NUMBERS:
        accepted = len(parts) % 2 == 0 and all(
            _is_cidr(cidr) and _is_address(hop, 4)
            for cidr, hop in zip(parts[::2], parts[1::2], strict=True)
        )
    else:
        accepted = _TEXT.fullmatch(option.value) is not None
    word = f"option:{name}" if name in known else str(number)
    return f"{word},{','.join(parts)}" if accepted else None


def _v6_option(option: "DhcpOption") -> str | None:
    name = option.name.removeprefix("option6:").removeprefix("option:")
    known = {**_V6_ADDRESSES, **_V6_TEXTS}
    number = _number(name, known)
    if number is None or not _V6_LOWEST <= number <= 65535:
        return None
    parts = [part.strip().strip("[]") for part in option.value.split(",")]
    word = f"option6:{name if name in known else number}"
    if number in _V6_ADDRESSES.values():
        if not all(_is_address(part, 6) for part in parts):
            return None
        return f"{word},{_bracketed(parts)}"
    return f"{word},{option.value}" if _TEXT.fullmatch(option.value) else None


def _number(name: str, known: dict[str, int]) -> int | None:
    if name in known:
        return known[name]
    return int(name) if re.fullmatch("[0-9]{1,5}", name) else None


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version and "%" not in text
    except ValueError:
        return False


def _is_cidr(text: str) -> bool:
    try:
        return ipaddress.ip_network(text, strict=False).version == 4 and "/" in text
    except ValueError:
        return False


def _cidr(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _spelled(address: str) -> str:
    return str(ipaddress.ip_address(address)) if address else ""


def _bracketed(addresses: Iterable[str]) -> str:
    return ",".join(f"[{address}]" for address in addresses)
