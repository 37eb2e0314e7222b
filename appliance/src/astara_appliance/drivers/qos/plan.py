"""Which traffic classes (tc-htb(8)) each device has for the rate limits of a document.

What leaves under a public address is held back on the external device, what comes in for it on
the internal devices behind which its machines are; so the limit of the router's own address is
one for all in egress, and one for each internal network in ingress. No filters: the firewall
puts each packet into its class by a map (`limits`), so that the cost of a packet does not depend
on how many limits there are. What has no limit passes beside the classes. Pure.
"""

import dataclasses
import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .. import limits, links

if TYPE_CHECKING:
    from astara_contract.document import Document, Rate

_LEAST_BURST = 3200  # bytes: two packets
_MOST_BURST = 2**30  # what tc takes is 32 bits wide
_DEFAULT_BURST = 0.8  # of a second, what Neutron's own agents take where a policy names none


@dataclasses.dataclass(frozen=True, slots=True)
class Class:
    """A traffic class: its rate and how much may pass at once."""

    kbit: int
    burst: int
    """Bytes."""


Plan = Mapping[str, Mapping[str, Class]]
"""Classes by number (hex, as tc shows it) by device."""


def classes(document: "Document", of: tuple[links.Link, ...]) -> Plan:
    """Return the classes of each device that has any."""
    if not document.rate_limits:
        return {}
    found: defaultdict[str, dict[str, Class]] = defaultdict(dict)
    outside = [link for link in of if link.role == "external"]
    inside = [link for link in of if link.role == "internal"]
    machines = _machines(document)
    for direction in limits.DIRECTIONS:
        numbers = limits.numbers(document, direction)
        for limit in limits.limited(document, direction):
            rate: Rate = getattr(limit, direction)
            if direction == "egress":
                at = _nearest(outside, [limit.address])[:1] or outside[:1]
            else:
                at = _nearest(inside, machines.get(limit.address, ())) or inside
            for link in at:
                found[link.device][f"{numbers[limit.address]:x}"] = _class(rate)
    return found


def shown_rate(kbit: int) -> str:
    """Return a rate as tc shows it (print_rate of iproute2)."""
    rate, units = kbit * 1000, ["", "K", "M", "G", "T"]
    while len(units) > 1 and rate >= 1000 and (rate % 1000 == 0 or rate >= 1_000_000):
        rate //= 1000
        units.pop(0)
    return f"{rate}{units[0]}bit"


def _class(rate: "Rate") -> Class:
    burst_kbit = rate.burst_kbit or int(rate.kbit * _DEFAULT_BURST)
    return Class(rate.kbit, min(max(burst_kbit * 125, _LEAST_BURST), _MOST_BURST))


def _machines(document: "Document") -> Mapping[str, set[str]]:
    """Return the internal addresses that each public one leads to."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for item in document.floating_ips:
        found[item.floating_ip].add(item.fixed_ip)
    for forwarding in document.port_forwardings:
        found[forwarding.floating_ip].add(forwarding.fixed_ip)
    return found


def _nearest(of: list[links.Link], addresses: Iterable[str]) -> list[links.Link]:
    """Return the links on which any of the addresses is."""
    parsed = [ipaddress.ip_address(text) for text in addresses]
    return [
        link
        for link in of
        if any(address in network for network in links.connected(link) for address in parsed)
    ]
