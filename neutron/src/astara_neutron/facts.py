"""What Neutron knows about a router, as the appliance sees it.

Plain frozen data: `queries` fills it from the database, `generation` hashes it, `view` turns it
into the API's answer. Nothing here reads or writes anything.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RouterFacts:
    """The router itself; `status` is what we wrote last, the rest is what the tenant asked for."""

    id: str
    project_id: str
    name: str
    admin_state_up: bool
    status: str
    ha: bool
    flavor_id: str | None
    enable_snat: bool


@dataclass(frozen=True, slots=True, order=True)
class FixedIp:
    """One address of a port."""

    ip_address: str
    subnet_id: str


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """A static route, of a router or of a subnet."""

    destination: str
    nexthop: str


@dataclass(frozen=True, slots=True)
class PortFacts:
    """A port that belongs to a router: a gateway or an interface."""

    id: str
    router_id: str
    network_id: str
    mac_address: str
    device_owner: str
    status: str
    admin_state_up: bool
    fixed_ips: tuple[FixedIp, ...]


@dataclass(frozen=True, slots=True)
class SubnetFacts:
    """A subnet of an attached network; name servers are in the tenant's order."""

    id: str
    network_id: str
    name: str
    cidr: str
    ip_version: int
    gateway_ip: str | None
    enable_dhcp: bool
    ipv6_ra_mode: str | None
    ipv6_address_mode: str | None
    dns_nameservers: tuple[str, ...]
    host_routes: tuple[Route, ...]
    #: of its pool; two subnets of one scope have no address in common
    address_scope_id: str | None = None
    #: whether its prefix comes from the provider; `::/64` stands for one that is to come
    prefix_delegation: bool = False


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """A network that a router is attached to."""

    id: str
    name: str
    project_id: str
    mtu: int
    port_security_enabled: bool
    external: bool
    dns_domain: str
    subnets: tuple[SubnetFacts, ...]


@dataclass(frozen=True, slots=True)
class PortForwarding:
    """Ports of a floating IP that lead to ports of an internal address, the ends included."""

    id: str
    protocol: str
    external_port: int
    external_port_end: int
    internal_ip_address: str
    internal_port: int
    internal_port_end: int


@dataclass(frozen=True, slots=True, order=True)
class RateLimit:
    """Kilobits per second in one direction, seen from the inside: egress leaves the cloud."""

    direction: str
    max_kbps: int
    #: kilobits; 0: the appliance chooses
    max_burst_kbps: int


@dataclass(frozen=True, slots=True, order=True)
class ConntrackHelper:
    """A helper of connection tracking, on connections to a port."""

    protocol: str
    port: int
    helper: str


@dataclass(frozen=True, slots=True)
class MeteringRule:
    """Which packets through the gateway a label counts, or, excluded, does not count."""

    direction: str
    remote_ip_prefix: str | None
    source_ip_prefix: str | None
    destination_ip_prefix: str | None
    excluded: bool


@dataclass(frozen=True, slots=True)
class MeteringLabel:
    """A label that counts traffic of a router."""

    id: str
    name: str
    rules: tuple[MeteringRule, ...]


@dataclass(frozen=True, slots=True)
class FloatingIpFacts:
    """A floating IP that leads through a router: to a port, or by port forwardings."""

    id: str
    router_id: str
    floating_ip_address: str
    fixed_ip_address: str | None
    port_id: str | None
    floating_network_id: str
    status: str
    port_forwardings: tuple[PortForwarding, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class DhcpOption:
    """An extra DHCP option that the tenant gave a port."""

    opt_name: str
    opt_value: str
    ip_version: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """An addressed port on an internal network, as DHCP, DNS and metadata need it."""

    port_id: str
    network_id: str
    project_id: str
    mac_address: str
    device_id: str
    device_owner: str
    dns_name: str
    fixed_ips: tuple[FixedIp, ...]
    extra_dhcp_opts: tuple[DhcpOption, ...]


@dataclass(frozen=True, slots=True)
class PortTally:
    """What stands for the many ports of one network in a generation (see `generation`)."""

    ports: int
    revisions: int
    ids: int
    newest_id: int


@dataclass(frozen=True, slots=True)
class VpnPolicy:
    """What an IKE or IPsec policy says, in Neutron's words; empty what it has nothing of."""

    encryption_algorithm: str
    auth_algorithm: str
    pfs: str
    lifetime_units: str
    lifetime_value: int
    ike_version: str = ""
    phase1_negotiation_mode: str = ""
    transform_protocol: str = ""
    encapsulation_mode: str = ""


@dataclass(frozen=True, slots=True)
class IpsecSiteConnection:
    """An IPsec connection of a VPN service of a router; it is up if both are."""

    id: str
    router_id: str
    status: str
    admin_state_up: bool
    peer_address: str
    peer_id: str
    local_id: str
    psk: str = field(repr=False)
    mtu: int
    initiator: str
    dpd_action: str
    dpd_interval: int
    dpd_timeout: int
    local_cidrs: tuple[str, ...]
    peer_cidrs: tuple[str, ...]
    ikepolicy: VpnPolicy
    ipsecpolicy: VpnPolicy


@dataclass(frozen=True, slots=True)
class BgpPeer:
    """With whom a BGP speaker speaks."""

    id: str
    peer_ip: str
    remote_as: int
    auth_type: str
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class BgpSpeaker:
    """A BGP speaker that is bound to the network of a router's gateway."""

    id: str
    local_as: int
    ip_version: int
    advertise_floating_ip_host_routes: bool
    advertise_tenant_networks: bool
    peers: tuple[BgpPeer, ...]


@dataclass(frozen=True, slots=True)
class RouterView:
    """One router with all that its appliance depends on, from one consistent read."""

    router: RouterFacts
    routes: tuple[Route, ...]
    ports: tuple[PortFacts, ...]
    networks: tuple[NetworkFacts, ...]
    floatingips: tuple[FloatingIpFacts, ...]
    #: per internal network: the ports on it that belong to no router
    tallies: dict[str, PortTally]
    #: per internal network: ports of *other* routers on it
    neighbours: dict[str, tuple[PortFacts, ...]]
    gateway_rate_limits: tuple[RateLimit, ...] = ()
    conntrack_helpers: tuple[ConntrackHelper, ...] = ()
    metering_labels: tuple[MeteringLabel, ...] = ()
    ipsec_site_connections: tuple[IpsecSiteConnection, ...] = ()
    bgp_speakers: tuple[BgpSpeaker, ...] = ()
