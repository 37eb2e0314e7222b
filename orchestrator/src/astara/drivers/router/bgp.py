"""With whom an appliance speaks BGP: the peers of Neutron's BGP speakers, and, where the operator
wants it, the gateways of the external subnets it has addresses in.

A speaker is a router's if it is bound to the network of its gateway; its word on a peer comes
before the operator's on all. What an appliance cannot do (a peer that is no neighbour of it or of
another IP version than its speaker, a key that the contract refuses) is left out: one odd object
must not stop a router. What is announced is the appliance's to compute from the rest of its
document. Pure; called by `document`.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from astara_contract import document as contract

from ...clients import topology

_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator has set: `bfd` and `accept` for all sessions, the rest for those with
    gateways, which there are if `gateways` is true.
    """

    gateways: bool = False
    asn: int = 64512
    neighbor_asn: int = 64512
    password: str = field(default="", repr=False)
    bfd: bool = False
    accept: tuple[str, ...] = ()


def sessions(
    policy: Policy,
    external: Iterable[contract.Network],
    speakers: Iterable[topology.BgpSpeaker] = (),
) -> contract.Bgp | None:
    """Return the sessions of an appliance on these networks; None where there are none."""
    networks = tuple(external)
    own = [ipaddress.ip_interface(text) for net in networks for text in net.interface.addresses]
    found: dict[str, contract.BgpNeighbor] = {}
    for neighbor in (*_peers(policy, own, speakers), *_gateways(policy, networks)):
        found.setdefault(neighbor.address, neighbor)
    return contract.Bgp(neighbors=tuple(found.values())) if found else None


def _peers(
    policy: Policy, own: list[_Interface], speakers: Iterable[topology.BgpSpeaker]
) -> Iterator[contract.BgpNeighbor]:
    for speaker in sorted(speakers, key=lambda item: item.id):
        for peer in sorted(speaker.peers, key=lambda item: item.id):
            neighbor = _peer(policy, own, speaker, peer)
            if neighbor is not None:
                yield neighbor


def _peer(
    policy: Policy, own: list[_Interface], speaker: topology.BgpSpeaker, peer: topology.BgpPeer
) -> contract.BgpNeighbor | None:
    """Return a peer as the contract has it, None if it cannot be."""
    plain = {
        "address": peer.peer_ip,
        "asn": peer.remote_as,
        "local_asn": None if speaker.local_as == policy.asn else speaker.local_as,
        "password": peer.password if peer.auth_type == "md5" else "",
        "bfd": policy.bfd,
        "announce_floating_ips": speaker.advertise_floating_ip_host_routes,
        "announce_networks": "in-scope" if speaker.advertise_tenant_networks else "none",
    }
    try:
        address = ipaddress.ip_address(peer.peer_ip)
        plain |= {"address": str(address), "accept": _accepted(policy, address)}
        neighbor = msgspec.convert(plain, contract.BgpNeighbor)
    except (msgspec.ValidationError, ValueError):
        return None
    can_be = address.version == speaker.ip_version and _is_neighbor(address, own)
    return neighbor if can_be else None


def _gateways(
    policy: Policy, networks: Iterable[contract.Network]
) -> Iterator[contract.BgpNeighbor]:
    for network in networks if policy.gateways else ():
        own = [ipaddress.ip_interface(text) for text in network.interface.addresses]
        for subnet in network.subnets:
            if not subnet.gateway_ip:
                continue
            address = ipaddress.ip_address(subnet.gateway_ip)
            if _is_neighbor(address, own):
                yield contract.BgpNeighbor(
                    address=str(address),
                    password=policy.password,
                    bfd=policy.bfd,
                    accept=_accepted(policy, address),
                )


def _accepted(policy: Policy, address: _Address) -> tuple[str, ...]:
    return tuple(
        text for text in policy.accept if ipaddress.ip_network(text).version == address.version
    )


def _is_neighbor(address: _Address, own: Iterable[_Interface]) -> bool:
    return any(address in known.network and address != known.ip for known in own)
