"""The section `ipsec`: the IPsec connections of a router, from neutron-vpnaas to the contract.

`section` is the hook of the entry point `ipsec` (see `functions`); `statuses` tells Neutron how
they are. What the contract cannot say of a connection is that connection's error, never the
router's. Pure.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec

from astara_contract import ipsec

from ...clients import topology
from . import needs


def section(router: topology.RouterDetail) -> dict[str, Any] | None:
    """Return the section of `router`, None where nothing is to be protected."""
    found = [_connection(item, router) for item in router.ipsec_site_connections]
    wanted = sorted((item for item in found if item is not None), key=lambda item: item.id)
    if not wanted:
        return None
    plain: dict[str, Any] = msgspec.to_builtins(ipsec.Section(connections=tuple(wanted)))
    return plain


def statuses(router: topology.RouterDetail, reported: Mapping[str, Any]) -> dict[str, str]:
    """Return Neutron's status of each connection; `reported` is what the appliance's functions
    tell of themselves.
    """
    known = _reported(reported)
    return {
        item.id: _status(item, router, known.get(item.id))
        for item in router.ipsec_site_connections
    }


def _reported(reported: Mapping[str, Any]) -> dict[str, str]:
    try:
        report = msgspec.convert(reported.get(ipsec.NAME, {}), ipsec.Report)
    except msgspec.ValidationError:
        return {}  # an appliance that tells nonsense serves nothing
    return {item.id: item.status for item in report.connections}


def _status(
    item: topology.IpsecSiteConnection, router: topology.RouterDetail, told: str | None
) -> str:
    if told is not None:
        return told
    is_wanted = item.admin_state_up and router.admin_state_up
    return "ERROR" if is_wanted and _connection(item, router) is None else "DOWN"


def _connection(
    item: topology.IpsecSiteConnection, router: topology.RouterDetail
) -> ipsec.Connection | None:
    """Return a connection as the contract has it, None if it is off or cannot be."""
    own = _own_address(item, router)
    if own is None or not item.admin_state_up:
        return None
    try:
        return msgspec.convert(_plain(item, own), ipsec.Connection)
    except (msgspec.ValidationError, ValueError):
        return None


def _plain(item: topology.IpsecSiteConnection, own: str) -> dict[str, Any]:
    policy = item.ipsecpolicy
    if policy.transform_protocol == "ah-esp":
        raise ValueError("nothing protects a packet twice")
    return {
        "id": item.id,
        "local_address": own,
        "local_id": item.local_id or own,
        "peer_address": item.peer_address,
        "peer_id": item.peer_id,
        "psk_secret": item.psk,
        "local_subnets": sorted(item.local_cidrs),
        "peer_subnets": sorted(item.peer_cidrs),
        "ike_version": 2 if item.ikepolicy.ike_version == "v2" else 1,
        "aggressive": item.ikepolicy.phase1_negotiation_mode == "aggressive",
        "ike": _proposal(item.ikepolicy),
        "esp": _proposal(policy),
        "protocol": policy.transform_protocol or "esp",
        "mode": policy.encapsulation_mode or "tunnel",
        "initiate": item.initiator == "bi-directional",
        "dead_peer": {
            "action": item.dpd_action,
            "interval_s": item.dpd_interval,
            "timeout_s": item.dpd_timeout,
        },
        "mtu": item.mtu,
    }


def _proposal(policy: topology.VpnPolicy) -> dict[str, Any]:
    if policy.lifetime_units != "seconds":
        raise ValueError("lifetimes are seconds")
    return {
        "encryption": policy.encryption_algorithm,
        "integrity": policy.auth_algorithm,
        "group": int(policy.pfs.removeprefix("group")),
        "lifetime_s": policy.lifetime_value,
    }


def _own_address(item: topology.IpsecSiteConnection, router: topology.RouterDetail) -> str | None:
    """Return the router's external address of the peer's IP version, IPv4 for a name."""
    try:
        version = ipaddress.ip_address(item.peer_address).version
    except ValueError:
        version = 4
    own = (
        fixed.ip_address
        for port in router.ports
        if port.device_owner == needs.GATEWAY_OWNER
        for fixed in port.fixed_ips
    )
    return next((text for text in own if ipaddress.ip_address(text).version == version), None)
