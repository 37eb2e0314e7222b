"""Which host has which address and which name.

Decides the reservations (dnsmasq's dhcp-hostsfile) and the names it answers for (hosts(5)). A name
is the first label of the allocation's host name, alone and under the router's domain: whatever a
tenant calls a port, it cannot stand for a name of the world outside. Pure; called by `config`.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .. import links
from .service import Served

if TYPE_CHECKING:
    from astara_contract.document import Allocation

# Words of a reservation that dnsmasq takes for something else than a name (dnsmasq(8), dhcp-host).
_MEANT = re.compile(r"ignore|infinite|[0-9]+[a-z]?", re.IGNORECASE)
_TOLD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_HISTORIC_DOMAIN = "local"  # the domain of host names that Astara has always made up


def reservation_lines(served: Sequence[Served]) -> list[str]:
    """Return the dhcp-hostsfile: who gets which address from the subnets that reserve."""
    lines = []
    for link in {item.link.device: item.link for item in served}.values():
        cidrs = [item.cidr for item in served if item.link is link and item.reserves]
        taken: set[str] = set()
        for allocation in link.network.allocations:
            lines += _lines(allocation, cidrs, taken)
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
                addresses = list(allocation.ip_addresses)
                if len(addresses) > 1:
                    addresses.sort(key=_family_and_number)
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


def _lines(allocation: "Allocation", cidrs: list[links.AnyNetwork], taken: set[str]) -> list[str]:
    """Return one line for each IPv4 address; the first also holds those of IPv6.

    An address that an earlier allocation has `taken` is left out: dnsmasq would refuse the file,
    and with it every host, for a port that two others were given the address of.

    No tag is set here: dnsmasq 2.90 dies at SIGHUP of a tag in this file when the host has a lease
    (`config` sets it by dhcp-mac instead).
    """
    offered = [
        ipaddress.ip_address(text) for text, by_dhcp in allocation.ip_addresses.items() if by_dhcp
    ]
    reserved = [ip for ip in offered if str(ip) not in taken and any(ip in cidr for cidr in cidrs)]
    taken.update(str(ip) for ip in reserved)
    v4 = [str(ip) for ip in sorted(ip for ip in reserved if ip.version == 4)]
    v6 = [f"[{ip}]" for ip in sorted(ip for ip in reserved if ip.version == 6)]
    groups = [[v4[0], *v6], *([ip] for ip in v4[1:])] if v4 else [v6] if v6 else []
    names = [name for name in host_names(allocation.hostname, "")[-1:] if _is_told(name)]
    return [",".join([allocation.mac_address.lower(), *group, *names]) for group in groups]


def _version(word: str) -> int | None:
    """Return the IP version of an address in a dhcp-hostsfile, None if it is a name."""
    if word.startswith("["):
        return 6
    return 4 if word.count(".") == 3 else None


def _is_told(name: str) -> bool:
    """Tell whether dnsmasq would read `name` as a name and pass it on."""
    return _TOLD.fullmatch(name) is not None and _MEANT.fullmatch(name) is None


def _spelled(address: str) -> str:
    """Return the usual spelling; IPv4 has no other."""
    return str(ipaddress.ip_address(address)) if ":" in address else address


def _family_and_number(text: str) -> tuple[int, int]:
    ip = ipaddress.ip_address(text)
    return ip.version, int(ip)
