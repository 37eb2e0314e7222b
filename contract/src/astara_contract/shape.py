"""The shape of the desired configuration: typed parts, from the document down to a DHCP option.

Only shapes: `document` is the way in and out, `rules` holds what types cannot say. A part is
frozen and refuses keys that it does not know.
"""

from typing import Any, ClassVar, Literal

import msgspec

from astara_contract.types import (
    Address,
    AddressMode,
    AdvertInterval,
    Asn,
    BgpPassword,
    BurstKbit,
    Cidr,
    ConntrackHelperName,
    DhcpOptionName,
    DomainName,
    FunctionName,
    HexKey,
    Identifier,
    InterfaceAddress,
    InterfaceName,
    Ipv4Address,
    MacAddress,
    Mtu,
    NetworkType,
    OptionalAddress,
    OptionalIdentifier,
    Port,
    RateKbit,
    Text,
    TransportProtocol,
    VirtualRouterId,
    VrrpPriority,
)

SCHEMA_VERSION = 1


class _Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True
):
    """Base of all parts of the document."""

    added: ClassVar[frozenset[str]] = frozenset()
    """Keys that the first release did not have: left out of the text while they have their
    default, because an appliance of a release before refuses what it does not know. Minded for
    documents and networks; of other parts a new one says `omit_defaults=True`.
    """


class HostRoute(_Part, frozen=True):
    """A route that hosts of a subnet learn by DHCP (option 121, RFC 3442)."""

    destination: Cidr
    nexthop: Address


class Subnet(_Part, frozen=True):
    """A subnet of a network; `gateway_ip` is empty where it has none."""

    cidr: Cidr
    id: OptionalIdentifier = ""
    gateway_ip: OptionalAddress = ""
    dhcp_enabled: bool = False
    dns_nameservers: tuple[Address, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    ipv6_ra_mode: AddressMode | None = None
    ipv6_address_mode: AddressMode | None = None


class DhcpOption(_Part, frozen=True):
    """An extra DHCP option of one port."""

    name: DhcpOptionName
    value: Text
    ip_version: Literal[4, 6] = 4


class Allocation(_Part, frozen=True):
    """A port on an internal network: who has which address. True means: serve it by DHCP."""

    mac_address: MacAddress
    ip_addresses: dict[Address, bool]
    hostname: DomainName = ""
    device_id: Text = ""
    tenant_id: Text = ""
    extra_dhcp_opts: tuple[DhcpOption, ...] = ()


class Interface(_Part, frozen=True):
    """A NIC. It is found by `lladdr`; only without one `ifname` decides (the historic shape).

    `addresses` holds all addresses of the interface, with prefix length; the management interface
    has its address since boot and may list none.
    """

    ifname: InterfaceName = ""
    addresses: tuple[InterfaceAddress, ...] = ()
    lladdr: MacAddress | None = None
    mtu: Mtu | None = None
    description: Text = ""
    groups: tuple[Text, ...] = ()
    media: Text | None = None
    state: Literal["up", "down"] = "up"


class Network(_Part, frozen=True):
    """A network that the appliance has a NIC on; each network appears once."""

    added = frozenset({"proxy_ndp", "address_scope4", "address_scope6"})

    network_id: Identifier
    network_type: NetworkType
    interface: Interface
    name: Text = ""
    mtu: Mtu | None = None
    v4_conf_service: Literal["static", "dhcp"] = "static"
    v6_conf_service: Literal["static", "dhcp", "ra"] = "static"
    subnets: tuple[Subnet, ...] = ()
    allocations: tuple[Allocation, ...] = ()
    proxy_ndp: bool = False
    """On an external network: answer neighbour solicitations for the IPv6 addresses of internal
    hosts, where nobody routes their prefixes to this appliance (RFC 4389). Not in a pair.
    """

    address_scope4: OptionalIdentifier = ""
    address_scope6: OptionalIdentifier = ""
    """Networks of one scope have no address in common: only they are routed to each other. IPv4
    leaves untranslated for an external network of its scope, translated for any other.
    """


class FloatingIP(_Part, frozen=True, omit_defaults=True, gc=False):
    """One to one NAT of `floating_ip` to `fixed_ip` (IPv4)."""

    floating_ip: Ipv4Address
    fixed_ip: Ipv4Address


class PortForwarding(_Part, frozen=True, omit_defaults=True):
    """Ports of a floating IP that lead to ports of an internal address (IPv4).

    From `port` to `port_end` (the same without one); they lead to as many ports from
    `fixed_port` on, or all to one, then `fixed_port_end` is left out.
    """

    floating_ip: Address
    protocol: TransportProtocol
    port: Port
    fixed_ip: Address
    fixed_port: Port
    port_end: Port | None = None
    fixed_port_end: Port | None = None


class Rate(_Part, frozen=True, omit_defaults=True):
    """At most `kbit` per second (1,000 bits each), after a burst of `burst_kbit`."""

    kbit: RateKbit
    burst_kbit: BurstKbit = 0


class RateLimit(_Part, frozen=True, omit_defaults=True):
    """How fast a public address may be: a floating IP, or an external address of the router, then
    it holds for all that is translated to it. `ingress` enters the router from outside.
    """

    address: Address
    ingress: Rate | None = None
    egress: Rate | None = None


class ConntrackHelper(_Part, frozen=True, omit_defaults=True):
    """A helper of connection tracking for what tenants open to `port` outside."""

    protocol: Literal["tcp", "udp"]
    port: Port
    helper: ConntrackHelperName


class MeteringRule(_Part, frozen=True, omit_defaults=True):
    """Packets that cross the external network from `source` to `destination`, either left out for
    any. `excluded`: those are not counted, whatever other rules of the label say.
    """

    direction: Literal["ingress", "egress"]
    source: Cidr | None = None
    destination: Cidr | None = None
    excluded: bool = False


class MeteringLabel(_Part, frozen=True, omit_defaults=True):
    """A counter of traffic through the external network, `id` names it."""

    id: Identifier
    rules: tuple[MeteringRule, ...] = ()


class Orchestrator(_Part, frozen=True):
    """Where metadata requests go, and the key (hex) with which the appliance signs them."""

    address: OptionalAddress = ""
    metadata_port: Port = 9697
    host: Text = ""
    metadata_key: HexKey = ""


class HighAvailability(_Part, frozen=True):
    """How this appliance takes turns with another one on the router's addresses (VRRP, RFC 9568).

    Only the master has the addresses of the networks other than management. The two hear each
    other on the management network, where each has an address of its own.
    """

    peers: tuple[Address, ...]
    priority: VrrpPriority = 100
    virtual_router_id: VirtualRouterId = 1
    advert_interval_ms: AdvertInterval = 100
    synchronise_connections: bool = True


class BgpNeighbor(_Part, frozen=True, omit_defaults=True):
    """A router on an external network with which routes are exchanged.

    Of what it announces only routes within `accept` are taken, none that belong to a network of
    this appliance. Without an `asn` it is the document's `neighbor_asn`, without a `local_asn`
    we are the document's `asn`.
    """

    address: Address
    asn: Asn | None = None
    password: BgpPassword = ""
    bfd: bool = False
    accept: tuple[Cidr, ...] = ()
    local_asn: Asn | None = None
    announce_floating_ips: bool = True
    announce_networks: Literal["reachable", "in-scope", "none"] = "reachable"
    """Prefixes of internal networks: those that can be reached from outside, of them only those
    of an address scope that an external network is of, or none.
    """


class Bgp(_Part, frozen=True):
    """BGP sessions of this appliance, whose own AS is the document's `asn`.

    Announced are, unless a neighbor is to hear less, floating IPs, IPv6 prefixes of internal
    networks, and, where IPv4 is not translated, their IPv4 prefixes.
    """

    neighbors: tuple[BgpNeighbor, ...] = ()


class Document(_Part, frozen=True):
    """Everything that a routing appliance is to be."""

    added = frozenset(
        {
            "bgp",
            "flow_offload",
            "functions",
            "port_forwardings",
            "rate_limits",
            "conntrack_helpers",
            "metering_labels",
        }
    )

    schema_version: Literal[1] = 1
    router_id: OptionalIdentifier = ""
    tenant_id: Text = ""
    hostname: DomainName = ""
    networks: tuple[Network, ...] = ()
    floating_ips: tuple[FloatingIP, ...] = ()
    port_forwardings: tuple[PortForwarding, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    conntrack_helpers: tuple[ConntrackHelper, ...] = ()
    metering_labels: tuple[MeteringLabel, ...] = ()
    static_routes: tuple[tuple[Cidr, Address], ...] = ()
    default_v4_gateway: OptionalAddress = ""
    enable_snat: bool = True
    flow_offload: bool = False
    """Let established flows pass by a flowtable, where the appliance's kernel has them."""

    dns_forwarders: tuple[Address, ...] = ()
    dns_domain: DomainName = ""
    orchestrator: Orchestrator = Orchestrator()
    asn: Asn = 64512
    neighbor_asn: Asn = 64512
    bgp: Bgp | None = None
    labels: dict[Text, tuple[Cidr, ...]] = {}
    address_book: dict[Text, tuple[Cidr, ...]] = {}
    anchors: tuple[dict[str, Any], ...] = ()
    services: dict[str, Any] = {}
    vpn: dict[str, Any] = {}
    functions: dict[FunctionName, dict[str, Any]] = {}
    """Sections of network functions that this contract does not know: each is read by the driver
    of that name alone. A value whose key ends in ``_secret`` is never shown.
    """

    ha_resource: bool = False
    ha_config: HighAvailability | None = None
