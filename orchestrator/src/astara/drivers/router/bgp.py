"""With whom an appliance speaks BGP: the gateways of the external subnets it has addresses in.

Pure. What is announced is the appliance's to compute from the rest of its document. Called by
`document`.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from astara_contract import document as contract


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator has set for all sessions."""

    asn: int = 64512
    neighbor_asn: int = 64512
    password: str = field(default="", repr=False)
    bfd: bool = False
    accept: tuple[str, ...] = ()


def sessions(policy: Policy | None, external: Iterable[contract.Network]) -> contract.Bgp | None:
    """Return the sessions of an appliance on these networks; None where there are none."""
    if policy is None:
        return None
    neighbors = {
        gateway: contract.BgpNeighbor(
            address=str(gateway),
            password=policy.password,
            bfd=policy.bfd,
            accept=tuple(
                text
                for text in policy.accept
                if ipaddress.ip_network(text).version == gateway.version
            ),
        )
        for network in external
        for gateway in _gateways(network)
    }
    return contract.Bgp(neighbors=tuple(neighbors.values())) if neighbors else None


def _gateways(network: contract.Network) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    own = [ipaddress.ip_interface(text) for text in network.interface.addresses]
    gateways = (
        ipaddress.ip_address(subnet.gateway_ip) for subnet in network.subnets if subnet.gateway_ip
    )
    return [
        gateway
        for gateway in gateways
        if any(gateway in known.network and gateway != known.ip for known in own)
    ]
