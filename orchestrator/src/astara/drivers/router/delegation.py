"""The section `prefix-delegation`: subnets whose IPv6 prefix the router's provider delegates.

`section` is the hook of the entry point of that name (see `functions`); `prefixes` is what Neutron
is told of the answer. A subnet that waits for its prefix is none yet: `awaited` says so. Pure.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec

from astara_contract import delegation

from ...clients import topology
from . import needs

PROVISIONAL = "::/64"
"""What Neutron gives a subnet that waits for its prefix."""


def section(router: topology.RouterDetail) -> dict[str, Any] | None:
    """Return the section of `router`, None where nothing is to be delegated."""
    wanted = sorted(subnet.id for subnet in _subnets(router))
    return {"subnets": wanted} if wanted else None


def awaited(subnet: topology.Subnet) -> bool:
    """Tell whether a subnet has no prefix yet."""
    return subnet.prefix_delegation and subnet.cidr == PROVISIONAL


def prefixes(router: topology.RouterDetail, reported: Mapping[str, Any]) -> dict[str, str]:
    """Return the prefixes by subnet; `reported` is what the appliance's functions tell. What was
    delegated once stays until something else is.
    """
    known = {subnet.id: subnet.cidr for subnet in _subnets(router)}
    try:
        report = msgspec.convert(reported.get(delegation.NAME, {}), delegation.Report)
        told = {name: str(ipaddress.IPv6Network(text)) for name, text in report.prefixes.items()}
    except (msgspec.ValidationError, ValueError):
        told = {}  # an appliance that tells nonsense has nothing to say
    return known | {name: text for name, text in told.items() if name in known}


def _subnets(router: topology.RouterDetail) -> list[topology.Subnet]:
    inside = needs.internal_networks(router)
    return [
        subnet
        for network in router.networks
        if network.id in inside
        for subnet in network.subnets
        if subnet.prefix_delegation
    ]
