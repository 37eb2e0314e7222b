"""What dnsmasq reads, as texts.

Decides which part may change while dnsmasq runs: the base needs a restart, the other files are
read again at SIGHUP (dnsmasq(8), NOTES). Lines are made of vetted words only, see `options` and
`hosts`. Pure; called by `driver`.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from .. import links
from . import hosts, options
from .service import Served, served

LEASE_S = 86400
RA_INTERVAL_S = 100
ROUTER_LIFETIME_S = 1800
_LOWEST_IPV6_MTU = 1280  # RFC 8200 section 5

# Leases are reservations: the bound only has to be out of the way.
_LEASE_MAX = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where addresses are leased."""

    cidr: links.AnyNetwork
    device: str
    server: str
    """The appliance's own address there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """All that dnsmasq is told; texts end with a newline or are empty."""

    base: str
    """Without the paths of the other files, which `driver` adds."""

    reservations: str
    options: str
    names: str
    servers: str
    places: tuple[Place, ...]


def config(of: tuple[links.Link, ...], forwarders: Sequence[str], domain: str) -> Config | None:
    """Return dnsmasq's configuration, None when there is no tenant network to serve."""
    tenants = [link for link in of if link.is_tenant]
    if not tenants:
        return None
    subnets = served(of)
    domain = domain.rstrip(".")
    return Config(
        base=_text(_base(tenants, subnets, domain)),
        reservations=_text(hosts.reservation_lines(subnets)),
        options=_text(options.option_lines(subnets, domain)),
        names=_text(hosts.name_lines(of, domain)),
        servers=_text(f"server={address}" for address in forwarders),
        places=tuple(
            Place(item.cidr, item.link.device, item.link.address_in(item.subnet) or "")
            for item in subnets
            if item.reserves
        ),
    )


def _base(tenants: list[links.Link], subnets: tuple[Served, ...], domain: str) -> list[str]:
    lines = [
        "bind-dynamic",
        "except-interface=lo",
        *(f"interface={link.device}" for link in tenants),
        "no-resolv",
        "no-hosts",
        "no-poll",
        "domain-needed",
        "bogus-priv",
        "localise-queries",
        "quiet-dhcp",
        "quiet-dhcp6",
        "quiet-ra",
        "dhcp-authoritative",
        "dhcp-ignore-names",  # a client's word for its own name is not for others to believe
        f"dhcp-lease-max={_LEASE_MAX}",
    ]
    if domain:
        lines.append(f"domain={domain}")
    if any(item.cidr.version == 6 for item in subnets):
        lines.append("enable-ra")
    lines += [_range(item) for item in subnets]
    lines += _port_tags(tenants)
    lines += [_advertising(link, subnets) for link in tenants]
    return lines


def _range(item: Served) -> str:
    start = item.cidr.network_address
    size = item.cidr.netmask if item.cidr.version == 4 else item.cidr.prefixlen
    return f"dhcp-range=set:{item.tag},{start},{item.mode},{size},{LEASE_S}s"


def _port_tags(tenants: list[links.Link]) -> list[str]:
    """Name the ports that have options of their own."""
    ports = [port for link in tenants for port in link.network.allocations]
    tagged = [port for port in ports if options.port_lines(port)]
    return [f"dhcp-mac=set:{options.port_tag(port)},{port.mac_address.lower()}" for port in tagged]


def _advertising(link: links.Link, subnets: tuple[Served, ...]) -> str:
    """Say how the link is advertised: a default router only where a subnet's gateway is us."""
    gateway = any(
        item.link is link and item.subnet.ipv6_ra_mode and item.is_gateway for item in subnets
    )
    mtu = link.network.interface.mtu or link.network.mtu or 0
    given = f"mtu:{mtu}," if mtu >= _LOWEST_IPV6_MTU else ""
    lifetime = ROUTER_LIFETIME_S if gateway else 0
    return f"ra-param={link.device},{given}{RA_INTERVAL_S},{lifetime}"


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
