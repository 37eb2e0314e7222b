"""Constrained scalar types of the contract.

A string that may reach a configuration file has a type that cannot hold a control character, so
that no value can add a line or a directive to any file. Address types only fix the alphabet here,
which is what keeps files safe and what JSON Schema can say; whether they parse is checked by
`document.parse`.

Patterns end in ``$(?!\\n)`` because a bare ``$`` also matches before a final newline.
"""

from typing import Annotated, Literal

from msgspec import Meta

Identifier = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$(?!\n)",
        description="Opaque id as OpenStack gives it, a UUID as a rule.",
    ),
]
OptionalIdentifier = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,254})?$(?!\n)",
        description="Opaque id, or empty.",
    ),
]
Text = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,255}$(?!\n)",
        description="Human text on one line, without control characters.",
    ),
]
Address = Annotated[
    str,
    Meta(pattern=r"^[0-9A-Fa-f:.]{2,45}$(?!\n)", description="IPv4 or IPv6 address."),
]
Ipv4Address = Annotated[
    str,
    Meta(
        max_length=15,
        extra_json_schema={"pattern": r"^[0-9.]{7,15}$(?!\n)"},
        description="IPv4 address.",
    ),
]
"""Not held against its pattern: there may be thousands, and `rules` reads each one anyhow."""

OptionalAddress = Annotated[
    str,
    Meta(pattern=r"^([0-9A-Fa-f:.]{2,45})?$(?!\n)", description="IPv4 or IPv6 address, or empty."),
]
Cidr = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Fa-f:.]{2,45}/[0-9]{1,3}$(?!\n)",
        description="Network in CIDR notation, host bits zero.",
    ),
]
InterfaceAddress = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Fa-f:.]{2,45}/[0-9]{1,3}$(?!\n)",
        description="Address of an interface with its prefix length, such as 192.0.2.1/24.",
    ),
]
MacAddress = Annotated[
    str,
    Meta(pattern=r"^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$(?!\n)", description="Ethernet MAC."),
]
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
DomainName = Annotated[
    str,
    Meta(
        pattern=rf"^({_LABEL}(\.{_LABEL})*\.?)?$(?!\n)",
        max_length=254,
        description="Host or domain name (RFC 1123, underscore allowed), or empty.",
    ),
]
InterfaceName = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,14})?$(?!\n)",
        description="Name of an interface in the appliance: ge0, ge1, ...; may be empty.",
    ),
]
DhcpOptionName = Annotated[
    str,
    Meta(
        pattern=r"^(option6?:)?[A-Za-z0-9][A-Za-z0-9-]{0,63}$(?!\n)",
        description="DHCP option, by name as dnsmasq knows it or by number.",
    ),
]
FunctionName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9-]{0,31}$(?!\n)",
        description="Name of a network function, as its package gives it.",
    ),
]
HexKey = Annotated[
    str,
    Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)", description="256 bit key in hex, or empty."),
]
Mtu = Annotated[int, Meta(ge=68, le=65535, description="Bytes (RFC 791 minimum is 68).")]
Port = Annotated[int, Meta(ge=1, le=65535, description="TCP port.")]
RateKbit = Annotated[int, Meta(ge=1, le=1_000_000_000, description="Kilobits per second.")]
BurstKbit = Annotated[
    int, Meta(ge=0, le=32_000_000, description="Kilobits; 0: the appliance chooses.")
]
Asn = Annotated[int, Meta(ge=0, le=4294967295, description="Autonomous system (RFC 6793).")]
BgpPassword = Annotated[
    str,
    Meta(
        pattern=r"^[!#-\[\]-~]{0,80}$(?!\n)",
        description="Key of TCP MD5 (RFC 2385): printable ASCII but blank, quote and backslash.",
    ),
]
VirtualRouterId = Annotated[
    int, Meta(ge=1, le=255, description="Names the pair on the network where its members talk.")
]
VrrpPriority = Annotated[
    int, Meta(ge=1, le=254, description="The higher one becomes master where there is none.")
]
AdvertInterval = Annotated[
    int,
    Meta(
        ge=50,
        le=10000,
        multiple_of=10,
        description="Milliseconds between adverts; after three of them the other one takes over.",
    ),
]

TransportProtocol = Literal["tcp", "udp", "sctp", "dccp"]
ConntrackHelperName = Literal["amanda", "ftp", "h323", "irc", "netbios-ns", "pptp", "sip", "tftp"]
Role = Literal["single", "master", "backup", "fault"]
NetworkType = Literal["management", "external", "internal", "isolated", "loadbalancer"]
AddressMode = Literal["slaac", "dhcpv6-stateful", "dhcpv6-stateless"]
