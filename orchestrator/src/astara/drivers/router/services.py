"""What floating IPs and Neutron's service plug-ins ask of an appliance; pure.

Port forwardings, rate limits, conntrack helpers, metering labels and address scopes. What the
contract does not know (a protocol without ports, a helper of another name) is left out: one odd
object must not stop a router. Called by `document`.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from astara_contract import document as contract
from astara_contract import types

from ...clients import topology
from . import needs


def floating_ips(router: topology.RouterDetail) -> tuple[contract.FloatingIP, ...]:
    """Return the floating IPs that lead as a whole to a machine."""
    return tuple(
        contract.FloatingIP(floating_ip=fip.floating_ip_address, fixed_ip=fip.fixed_ip_address)
        for fip in needs.associated_floatingips(router)
        if fip.fixed_ip_address
    )


def port_forwardings(router: topology.RouterDetail) -> tuple[contract.PortForwarding, ...]:
    """Return the ports of floating IPs that lead to machines."""
    return tuple(
        _forwarding(fip, item)
        for fip in needs.associated_floatingips(router)
        if not fip.fixed_ip_address
        for item in fip.port_forwardings
        if _is(item.protocol, types.TransportProtocol)
        and ipaddress.ip_address(item.internal_ip_address).version == 4
    )


def rate_limits(
    router: topology.RouterDetail, external: Iterable[contract.Network]
) -> tuple[contract.RateLimit, ...]:
    """Return the limits of floating IPs, and of the router's own addresses outside (IPv4)."""
    found = {
        fip.floating_ip_address: fip.rate_limits for fip in needs.associated_floatingips(router)
    }
    for network in external:
        for text in network.interface.addresses:
            own = ipaddress.ip_interface(text).ip
            if own.version == 4:
                found[str(own)] = router.gateway_rate_limits
    return tuple(_limit(address, limits) for address, limits in found.items() if limits)


def conntrack_helpers(router: topology.RouterDetail) -> tuple[contract.ConntrackHelper, ...]:
    """Return the helpers; of two on one port the first by name."""
    found: dict[tuple[str, int], contract.ConntrackHelper] = {}
    for item in sorted(router.conntrack_helpers, key=lambda item: item.helper):
        helper = _converted(msgspec.structs.asdict(item), contract.ConntrackHelper)
        if helper is not None:
            found.setdefault((item.protocol, item.port), helper)
    return tuple(found.values())


def metering_labels(router: topology.RouterDetail) -> tuple[contract.MeteringLabel, ...]:
    """Return the labels that have anything to count."""
    return tuple(
        contract.MeteringLabel(id=label.id, rules=tuple(_metering_rule(rule) for rule in kept))
        for label in router.metering_labels
        if (kept := tuple(rule for rule in label.rules if _of_one_family(rule)))
    )


def address_scope(network: topology.Network, version: int) -> str:
    """Return the address scope of a network's subnets; Neutron sees to it that they share one."""
    scopes = {s.address_scope_id for s in network.subnets if s.ip_version == version}
    return min((scope for scope in scopes if scope), default="")


def _forwarding(
    fip: topology.FloatingIp, item: topology.PortForwarding
) -> contract.PortForwarding:
    several = item.external_port_end > item.external_port
    in_step = several and item.internal_port_end > item.internal_port
    return contract.PortForwarding(
        floating_ip=fip.floating_ip_address,
        protocol=item.protocol,  # type: ignore[arg-type]  # checked by the caller
        port=item.external_port,
        port_end=item.external_port_end if several else None,
        fixed_ip=item.internal_ip_address,
        fixed_port=item.internal_port,
        fixed_port_end=item.internal_port_end if in_step else None,
    )


def _limit(address: str, limits: Iterable[topology.RateLimit]) -> contract.RateLimit:
    rates = {
        item.direction: contract.Rate(kbit=item.max_kbps, burst_kbit=item.max_burst_kbps)
        for item in limits
        if item.max_kbps > 0
    }
    return contract.RateLimit(
        address=address, ingress=rates.get("ingress"), egress=rates.get("egress")
    )


def _metering_rule(rule: topology.MeteringRule) -> contract.MeteringRule:
    """Translate a rule; the older `remote_ip_prefix` is the end outside."""
    source, destination = rule.source_ip_prefix, rule.destination_ip_prefix
    if rule.remote_ip_prefix and rule.direction == "ingress":
        source = rule.remote_ip_prefix
    elif rule.remote_ip_prefix:
        destination = rule.remote_ip_prefix
    return contract.MeteringRule(
        direction="ingress" if rule.direction == "ingress" else "egress",
        source=_network(source),
        destination=_network(destination),
        excluded=rule.excluded,
    )


def _network(prefix: str | None) -> str | None:
    """Spell a prefix as a network: Neutron keeps one whose host bits are not zero."""
    return str(ipaddress.ip_network(prefix, strict=False)) if prefix else None


def _of_one_family(rule: topology.MeteringRule) -> bool:
    texts = (rule.remote_ip_prefix, rule.source_ip_prefix, rule.destination_ip_prefix)
    versions = {ipaddress.ip_network(text, strict=False).version for text in texts if text}
    return len(versions) <= 1


def _is(value: str, kind: Any) -> bool:
    return _converted(value, kind) is not None


def _converted(value: str | Mapping[str, Any], kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
