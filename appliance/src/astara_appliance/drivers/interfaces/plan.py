"""Decide which NIC has which state, MTU, addresses and kernel parameters, and what has to change.

Pure. Rules:

- A NIC is the document's by its MAC. One that the document does not name is down and has no
address; management stays. - A carrier NIC has exactly the addresses of its network, also the
link-local one: the kernel must not make one from the
  carrier's MAC (addr_gen_mode=none), or the tenants' default route would change with the server.
  If the document gives none to a network that has IPv6, the one of the NIC's MAC is used.
- The external NIC also holds the floating IPs (/32), so that ARP for them is answered; an internal
NIC with IPv6 holds
  the metadata address fe80::a9fe:a9fe.
- On management, addresses are only added: the agent listens on what was configured at boot.
- Addresses are added before others are removed, except where the kernel cannot hold both.

Called by `InterfacesDriver`.
"""

import dataclasses
import ipaddress
import socket
from collections.abc import Iterable, Mapping

from astara_contract.document import Document, Network

from .. import base, difference, links

METADATA_V6 = "fe80::a9fe:a9fe/128"
"""Where a VM asks for metadata over IPv6, on each internal network (as Neutron's own metadata
proxy does).
"""

LOWEST_IPV6_MTU = 1280
"""RFC 8200 section 5; below it the kernel switches IPv6 off on the device."""

HOST_SYSCTLS: Mapping[str, str] = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    # A NIC that is plugged later starts with these; the kernel applies them before we see it.
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/addr_gen_mode": "1",
    # Routes with several next hops share flows, not pairs of hosts: ports count.
    "net/ipv4/fib_multipath_hash_policy": "1",
    "net/ipv6/fib_multipath_hash_policy": "1",
    # The strictest of "all" and the device counts for these, so "all" leaves the choice to the
    # device.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    # An address is answered for only on the NIC that has it, and ARP never leaks one of another
    # network.
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/arp_announce": "2",
}

NIC_SYSCTLS: Mapping[str, str] = {
    "net/ipv6/conf/{}/disable_ipv6": "0",
    "net/ipv6/conf/{}/accept_ra": "0",
    "net/ipv6/conf/{}/autoconf": "0",
    "net/ipv6/conf/{}/accept_redirects": "0",
    "net/ipv6/conf/{}/accept_dad": "0",
    "net/ipv4/conf/{}/accept_redirects": "0",
    "net/ipv4/conf/{}/send_redirects": "0",
    "net/ipv4/conf/{}/rp_filter": "1",
    # Removing one address of a subnet must not take the others of that subnet along.
    "net/ipv4/conf/{}/promote_secondaries": "1",
}

CARRIER_SYSCTLS: Mapping[str, str] = {**NIC_SYSCTLS, "net/ipv6/conf/{}/addr_gen_mode": "1"}


@dataclasses.dataclass(frozen=True, slots=True)
class LinkPlan:
    """What one device is to be."""

    device: str
    mac: str
    up: bool
    mtu: int | None
    """None: leave it."""

    addresses: frozenset[str]
    keep_others: bool
    """Management, and all of a pair: addresses beside the listed ones stay."""

    sysctls: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """All devices that may be up, and the parameters of the host; other NICs are to be idle."""

    links: tuple[LinkPlan, ...]
    sysctls: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ObservedLink:
    """One device as the kernel has it."""

    device: str
    mac: str
    up: bool
    mtu: int
    addresses: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """All NICs, and the value of each parameter that a plan may name (absent ones left out)."""

    links: tuple[ObservedLink, ...]
    sysctls: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class LinkChange:
    """What to do to one device, in the order mtu, sysctls, remove_first, up, add, remove, down."""

    device: str
    mac: str
    mtu: int | None = None
    sysctls: tuple[tuple[str, str], ...] = ()
    remove_first: tuple[str, ...] = ()
    up: bool | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        asked = (self.mtu, self.sysctls, self.remove_first, self.add, self.remove)
        return any(asked) or self.up is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What to do to the host and to its devices."""

    sysctls: tuple[tuple[str, str], ...]
    links: tuple[LinkChange, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.sysctls or self.links)


def plan_interfaces(document: Document, facts: base.Facts) -> Desired:
    """Compute the state of every NIC that the document uses, and of management."""
    plans = list(_plan_networks(document, facts))
    if document.ha_resource:
        # Who has the router's addresses is for the guard of the pair to know, at each moment.
        plans = [
            plan
            if plan.keep_others
            else dataclasses.replace(plan, addresses=frozenset(), keep_others=True)
            for plan in plans
        ]
    management = facts.management
    if management is not None and management.device not in {plan.device for plan in plans}:
        plans.append(_plan_management(management, None, frozenset()))
    return Desired(
        links=tuple(sorted(plans, key=lambda plan: plan.device)),
        sysctls=tuple(HOST_SYSCTLS.items()),
    )


def plan_router(document: Document, facts: base.Facts) -> tuple[LinkPlan, ...]:
    """Compute what the NICs of the router's own networks are to be where it has its addresses."""
    return tuple(plan for plan in _plan_networks(document, facts) if not plan.keep_others)


def _plan_networks(document: Document, facts: base.Facts) -> tuple[LinkPlan, ...]:
    floating = _floating_ips_by_network(document)
    return tuple(
        _plan_network(network, facts.nic(network.interface), floating.get(network.network_id, ()))
        for network in document.networks
    )


def _plan_network(network: Network, nic: base.Nic, floating: Iterable[str]) -> LinkPlan:
    mtu = network.interface.mtu or network.mtu
    addresses = {normal(address) for address in network.interface.addresses}
    if nic.ifname == base.MANAGEMENT:
        return _plan_management(nic, mtu, frozenset(addresses))
    if _has_ipv6(network, addresses):
        if not any(ipaddress.ip_interface(address).is_link_local for address in addresses):
            addresses.add(link_local(nic.mac))
        if network.network_type in ("internal", "isolated"):
            addresses.add(METADATA_V6)
    addresses.update([f"{address}/32" for address in floating])
    return LinkPlan(
        device=nic.device,
        mac=nic.mac,
        up=network.interface.state == "up",
        mtu=mtu,
        addresses=frozenset(addresses),
        keep_others=False,
        sysctls=_for_device(CARRIER_SYSCTLS, nic.device),
    )


def _plan_management(nic: base.Nic, mtu: int | None, addresses: frozenset[str]) -> LinkPlan:
    return LinkPlan(
        device=nic.device,
        mac=nic.mac,
        up=True,
        mtu=mtu,
        addresses=addresses,
        keep_others=True,
        sysctls=_for_device(NIC_SYSCTLS, nic.device),
    )


def _floating_ips_by_network(document: Document) -> dict[str, list[str]]:
    """Give each floating IP to the external network whose subnet has it, else to the first one."""
    external = [net for net in document.networks if net.network_type == "external"]
    ranges = [
        (cidr.network_address.packed, cidr.broadcast_address.packed, net.network_id)
        for net in external
        for cidr in (ipaddress.ip_network(subnet.cidr) for subnet in net.subnets)
        if cidr.version == 4
    ]
    own = {str(ipaddress.ip_interface(a).ip) for net in external for a in net.interface.addresses}
    found: dict[str, list[str]] = {}
    public = dict.fromkeys(links.public_addresses(document))
    for address in own & public.keys():
        del public[address]
    if len(external) == 1:
        return {external[0].network_id: list(public)}
    for address in public if external else ():
        # Thousands of them: octets are compared, not address objects.
        octets = socket.inet_pton(socket.AF_INET, address)
        fitting = (name for low, high, name in ranges if low <= octets <= high)
        home = next(fitting, external[0].network_id)
        found.setdefault(home, []).append(address)
    return found


def _has_ipv6(network: Network, addresses: Iterable[str]) -> bool:
    return any(":" in text for text in [*addresses, *(subnet.cidr for subnet in network.subnets)])


def _for_device(sysctls: Mapping[str, str], device: str) -> tuple[tuple[str, str], ...]:
    return tuple((key.format(device), value) for key, value in sysctls.items())


def normal(address: str) -> str:
    """Return "ip/prefix" in the one spelling that we compare."""
    if ":" not in address and "/" in address:
        return address  # IPv4 has one spelling, and there may be thousands
    return ipaddress.ip_interface(address).with_prefixlen


def link_local(mac: str) -> str:
    """Return the EUI-64 link-local address of `mac` with prefix (RFC 4291 appendix A)."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 0x02
    identifier = bytes([*octets[:3], 0xFF, 0xFE, *octets[3:]])
    return f"{ipaddress.IPv6Address(bytes([0xFE, 0x80, *bytes(6)]) + identifier)}/64"


def complaint(desired: Desired) -> str | None:
    """Return what the kernel is known to refuse in a plan, None if nothing."""
    for plan in desired.links:
        narrow = plan.mtu is not None and plan.mtu < LOWEST_IPV6_MTU
        if narrow and any(":" in address for address in plan.addresses):
            return f"MTU {plan.mtu} of {plan.mac} is below {LOWEST_IPV6_MTU}, but it has IPv6"
    return None


def change_interfaces(observed: Observed, desired: Desired) -> Change:
    """Compute the changes that lead from observed to desired."""
    plans = {plan.device: plan for plan in desired.links}
    changes = (
        _change_link(link, plans[link.device], observed.sysctls)
        if link.device in plans
        else _idle(link)
        for link in observed.links
    )
    return Change(
        sysctls=_differing(desired.sysctls, observed.sysctls),
        links=tuple(change for change in changes if change),
    )


def explain_interfaces(change: Change) -> tuple[str, ...]:
    """Return one line for each thing that is not as it should be."""
    lines = [f"{key} is not {value}" for key, value in change.sysctls]
    for link in change.links:
        if link.mtu is not None:
            lines.append(f"{link.device}: MTU is not {link.mtu}")
        if link.up is not None:
            lines.append(f"{link.device}: is {'down' if link.up else 'up'}")
        lines += [f"{link.device}: {key} is not {value}" for key, value in link.sysctls]
        lines += [f"{link.device}: no address {address}" for address in link.add]
        surplus = (*link.remove_first, *link.remove)
        lines += [f"{link.device}: foreign address {address}" for address in surplus]
    return tuple(lines)


def _change_link(link: ObservedLink, plan: LinkPlan, sysctls: Mapping[str, str]) -> LinkChange:
    surplus, missing = difference.between(link.addresses, plan.addresses)
    if plan.keep_others:
        surplus = frozenset()
    # IPv6 cannot hold one address with two prefix lengths on a device.
    replaced = {ipaddress.ip_interface(a).ip for a in missing if ":" in a}
    first = frozenset(a for a in surplus if ipaddress.ip_interface(a).ip in replaced)
    return LinkChange(
        device=link.device,
        mac=link.mac,
        mtu=plan.mtu if plan.mtu not in (None, link.mtu) else None,
        sysctls=_differing(_existing(plan.sysctls, plan.mtu or link.mtu), sysctls),
        remove_first=tuple(sorted(first)),
        up=plan.up if plan.up != link.up else None,
        add=tuple(sorted(missing)),
        remove=tuple(sorted(surplus - first)),
    )


def _idle(link: ObservedLink) -> LinkChange:
    return LinkChange(
        device=link.device,
        mac=link.mac,
        up=False if link.up else None,
        remove=tuple(sorted(link.addresses)),
    )


def _existing(sysctls: tuple[tuple[str, str], ...], mtu: int) -> tuple[tuple[str, str], ...]:
    """Leave IPv6 parameters out where the kernel has none for want of MTU."""
    if mtu >= LOWEST_IPV6_MTU:
        return sysctls
    return tuple(item for item in sysctls if not item[0].startswith("net/ipv6/"))


def _differing(
    wanted: tuple[tuple[str, str], ...], observed: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in wanted if observed.get(key) != value)
