"""The ports of one appliance: its management port and one address-less carrier per network.

Decides which ports are kept, missing or superfluous, and makes the missing ones. Must never
delete a port that a server holds, and never trust a name: ours is what lies in the service
project and carries the router's mark. Called by ``boot``, ``configure``, ``replug``, ``stop``.

Carriers are created with ``fixed_ips=[]`` and one by one: Nova accepts a port without address only
if Neutron calls its ip_allocation "none", and Neutron forgets that in a bulk creation, as well as
for a port that lost its address later.
"""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ..clients.neutron import MARK, Neutron, Port
from . import names


@dataclass(frozen=True, slots=True)
class Plug:
    """The ports of a router's appliance, sorted by use."""

    management: Port | None
    carriers: Mapping[str, Port]
    surplus: tuple[Port, ...]
    missing: frozenset[str]
    paired: bool = False
    """Whether the other member of a pair has ports as well."""

    @property
    def complete(self) -> bool:
        """Say whether a server can be booted with these ports."""
        return self.management is not None and not self.missing

    @property
    def macs(self) -> frozenset[str]:
        """Return the MACs that a correctly plugged appliance reports."""
        ports = [*self.carriers.values(), *([self.management] if self.management else [])]
        return frozenset(port.mac_address.lower() for port in ports)


def router_of(port: Port) -> str:
    """Return the router that a port of ours serves."""
    return port.description.removeprefix(MARK)


@dataclass(frozen=True, slots=True)
class Wish:
    """For whom ports are wanted: a member of a router, its networks, and management."""

    router_id: str
    index: int
    needed: frozenset[str]
    management_network_id: str
    management_subnet_id: str


def sort(
    found: Iterable[Port], needed: Collection[str], management_network_id: str, index: int = 0
) -> Plug:
    """Sort the ports of one member that were found by what they are for.

    Of several ports on one network (two tries raced) the one that a server holds stays, then the
    oldest.
    """
    by_network: dict[str, list[Port]] = {}
    unbootable = []
    everything = [_thrifty(port) for port in found]
    own = [port for port in everything if names.port_index(port.name) == index]
    for port in sorted(own, key=lambda p: (not p.device_id, p.created_at, p.id)):
        if _bootable(port):
            by_network.setdefault(port.network_id, []).append(port)
        else:
            unbootable.append(port)
    chosen = {network: ports[0] for network, ports in by_network.items()}
    management = chosen.pop(management_network_id, None)
    carriers = {network: port for network, port in chosen.items() if network in needed}
    unneeded = [port for network, port in chosen.items() if network not in needed]
    doubles = [port for ports in by_network.values() for port in ports[1:]]
    return Plug(
        management=management,
        carriers=dict(sorted(carriers.items())),
        surplus=tuple(sorted([*unneeded, *doubles, *unbootable], key=lambda port: port.id)),
        missing=frozenset(needed) - carriers.keys(),
        paired=len(own) < len(everything),
    )


def _thrifty(port: Port) -> Port:
    """Share the texts that the ports of an appliance, or of all, have in common: they are kept."""
    told = ("network_id", "project_id", "description", "device_id", "device_owner",
                     "status", "created_at", "ip_allocation")  # fmt: skip
    shared = {name: sys.intern(getattr(port, name)) for name in told}
    return msgspec.structs.replace(port, **shared)


def _bootable(port: Port) -> bool:
    """Say whether Nova would boot a server with this port; one in use has proven it."""
    return bool(port.fixed_ips or port.device_id) or port.ip_allocation == "none"


def management_port(wish: Wish) -> dict[str, Any]:
    """Return the body of a management port: an address, but no filtering."""
    return _port(
        wish, "MGT", wish.management_network_id, [{"subnet_id": wish.management_subnet_id}]
    )


def carrier_port(wish: Wish, network_id: str) -> dict[str, Any]:
    """Return the body of a carrier port: no address and no filtering."""
    return _port(wish, "VRRP", network_id, [])


def _port(
    wish: Wish, label: str, network_id: str, fixed_ips: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    return {
        "name": names.port(label, wish.router_id, wish.index),
        "description": MARK + wish.router_id,
        "network_id": network_id,
        "fixed_ips": list(fixed_ips),
        "port_security_enabled": False,
        "security_groups": [],
        "admin_state_up": True,
    }


def look(neutron: Neutron, wish: Wish) -> Plug:
    """Read the ports of an appliance."""
    return _sorted(neutron.ports_of_router(wish.router_id), wish)


def provide(neutron: Neutron, wish: Wish) -> Plug:
    """Read the ports and make those that are missing."""
    found = neutron.ports_of_router(wish.router_id)
    plug = _sorted(found, wish)
    if plug.complete:
        return plug
    wanted = [carrier_port(wish, network_id) for network_id in sorted(plug.missing)]
    if plug.management is None:
        wanted.insert(0, management_port(wish))
    return _sorted([*found, *(neutron.create_port(body) for body in wanted)], wish)


def _sorted(found: Iterable[Port], wish: Wish) -> Plug:
    return sort(found, wish.needed, wish.management_network_id, wish.index)


def remove_idle(neutron: Neutron, surplus: Iterable[Port]) -> int:
    """Delete superfluous ports that no server holds; return how many are still held."""
    held = 0
    for port in surplus:
        if port.device_id:
            held += 1
        else:
            neutron.delete_port(port.id)
    return held


def address_of(port: Port, subnet_id: str) -> str | None:
    """Return the port's address on a subnet, else its first one."""
    for fixed in port.fixed_ips:
        if fixed.subnet_id == subnet_id:
            return fixed.ip_address
    return port.fixed_ips[0].ip_address if port.fixed_ips else None
