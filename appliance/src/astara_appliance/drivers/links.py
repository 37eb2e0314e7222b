"""What drivers need to know about each network of a document, parsed once.

Decides which device carries a network, which role it plays and what its addresses are as objects.
Pure; it never looks at the kernel. Called by the firewall, DHCP and metadata drivers.
"""

import dataclasses
import ipaddress
import re
from typing import TYPE_CHECKING

from . import base

if TYPE_CHECKING:
    from astara_contract.document import Document, Network, Subnet

AnyAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
AnyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

TENANT_ROLES = ("internal", "isolated")
METADATA_IPV4 = "169.254.169.254"
METADATA_IPV6 = "fe80::a9fe:a9fe"

# What the kernel allows is wider (dev_valid_name: anything but "/", ":" and blanks); what reaches
# a configuration file is not.
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A network of the document on its device. It has no hash: go by `device`."""

    device: str
    """The kernel's name."""

    network: "Network"
    v4: tuple[ipaddress.IPv4Interface, ...]
    v6: tuple[ipaddress.IPv6Interface, ...]
    """Without link-local addresses."""

    link_local: tuple[ipaddress.IPv6Interface, ...]

    @property
    def role(self) -> str:
        """The network's type: management, external, internal, isolated, loadbalancer."""
        return self.network.network_type

    @property
    def is_tenant(self) -> bool:
        """Whether tenants' machines live there."""
        return self.role in TENANT_ROLES

    @property
    def own(self) -> tuple[AnyAddress, ...]:
        """The appliance's addresses here, without link-local ones."""
        return (*(known.ip for known in self.v4), *(known.ip for known in self.v6))

    def has_address(self, address: str) -> bool:
        """Tell whether `address` is one of the appliance's own on this link."""
        wanted = ipaddress.ip_address(address)
        return wanted in self.own or any(wanted == known.ip for known in self.link_local)

    def address_in(self, subnet: "Subnet") -> str | None:
        """Return the appliance's own address in `subnet`, None if it has none there."""
        cidr = ipaddress.ip_network(subnet.cidr)
        return next((str(own) for own in self.own if own in cidr), None)


def links(document: "Document", facts: base.Facts) -> tuple[Link, ...]:
    """Return one link for each network of `document`, in its order.

    Raises CheckFailed when a network has no device, or one whose name could break a file.
    """
    return tuple(_link(network, _device(network, facts)) for network in document.networks)


def connected(link: Link) -> tuple[AnyNetwork, ...]:
    """Return the networks that are on this link: its subnets, and those of its addresses."""
    found: list[AnyNetwork] = [ipaddress.ip_network(item.cidr) for item in link.network.subnets]
    found += [own.network for own in link.v4]
    found += [own.network for own in link.v6]
    return tuple(dict.fromkeys(found))


def routes(document: "Document") -> tuple[tuple[AnyNetwork, str], ...]:
    """Return all routes by a next hop: the router's extra ones and the host routes of subnets."""
    extra = [(destination, nexthop) for destination, nexthop in document.static_routes]
    for network in document.networks:
        for subnet in network.subnets:
            extra += [(route.destination, route.nexthop) for route in subnet.host_routes]
    return tuple((ipaddress.ip_network(destination), hop) for destination, hop in extra)


def public_addresses(document: "Document") -> tuple[str, ...]:
    """Return the floating IPs, each once: those that lead to a machine, and those whose ports
    do.
    """
    whole = [item.floating_ip for item in document.floating_ips]
    by_port = [item.floating_ip for item in document.port_forwardings]
    if not by_port:
        return tuple(whole)  # once each by the contract, and there may be thousands
    return tuple(dict.fromkeys((*whole, *by_port)))


def _link(network: "Network", device: str) -> Link:
    addresses = [ipaddress.ip_interface(text) for text in network.interface.addresses]
    v6 = [own for own in addresses if isinstance(own, ipaddress.IPv6Interface)]
    return Link(
        device=device,
        network=network,
        v4=tuple(own for own in addresses if isinstance(own, ipaddress.IPv4Interface)),
        v6=tuple(own for own in v6 if not own.ip.is_link_local),
        link_local=tuple(own for own in v6 if own.ip.is_link_local),
    )


def _device(network: "Network", facts: base.Facts) -> str:
    nic = facts.find(network.interface)
    if nic is None:
        raise base.CheckFailed("links", f"network {network.network_id} has no network device here")
    return vetted(nic.device)


def vetted(device: str) -> str:
    """Return the name of a device if it cannot break a file, else raise CheckFailed."""
    if not _DEVICE.fullmatch(device):
        reason = f"device name {device!r} is not usable in configuration"
        raise base.CheckFailed("links", reason)
    return device
