"""The section `functions.ipsec` of the document: IPsec connections to other sites (RFC 4301).

Only its shape, which the orchestrator fills and the appliance's function of that name reads, and
what the appliance tells of each connection. Words are those of Neutron's VPN API. Strings of
tenants have types whose alphabets leave nothing to escape.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from astara_contract.types import Address, Cidr, Identifier

NAME = "ipsec"
"""The function's name and the key of its section."""

Peer = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_.:-]{0,252}[A-Za-z0-9_.:])?$(?!\n)",
        description="Address of the other gateway, or its name in the DNS.",
    ),
]
Identity = Annotated[
    str,
    Meta(
        pattern=r"^[!-~]{1,255}$(?!\n)",
        description="Identity of a gateway (RFC 7296 section 3.5): address, name, mail address.",
    ),
]
PresharedKey = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]{0,255}$(?!\n)",
        description="Pre-shared key: UTF-8 without control characters; empty where hidden.",
    ),
]
Encryption = Annotated[
    str,
    Meta(
        pattern=r"^(3des|aes-(128|192|256)(-(ctr|(ccm|gcm)-(8|12|16)))?)$(?!\n)",
        description="Cipher; those with ccm and gcm need no integrity algorithm.",
    ),
]
Integrity = Literal["sha1", "sha256", "sha384", "sha512", "aes-xcbc", "aes-cmac"]
Group = Annotated[int, Meta(ge=1, le=31, description="Diffie-Hellman group (IANA's number).")]
Seconds = Annotated[int, Meta(ge=60, le=2**31 - 1)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the parts of the section."""


class Proposal(_Part, frozen=True):
    """What is negotiated, for IKE or for the traffic."""

    encryption: Encryption = "aes-128"
    integrity: Integrity = "sha1"
    group: Group = 5
    lifetime_s: Seconds = 3600


class DeadPeer(_Part, frozen=True):
    """What is done when the other gateway is silent for `timeout_s`."""

    action: Literal["hold", "clear", "restart", "restart-by-peer", "disabled"] = "hold"
    interval_s: Annotated[int, Meta(ge=1, le=86400)] = 30
    timeout_s: Annotated[int, Meta(ge=1, le=86400)] = 120


class Connection(_Part, frozen=True):
    """A connection: traffic between `local_subnets` and `peer_subnets` is protected or dropped."""

    id: Identifier
    local_address: Address
    local_id: Identity
    peer_address: Peer
    peer_id: Identity
    psk_secret: PresharedKey
    local_subnets: tuple[Cidr, ...]
    peer_subnets: tuple[Cidr, ...]
    ike_version: Literal[1, 2] = 1
    aggressive: bool = False
    ike: Proposal = Proposal()
    esp: Proposal = Proposal()
    protocol: Literal["esp", "ah"] = "esp"
    mode: Literal["tunnel", "transport"] = "tunnel"
    initiate: bool = True
    dead_peer: DeadPeer = DeadPeer()
    mtu: Annotated[int, Meta(ge=68, le=65535)] = 1500


class Section(_Part, frozen=True):
    """All connections of a router."""

    connections: tuple[Connection, ...] = ()


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection is; `reason` is one sentence where it is not ACTIVE."""

    id: str
    status: Literal["ACTIVE", "DOWN", "ERROR"]
    reason: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the function tells in the appliance's status, under its name."""

    connections: tuple[ConnectionStatus, ...] = ()
