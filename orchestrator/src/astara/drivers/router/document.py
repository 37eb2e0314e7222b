"""Build the desired document of a router appliance from one read of Neutron; pure.

Decides what the appliance shall be: its networks, addresses, leases, routes, translations. Must
never do I/O and never depend on the order in which Neutron lists things: the same router gives
the same digest. Called by ``instance.configure`` and by the debug tool.

A router with ``admin_state_up`` false keeps its appliance, but the document has the management
network alone, so that nothing is routed.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from astara_contract import document as contract
from astara_contract import metadata, parsed, types

from ...clients import topology
from . import bgp as bgp_sessions
from . import delegation, needs, services
from .functions import Function, sections


@dataclass(frozen=True, slots=True)
class Nic:
    """A NIC of the appliance: the MAC of the port that carries it, its addresses and MTU.

    ``addresses`` is filled for the management NIC only; those of carriers come from the router.
    """

    mac_address: str
    network_id: str
    addresses: tuple[str, ...] = ()
    mtu: int | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """What all documents of this orchestrator have in common."""

    host: str = ""
    address: str = ""
    metadata_port: int = 9697
    metadata_secret: str = ""
    dns_forwarders: tuple[str, ...] = ()
    dns_domain: str = ""
    bgp: bgp_sessions.Policy = field(default_factory=bgp_sessions.Policy)
    proxy_ndp: bool = False
    flow_offload: bool = False
    functions: tuple[Function, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def build(
    router: topology.RouterDetail,
    management: Nic,
    carriers: Mapping[str, Nic],
    site: Site,
    pair: contract.HighAvailability | None = None,
) -> contract.Document:
    """Return the document for ``router`` served by these NICs, with `pair` as half of a pair.

    ``carriers`` maps network ids to NICs; a network without one is left out of the document, so
    that what is plugged can be served while the rest is being plugged.
    """
    networks = [_management(management)]
    active = router.admin_state_up
    if active:
        networks += _logical_networks(router, carriers, proxy_ndp=site.proxy_ndp)
    external = [network for network in networks if network.network_type == "external"]
    return contract.canonical(
        contract.Document(
            router_id=router.id,
            tenant_id=router.project_id,
            hostname=_hostname(router),
            networks=tuple(networks),
            floating_ips=services.floating_ips(router) if external else (),
            port_forwardings=services.port_forwardings(router) if external else (),
            rate_limits=services.rate_limits(router, external) if external else (),
            conntrack_helpers=services.conntrack_helpers(router) if active else (),
            metering_labels=services.metering_labels(router) if external else (),
            static_routes=_static_routes(router) if active else (),
            default_v4_gateway=_default_v4_gateway(external),
            enable_snat=router.enable_snat,
            flow_offload=site.flow_offload,
            dns_forwarders=site.dns_forwarders,
            dns_domain=site.dns_domain,
            asn=site.bgp.asn,
            neighbor_asn=site.bgp.neighbor_asn,
            bgp=bgp_sessions.sessions(site.bgp, external, router.bgp_speakers),
            functions=sections(router, site.functions) if active else {},
            ha_resource=pair is not None,
            ha_config=pair,
            labels=dict(site.labels) if external else {},
            orchestrator=contract.Orchestrator(
                address=site.address,
                metadata_port=site.metadata_port,
                host=site.host,
                metadata_key=metadata.derive_key(site.metadata_secret, router.id),
            ),
        )
    )


def link_local(mac_address: str) -> str:
    """Return the link-local address that belongs to a MAC (RFC 4291 appendix A, EUI-64)."""
    octets = bytes.fromhex(mac_address.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + identifier))


def _hostname(router: topology.RouterDetail) -> str:
    return f"ak-{router.project_id}" if router.project_id else f"ak-{router.id}"


def _management(nic: Nic) -> contract.Network:
    return contract.Network(
        network_id=nic.network_id,
        network_type="management",
        mtu=nic.mtu,
        interface=contract.Interface(lladdr=nic.mac_address, addresses=nic.addresses, mtu=nic.mtu),
    )


def _logical_networks(
    router: topology.RouterDetail, carriers: Mapping[str, Nic], *, proxy_ndp: bool
) -> list[contract.Network]:
    known = {network.id: network for network in router.networks}
    return [
        _network(known[network_id], carriers[network_id], ports, proxy_ndp=proxy_ndp)
        for network_id, ports in needs.ports_by_network(router).items()
        if network_id in known and network_id in carriers
    ]


def _network(
    network: topology.Network,
    carrier: Nic,
    ports: tuple[topology.RouterPort, ...],
    *,
    proxy_ndp: bool,
) -> contract.Network:
    external = any(port.device_owner == needs.GATEWAY_OWNER for port in ports)
    there = tuple(item for item in network.subnets if not delegation.awaited(item))
    network = msgspec.structs.replace(network, subnets=there)
    return contract.Network(
        network_id=network.id,
        network_type="external" if external else "internal",
        name=_text(network.name),
        mtu=network.mtu,
        interface=contract.Interface(
            lladdr=carrier.mac_address,
            addresses=_addresses(network, ports),
            mtu=network.mtu,
        ),
        subnets=tuple(_subnet(subnet, external=external) for subnet in network.subnets),
        allocations=() if external else _allocations(network),
        proxy_ndp=external and proxy_ndp,
        address_scope4=services.address_scope(network, 4),
        address_scope6=services.address_scope(network, 6),
    )


def _addresses(
    network: topology.Network, ports: tuple[topology.RouterPort, ...]
) -> tuple[str, ...]:
    """Return the addresses of all logical ports, with the link-local ones derived from them.

    A link-local address belongs to each port that has an IPv6 address (hosts know the router by
    it); if none has, the first port gives one, because metadata over IPv6 needs no prefix.
    """
    lengths = {subnet.id: parsed.network(subnet.cidr).prefixlen for subnet in network.subnets}
    addresses = [
        f"{fixed.ip_address}/{lengths[fixed.subnet_id]}"
        for port in ports
        for fixed in port.fixed_ips
        if fixed.subnet_id in lengths
    ]
    speakers = [port for port in ports if _speaks_ipv6(port)] or list(ports[:1])
    addresses += [f"{link_local(port.mac_address)}/64" for port in speakers]
    return tuple(sorted(set(addresses)))


def _speaks_ipv6(port: topology.RouterPort) -> bool:
    return any(parsed.address(fixed.ip_address).version == 6 for fixed in port.fixed_ips)


def _subnet(subnet: topology.Subnet, *, external: bool) -> contract.Subnet:
    """Describe a subnet; nothing is handed out on an external network, whatever it says."""
    return contract.Subnet(
        id=subnet.id,
        cidr=subnet.cidr,
        gateway_ip=subnet.gateway_ip or "",
        dhcp_enabled=not external and _serves_dhcp(subnet),
        dns_nameservers=subnet.dns_nameservers,
        host_routes=tuple(
            sorted(
                (
                    contract.HostRoute(destination=route.destination, nexthop=route.nexthop)
                    for route in subnet.host_routes
                ),
                key=lambda route: (route.destination, route.nexthop),
            )
        ),
        ipv6_ra_mode=None if external else _mode(subnet.ipv6_ra_mode),
        ipv6_address_mode=None if external else _mode(subnet.ipv6_address_mode),
    )


def _mode(value: str | None) -> types.AddressMode | None:
    """Check a mode against those we know; another one is left to whoever invented it."""
    mode: types.AddressMode | None = _accepted(value, types.AddressMode)
    return mode


def _serves_dhcp(subnet: topology.Subnet) -> bool:
    """Say whether DHCP answers on this subnet, be it with options alone (stateless)."""
    mode = subnet.ipv6_address_mode or subnet.ipv6_ra_mode
    return subnet.enable_dhcp and mode != "slaac"


def _leases(subnet: topology.Subnet) -> bool:
    """Say whether addresses of this subnet are handed out by DHCP."""
    mode = subnet.ipv6_address_mode or subnet.ipv6_ra_mode
    return _serves_dhcp(subnet) and mode != "dhcpv6-stateless"


def _allocations(network: topology.Network) -> tuple[contract.Allocation, ...]:
    leased = {subnet.id: _leases(subnet) for subnet in network.subnets}
    return tuple(_allocation(port, leased) for port in network.allocations if port.fixed_ips)


def _allocation(port: topology.Allocation, leased: Mapping[str, bool]) -> contract.Allocation:
    addresses = {
        fixed.ip_address: leased.get(fixed.subnet_id, False)
        for fixed in sorted(port.fixed_ips, key=lambda fixed: fixed.ip_address)
    }
    return contract.Allocation(
        mac_address=port.mac_address,
        ip_addresses=addresses,
        hostname=_accepted(port.dns_name, types.DomainName) or _host_name(addresses),
        device_id=_text(port.device_id),
        tenant_id=port.project_id,
        extra_dhcp_opts=tuple(
            contract.DhcpOption(
                name=option.opt_name,
                value=_text(option.opt_value),
                ip_version=6 if option.ip_version == 6 else 4,
            )
            for option in sorted(
                port.extra_dhcp_opts,
                key=lambda option: (option.ip_version, option.opt_name, option.opt_value),
            )
            if _accepted(option.opt_name, types.DhcpOptionName)
        ),
    )


def _host_name(addresses: Iterable[str]) -> str:
    """Name a host by its first address, IPv4 if it has one: ``host-192-168-0-2``."""
    found = sorted(
        (parsed.address(address) for address in addresses),
        key=lambda address: (address.version, int(address)),
    )
    return f"host-{found[0].exploded}".replace(".", "-").replace(":", "-") if found else ""


def _text(value: str) -> str:
    """Cut what the contract's one-line text cannot hold; names of tenants are free text."""
    printable = value.isprintable()
    return (value if printable else "".join(char for char in value if char.isprintable()))[:255]


def _accepted(value: str | None, kind: Any) -> Any:
    """Return ``value`` if the contract takes it, else None.

    For what tenants may write freely: one odd word of theirs must not stop their router.
    """
    try:
        return msgspec.convert(value, kind) if value else None
    except msgspec.ValidationError:
        return None


def _static_routes(router: topology.RouterDetail) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((route.destination, route.nexthop) for route in router.routes))


def _default_v4_gateway(external: Iterable[contract.Network]) -> str:
    """Return the gateway of the external IPv4 subnet in which the router has its address."""
    for network in external:
        own = [parsed.interface(address).ip for address in network.interface.addresses]
        for subnet in sorted(network.subnets, key=lambda subnet: (subnet.cidr, subnet.id)):
            prefix = parsed.network(subnet.cidr)
            if prefix.version == 4 and subnet.gateway_ip and any(ip in prefix for ip in own):
                return subnet.gateway_ip
    return ""
