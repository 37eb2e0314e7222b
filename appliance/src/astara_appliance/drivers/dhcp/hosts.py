"""Which host has which address and which name.

Decides the reservations (dnsmasq's dhcp-hostsfile) and the names it answers for (hosts(5)). A name
is the first label of the allocation's host name, alone and under the router's domain: whatever a
tenant calls a port, it cannot stand for a name of the world outside. Pure; called by `config`.
"""

import re
import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from .. import links
from .service import Served

if TYPE_CHECKING:
    from astara_contract.document import Allocation

# Words of a reservation that dnsmasq takes for something else than a name (dnsmasq(8), dhcp-host).
_MEANT = re.compile(r"ignore|infinite|[0-9]+[a-z]?", re.IGNORECASE)
_TOLD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# IP version and number: `ipaddress` takes ten times as long, which thousands of hosts would feel.
_Number: TypeAlias = tuple[int, int]
_Net: TypeAlias = tuple[int, int, int]  # and mask
_HISTORIC_DOMAIN = "local"  # the domain of host names that Astara has always made up


def reservation_lines(served: Sequence[Served]) -> list[str]:
    """Return the dhcp-hostsfile: who gets which address from the subnets that reserve."""
    lines = []
    for link in {item.link.device: item.link for item in served}.values():
        nets = [_net(item) for item in served if item.link is link and item.reserves]
        taken: set[_Number] = set()
        for allocation in link.network.allocations:
            lines += _lines(allocation, nets, taken)
    return lines


def reserved_addresses(lines: Iterable[str]) -> dict[str, str]:
    """Return address -> MAC as a dhcp-hostsfile has it."""
    found = {}
    for line in lines:
        mac, *words = line.split(",")
        for word in words:
            if _version(word):
                found[word.strip("[]")] = mac
    return found


def of_version(lines: Iterable[str], version: int) -> list[str]:
    """Return what lines of a dhcp-hostsfile say of addresses of one IP version."""
    found = []
    for line in lines:
        mac, *words = line.split(",")
        if version in map(_version, words):
            kept = (word for word in words if _version(word) in (version, None))
            found.append(",".join((mac, *kept)))
    return found


def name_lines(of: Sequence[links.Link], domain: str) -> list[str]:
    """Return the hosts file: all addresses with a name, also those that DHCP does not hand out."""
    lines = []
    for link in of:
        for allocation in link.network.allocations if link.is_tenant else ():
            names = host_names(allocation.hostname, domain)
            if names:
                known_as = " ".join(names)
                addresses = sorted(map(_number, allocation.ip_addresses))
                lines += [f"{_spelled(address)} {known_as}" for address in addresses]
    return lines


def host_names(hostname: str, domain: str) -> list[str]:
    """Return the names that an allocation called `hostname` is found under, best first."""
    label, _, rest = hostname.rstrip(".").partition(".")
    if not label:
        return []
    domains = [domain.rstrip(".")] if domain.rstrip(".") else []
    if rest == _HISTORIC_DOMAIN and rest not in domains:
        domains.append(rest)
    return [*(f"{label}.{under}" for under in domains), label]


def _lines(allocation: "Allocation", nets: list[_Net], taken: set[_Number]) -> list[str]:
    """Return one line for each IPv4 address; the first also holds those of IPv6.

    An address that an earlier allocation has `taken` is left out: dnsmasq would refuse the file,
    and with it every host, for a port that two others were given the address of.

    No tag is set here: dnsmasq 2.90 dies at SIGHUP of a tag in this file when the host has a lease
    (`config` sets it by dhcp-mac instead).
    """
    offered = [_number(text) for text, by_dhcp in allocation.ip_addresses.items() if by_dhcp]
    reserved = sorted(ip for ip in offered if ip not in taken and _is_inside(ip, nets))
    taken.update(reserved)
    v4 = [_spelled(ip) for ip in reserved if ip[0] == 4]
    v6 = [f"[{_spelled(ip)}]" for ip in reserved if ip[0] == 6]
    groups = [[v4[0], *v6], *([ip] for ip in v4[1:])] if v4 else [v6] if v6 else []
    label = allocation.hostname.partition(".")[0]
    names = [label] if _is_told(label) else []
    return [",".join([allocation.mac_address.lower(), *group, *names]) for group in groups]


def _version(word: str) -> int | None:
    """Return the IP version of an address in a dhcp-hostsfile, None if it is a name."""
    if word.startswith("["):
        return 6
    return 4 if word.count(".") == 3 else None


def _is_told(name: str) -> bool:
    """Tell whether dnsmasq would read `name` as a name and pass it on."""
    return _TOLD.fullmatch(name) is not None and _MEANT.fullmatch(name) is None


def _net(item: Served) -> _Net:
    return item.cidr.version, int(item.cidr.network_address), int(item.cidr.netmask)


def _is_inside(ip: _Number, nets: Iterable[_Net]) -> bool:
    version, number = ip
    return any(number & mask == base for of, base, mask in nets if of == version)


def _number(text: str) -> _Number:
    version, family = (6, socket.AF_INET6) if ":" in text else (4, socket.AF_INET)
    return version, int.from_bytes(socket.inet_pton(family, text))


def _spelled(ip: _Number) -> str:
    version, number = ip
    if version == 4:
        return socket.inet_ntop(socket.AF_INET, number.to_bytes(4))
    return socket.inet_ntop(socket.AF_INET6, number.to_bytes(16))
