"""The desired configuration of a routing appliance: one whole document, never a delta.

`parse` is the only way in: what it returns is safe to render. It accepts the two historic shapes
(the bare body, and the seed's ``{"configuration": {...}}`` with ``address_allocations``); keys
that are not listed here are an error that names its path. `digest` tells whether two documents ask
for the same.

Called by the orchestrator, which builds documents, and by the appliance, which applies them.
Nothing here does I/O or knows how a document is applied.
"""

import hashlib
import re
from typing import Any, Literal

import msgspec

from astara_contract import rules
from astara_contract.errors import ContractError
from astara_contract.types import (
    Address,
    AddressMode,
    Asn,
    Cidr,
    DhcpOptionName,
    DomainName,
    HexKey,
    Identifier,
    InterfaceAddress,
    InterfaceName,
    MacAddress,
    Mtu,
    NetworkType,
    OptionalAddress,
    OptionalIdentifier,
    Port,
    Text,
)

SCHEMA_VERSION = 1


class _Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True
):
    """Base of all parts of the document."""


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

    network_id: Identifier
    network_type: NetworkType
    interface: Interface
    name: Text = ""
    mtu: Mtu | None = None
    v4_conf_service: Literal["static", "dhcp"] = "static"
    v6_conf_service: Literal["static", "dhcp", "ra"] = "static"
    subnets: tuple[Subnet, ...] = ()
    allocations: tuple[Allocation, ...] = ()


class FloatingIP(_Part, frozen=True):
    """One to one NAT of `floating_ip` to `fixed_ip` (IPv4)."""

    floating_ip: Address
    fixed_ip: Address


class Orchestrator(_Part, frozen=True):
    """Where metadata requests go, and the key (hex) with which the appliance signs them."""

    address: OptionalAddress = ""
    metadata_port: Port = 9697
    host: Text = ""
    metadata_key: HexKey = ""


class HighAvailability(_Part, frozen=True):
    """Historic ``ha_config``; not used by schema version 1."""

    peers: tuple[Address, ...] = ()
    priority: int = 0


class Document(_Part, frozen=True):
    """Everything that a routing appliance is to be."""

    schema_version: Literal[1] = 1
    router_id: OptionalIdentifier = ""
    tenant_id: Text = ""
    hostname: DomainName = ""
    networks: tuple[Network, ...] = ()
    floating_ips: tuple[FloatingIP, ...] = ()
    static_routes: tuple[tuple[Cidr, Address], ...] = ()
    default_v4_gateway: OptionalAddress = ""
    enable_snat: bool = True
    dns_forwarders: tuple[Address, ...] = ()
    dns_domain: DomainName = ""
    orchestrator: Orchestrator = Orchestrator()
    asn: Asn = 64512
    neighbor_asn: Asn = 64512
    labels: dict[Text, tuple[Cidr, ...]] = {}
    address_book: dict[Text, tuple[Cidr, ...]] = {}
    anchors: tuple[dict[str, Any], ...] = ()
    services: dict[str, Any] = {}
    vpn: dict[str, Any] = {}
    ha_resource: bool = False
    ha_config: HighAvailability | None = None


def parse(source: bytes | str | dict[str, Any]) -> Document:
    """Return the document in `source` (JSON text, or the object it decodes to).

    Raise ContractError with the path of the first thing that is wrong.
    """
    raw = source if isinstance(source, dict) else _decode(source)
    try:
        document = msgspec.convert(_unify_historic_shapes(raw), Document)
    except msgspec.ValidationError as error:
        raise _located(error) from None
    rules.check(document)
    return document


def encode(document: Document) -> bytes:
    """Return the JSON text of `document`; `parse` of it gives the document back."""
    return msgspec.json.encode(document, order="sorted")


def digest(document: Document) -> str:
    """Return 64 hex digits that are equal for documents that ask for the same.

    The order of networks, subnets, allocations, routes and the like does not matter, nor does the
    case of a MAC address; the order of name servers does.
    """
    return hashlib.sha256(encode(canonical(document))).hexdigest()


def canonical(document: Document) -> Document:
    """Return `document` with everything that has no order sorted."""
    return msgspec.structs.replace(
        document,
        networks=tuple(
            _canonical_network(network)
            for network in sorted(document.networks, key=lambda network: network.network_id)
        ),
        floating_ips=tuple(sorted(document.floating_ips, key=lambda f: f.floating_ip)),
        static_routes=tuple(sorted(document.static_routes)),
    )


def without_secrets(document: Document) -> Document:
    """Return `document` as it may be shown: keys are emptied."""
    return msgspec.structs.replace(
        document,
        orchestrator=msgspec.structs.replace(document.orchestrator, metadata_key=""),
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the document."""
    schema = msgspec.json.schema(Document)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _canonical_network(network: Network) -> Network:
    nic = network.interface
    return msgspec.structs.replace(
        network,
        interface=msgspec.structs.replace(
            nic,
            addresses=tuple(sorted(nic.addresses)),
            lladdr=nic.lladdr.lower() if nic.lladdr else None,
        ),
        subnets=tuple(sorted(network.subnets, key=lambda subnet: (subnet.cidr, subnet.id))),
        allocations=tuple(
            sorted(
                (
                    msgspec.structs.replace(item, mac_address=item.mac_address.lower())
                    for item in network.allocations
                ),
                key=lambda item: (item.mac_address, sorted(item.ip_addresses), item.device_id),
            )
        ),
    )


def _decode(text: bytes | str) -> dict[str, Any]:
    try:
        raw = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ContractError("$", f"not JSON: {error}") from None
    except RecursionError:
        raise ContractError("$", "nested too deeply") from None
    if not isinstance(raw, dict):
        raise ContractError("$", f"expected an object, got {type(raw).__name__}")
    return raw


def _unify_historic_shapes(raw: dict[str, Any]) -> dict[str, Any]:
    """Unwrap ``configuration`` and rename ``address_allocations``, the seed's names."""
    if "configuration" in raw:
        if len(raw) > 1:
            other = min(set(raw) - {"configuration"})
            raise ContractError(f"$.{other}", "not expected beside 'configuration'")
        raw = raw["configuration"]
        if not isinstance(raw, dict):
            raise ContractError("$.configuration", "expected an object")
    networks = raw.get("networks")
    if not isinstance(networks, list):
        return raw
    return raw | {"networks": [_unify_network(item, at) for at, item in enumerate(networks)]}


def _unify_network(network: Any, at: int) -> Any:
    if not isinstance(network, dict) or "address_allocations" not in network:
        return network
    if "allocations" in network:
        raise ContractError(
            f"$.networks[{at}].address_allocations", "given twice: also as 'allocations'"
        )
    renamed = dict(network)
    renamed["allocations"] = renamed.pop("address_allocations")
    return renamed


_AT = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>.*)`$", re.DOTALL)


def _located(error: msgspec.ValidationError) -> ContractError:
    """Turn msgspec's ``reason - at `$.path` `` into a ContractError."""
    match = _AT.match(str(error))
    path, reason = (match["path"] or "$", match["reason"]) if match else ("$", str(error))
    unknown = _UNKNOWN.match(reason)
    if unknown:
        return ContractError(f"{path}.{unknown['field']}", "unknown key")
    return ContractError(path, reason)
