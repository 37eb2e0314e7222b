"""What Neutron tells about a router and all that its appliance depends on; pure data.

Read by ``clients.neutron``, used by the drivers, which build the desired document from it and
therefore import nothing that does I/O.
"""

import msgspec


class _Struct(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer of Neutron becomes; keys that we do not read are skipped while decoding."""


class FixedIp(_Struct, frozen=True):
    """One address of a port."""

    ip_address: str
    subnet_id: str


class RouterSummary(_Struct, frozen=True):
    """A router as the listing shows it; ``generation`` changes with anything it depends on."""

    id: str
    project_id: str
    generation: str
    admin_state_up: bool = True
    status: str = ""
    ha: bool = False
    flavor_id: str | None = None


class RouterPort(_Struct, frozen=True):
    """A logical port of a router: its gateway or one of its interfaces."""

    id: str
    network_id: str
    mac_address: str
    device_owner: str
    fixed_ips: tuple[FixedIp, ...] = ()
    status: str = ""
    admin_state_up: bool = True


class HostRoute(_Struct, frozen=True):
    """A route towards ``destination``, of a subnet or of a router."""

    destination: str
    nexthop: str


class Subnet(_Struct, frozen=True):
    """A subnet of a network that the router is attached to."""

    id: str
    cidr: str
    ip_version: int
    name: str = ""
    gateway_ip: str | None = None
    enable_dhcp: bool = True
    ipv6_ra_mode: str | None = None
    ipv6_address_mode: str | None = None
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    address_scope_id: str | None = None
    prefix_delegation: bool = False


class DhcpOption(_Struct, frozen=True):
    """An extra DHCP option of a port."""

    opt_name: str
    opt_value: str
    ip_version: int = 4


class Allocation(_Struct, frozen=True):
    """A port on an internal network that is not the router's own."""

    port_id: str
    mac_address: str
    project_id: str = ""
    device_id: str = ""
    device_owner: str = ""
    dns_name: str | None = None
    fixed_ips: tuple[FixedIp, ...] = ()
    extra_dhcp_opts: tuple[DhcpOption, ...] = ()


class Network(_Struct, frozen=True):
    """A network that the router is attached to."""

    id: str
    project_id: str = ""
    name: str = ""
    mtu: int | None = None
    port_security_enabled: bool = True
    external: bool = False
    dns_domain: str | None = None
    subnets: tuple[Subnet, ...] = ()
    allocations: tuple[Allocation, ...] = ()


class PortForwarding(_Struct, frozen=True):
    """Ports of a floating IP that lead to ports of an internal address, the ends included."""

    protocol: str
    external_port: int
    external_port_end: int
    internal_ip_address: str
    internal_port: int
    internal_port_end: int


class RateLimit(_Struct, frozen=True):
    """Kilobits per second in one direction; egress leaves the cloud."""

    direction: str
    max_kbps: int
    max_burst_kbps: int = 0


class ConntrackHelper(_Struct, frozen=True):
    """A helper of connection tracking, on connections to a port."""

    protocol: str
    port: int
    helper: str


class MeteringRule(_Struct, frozen=True):
    """Which packets a label counts, or does not count."""

    direction: str
    remote_ip_prefix: str | None = None
    source_ip_prefix: str | None = None
    destination_ip_prefix: str | None = None
    excluded: bool = False


class MeteringLabel(_Struct, frozen=True):
    """A label that counts traffic of the router."""

    id: str
    rules: tuple[MeteringRule, ...] = ()


class FloatingIp(_Struct, frozen=True):
    """A floating IP of the router; not associated while ``fixed_ip_address`` is empty."""

    id: str
    floating_ip_address: str
    fixed_ip_address: str | None = None
    port_id: str | None = None
    floating_network_id: str = ""
    status: str = ""
    port_forwardings: tuple[PortForwarding, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()


class VpnPolicy(_Struct, frozen=True):
    """An IKE or an IPsec policy, in Neutron's words."""

    encryption_algorithm: str
    auth_algorithm: str
    pfs: str
    lifetime_units: str = "seconds"
    lifetime_value: int = 3600
    ike_version: str = ""
    phase1_negotiation_mode: str = ""
    transform_protocol: str = ""
    encapsulation_mode: str = ""


class IpsecSiteConnection(_Struct, frozen=True):
    """An IPsec connection of the router."""

    id: str
    peer_address: str
    peer_id: str
    psk: str
    ikepolicy: VpnPolicy
    ipsecpolicy: VpnPolicy
    local_cidrs: tuple[str, ...]
    peer_cidrs: tuple[str, ...]
    local_id: str = ""
    status: str = ""
    admin_state_up: bool = True
    mtu: int = 1500
    initiator: str = "bi-directional"
    dpd_action: str = "hold"
    dpd_interval: int = 30
    dpd_timeout: int = 120

    def __repr__(self) -> str:
        """Leave the pre-shared key out of logs and tracebacks."""
        return f"IpsecSiteConnection(id={self.id!r})"


class BgpPeer(_Struct, frozen=True):
    """With whom a BGP speaker speaks."""

    id: str
    peer_ip: str
    remote_as: int
    auth_type: str = "none"
    password: str | None = None

    def __repr__(self) -> str:
        """Leave the password out of logs and tracebacks."""
        return f"BgpPeer(id={self.id!r})"


class BgpSpeaker(_Struct, frozen=True):
    """A BGP speaker that is bound to the network of the router's gateway."""

    id: str
    local_as: int
    ip_version: int
    advertise_floating_ip_host_routes: bool = True
    advertise_tenant_networks: bool = True
    peers: tuple[BgpPeer, ...] = ()


class RouterDetail(RouterSummary, frozen=True):
    """All that an appliance has to know about its router, read at one moment."""

    name: str = ""
    enable_snat: bool = True
    routes: tuple[HostRoute, ...] = ()
    ports: tuple[RouterPort, ...] = ()
    networks: tuple[Network, ...] = ()
    floatingips: tuple[FloatingIp, ...] = ()
    gateway_rate_limits: tuple[RateLimit, ...] = ()
    conntrack_helpers: tuple[ConntrackHelper, ...] = ()
    metering_labels: tuple[MeteringLabel, ...] = ()
    ipsec_site_connections: tuple[IpsecSiteConnection, ...] = ()
    bgp_speakers: tuple[BgpSpeaker, ...] = ()
