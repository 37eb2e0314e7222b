"""Which service each subnet of a tenant network gets.

Decides from `dhcp_enabled`, `ipv6_ra_mode` and `ipv6_address_mode` alone (Neutron's rules: the RA
mode says what this router advertises, the address mode who hands out addresses). Pure; called by
`config`, `options` and `hosts`.
"""

import dataclasses
import ipaddress
import re
from typing import TYPE_CHECKING

from .. import links

if TYPE_CHECKING:
    from astara_contract.document import Subnet

_SLAAC_PREFIX = 64  # RFC 4862 section 5.5.3 with interface identifiers of 64 bits
_DHCPV6_MODES = ("dhcpv6-stateful", "dhcpv6-stateless")


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """A subnet that dnsmasq does something for."""

    link: links.Link
    subnet: "Subnet"
    cidr: links.AnyNetwork
    tag: str
    """Name of the subnet inside dnsmasq; made of device name and digits, nobody's text."""

    mode: str
    """dnsmasq's word for what the range is: static, ra-only, ra-stateless."""

    reserves: bool
    """Whether hosts get addresses from it by DHCP."""

    @property
    def is_gateway(self) -> bool:
        """Whether the subnet's default gateway is this appliance."""
        gateway = self.subnet.gateway_ip
        return bool(gateway) and self.link.has_address(gateway)


def served(of: tuple[links.Link, ...]) -> tuple[Served, ...]:
    """Return the subnets to serve, in the order of the document."""
    found = (
        _served(link, subnet) for link in of if link.is_tenant for subnet in link.network.subnets
    )
    return tuple(item for item in found if item is not None)


def _served(link: links.Link, subnet: "Subnet") -> Served | None:
    cidr = ipaddress.ip_network(subnet.cidr)
    if cidr.version == 4:
        mode, reserves = ("static", True) if subnet.dhcp_enabled else ("", False)
    else:
        mode, reserves = _v6_mode(subnet, cidr.prefixlen)
    if not mode:
        return None
    tag = f"{link.device}-{re.sub('[^0-9a-f]', '-', str(cidr))}"
    return Served(link, subnet, cidr, tag, mode, reserves)


def _v6_mode(subnet: "Subnet", prefix_length: int) -> tuple[str, bool]:
    """Return dnsmasq's range mode and whether addresses are handed out.

    Without an RA mode another router advertises; then only DHCPv6 is ours, and the firewall keeps
    dnsmasq's own advertisements in.
    """
    wanted = subnet.ipv6_ra_mode
    if wanted is None and subnet.dhcp_enabled and subnet.ipv6_address_mode in _DHCPV6_MODES:
        wanted = subnet.ipv6_address_mode
    if wanted is None or prefix_length < _SLAAC_PREFIX:
        return "", False
    if wanted == "dhcpv6-stateful":
        return "static", subnet.dhcp_enabled
    if prefix_length != _SLAAC_PREFIX:
        return "", False
    return ("ra-only" if wanted == "slaac" else "ra-stateless"), False
