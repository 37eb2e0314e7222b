"""The section `functions.wireguard` of the document: a WireGuard device and its peers.

Only its shape, and what the appliance tells of each peer. Keys are 32 bytes in base64, as wg(8)
writes them; no type here holds a blank, so no value can begin a directive.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from astara_contract.ipsec import Peer
from astara_contract.types import Cidr, InterfaceAddress, Mtu, Port

NAME = "wireguard"
"""The function's name and the key of its section."""

Key = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$(?!\n)",
        description="A key of 32 bytes in base64.",
    ),
]
SecretKey = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)?$(?!\n)",
        description="A key of 32 bytes in base64; empty where hidden or not wanted.",
    ),
]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the parts of the section."""


class Remote(_Part, frozen=True):
    """A peer: packets to and from `allowed_ips` are its. Without an endpoint it calls us."""

    public_key: Key
    allowed_ips: tuple[Cidr, ...]
    preshared_secret: SecretKey = ""
    endpoint: Peer | None = None
    endpoint_port: Port = 51820
    keepalive_s: Annotated[int, Meta(ge=0, le=65535)] = 0


class Section(_Part, frozen=True):
    """The device `wg0` of a router."""

    private_key_secret: SecretKey
    peers: tuple[Remote, ...] = ()
    listen_port: Port = 51820
    addresses: tuple[InterfaceAddress, ...] = ()
    mtu: Mtu = 1420


class PeerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a peer is: ACTIVE if it has shaken hands within three minutes."""

    public_key: str
    status: Literal["ACTIVE", "DOWN"]
    reason: str = ""
    endpoint: str = ""
    received_bytes: int = 0
    sent_bytes: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the function tells in the appliance's status, under its name."""

    peers: tuple[PeerStatus, ...] = ()
