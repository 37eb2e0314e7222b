"""What dnsmasq is told, as lines.

Lines are made of vetted words only, see `options` and `hosts`. Pure; called by `driver`, which
has `parts` make files of them.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from .. import links
from . import hosts, options
from .service import Served, served

LEASE_S = 86400
RA_INTERVAL_S = 100
ROUTER_LIFETIME_S = 1800
_LOWEST_IPV6_MTU = 1280  # RFC 8200 section 5

# Leases are reservations: the bound only has to be out of the way.
_LEASE_MAX = 1_000_000

_HEADING = (
    "bind-dynamic",
    "except-interface=lo",
    "no-resolv",
    "no-hosts",
    "no-poll",
    "domain-needed",
    "bogus-priv",
    "localise-queries",
)
_LEASING = (
    "quiet-dhcp",
    "quiet-dhcp6",
    "quiet-ra",
    "dhcp-authoritative",
    "dhcp-ignore-names",  # a client's word for its own name is not for others to believe
    f"dhcp-lease-max={_LEASE_MAX}",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where addresses are leased."""

    cidr: links.AnyNetwork
    device: str
    server: str
    """The appliance's own address there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ported:
    """A port that has options of its own."""

    mac: str
    tag: str
    lines: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """All that dnsmasq is told, as lines; `parts` makes files of them."""

    heading: tuple[str, ...]
    leasing: tuple[str, ...]
    """For those that speak DHCP."""

    domain: tuple[str, ...]
    ranges: tuple[tuple[int, str], ...]
    """IP version and line."""

    advertising: tuple[str, ...]
    """How each link is advertised, if at all."""

    reservations: tuple[str, ...]
    subnet_options: tuple[str, ...]
    ports: tuple[Ported, ...]
    names: tuple[str, ...]
    servers: tuple[str, ...]
    places: tuple[Place, ...]


def config(of: tuple[links.Link, ...], forwarders: Sequence[str], domain: str) -> Config | None:
    """Return dnsmasq's configuration, None when there is no tenant network to serve."""
    tenants = [link for link in of if link.is_tenant]
    if not tenants:
        return None
    subnets = served(of)
    domain = domain.rstrip(".")
    return Config(
        heading=(*_HEADING[:2], *(f"interface={link.device}" for link in tenants), *_HEADING[2:]),
        leasing=_LEASING,
        domain=(f"domain={domain}",) if domain else (),
        ranges=tuple((item.cidr.version, _range(item)) for item in subnets),
        advertising=tuple(_advertising(link, subnets) for link in tenants),
        reservations=tuple(hosts.reservation_lines(subnets)),
        subnet_options=tuple(options.subnet_lines(subnets, domain)),
        ports=tuple(_ported(tenants)),
        names=tuple(hosts.name_lines(of, domain)),
        servers=tuple(f"server={address}" for address in forwarders),
        places=tuple(
            Place(item.cidr, item.link.device, item.link.address_in(item.subnet) or "")
            for item in subnets
            if item.reserves
        ),
    )


def _range(item: Served) -> str:
    start = item.cidr.network_address
    size = item.cidr.netmask if item.cidr.version == 4 else item.cidr.prefixlen
    return f"dhcp-range=set:{item.tag},{start},{item.mode},{size},{LEASE_S}s"


def _ported(tenants: list[links.Link]) -> Iterator[Ported]:
    for port in (port for link in tenants for port in link.network.allocations):
        lines = tuple(options.port_lines(port))
        if lines:
            yield Ported(port.mac_address.lower(), options.port_tag(port), lines)


def _advertising(link: links.Link, subnets: tuple[Served, ...]) -> str:
    """Say how the link is advertised: a default router only where a subnet's gateway is us."""
    gateway = any(
        item.link is link and item.subnet.ipv6_ra_mode and item.is_gateway for item in subnets
    )
    mtu = link.network.interface.mtu or link.network.mtu or 0
    given = f"mtu:{mtu}," if mtu >= _LOWEST_IPV6_MTU else ""
    lifetime = ROUTER_LIFETIME_S if gateway else 0
    return f"ra-param={link.device},{given}{RA_INTERVAL_S},{lifetime}"
