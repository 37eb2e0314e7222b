"""Routes as plain values, and as messages of rtnetlink(7).

Pure. Knows unicast routes of the main table, with one next hop or several. Called by `netlink`.
"""

import dataclasses
import socket
import struct
from collections.abc import Iterator, Mapping

from . import rtnetlink

TABLE = 254  # RT_TABLE_MAIN
_MESSAGE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths, tos, table, protocol, scope, ...
_HOP = struct.Struct("=HBBi")  # rtnexthop: length, flags, weight, index
_NUMBER = struct.Struct("=I")
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_MULTIPATH = 1, 4, 5, 6, 7, 9
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_ANY = 0, 253, 255
_RTN_UNICAST = 1
_RTNH_F_ONLINK = 4


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Nexthop:
    """Where a route leads; without a gateway, its destinations are on the device's own link.
    `onlink` says that the gateway answers there whatever the addresses say.
    """

    gateway: str
    device: str
    onlink: bool = False


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Route:
    """A unicast route of the main table; several next hops share its load."""

    destination: str
    nexthops: tuple[Nexthop, ...]
    source: str | None = None

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.destination else socket.AF_INET


@dataclasses.dataclass(frozen=True, slots=True)
class InstalledRoute:
    """A route as the kernel has it: `protocol` tells who installed it (rtnetlink(7))."""

    route: Route
    protocol: int
    metric: int
    kind: int
    """RTN_UNICAST, RTN_BLACKHOLE..."""


def request(family: int) -> bytes:
    """Return the body of a request for the main table alone: each floating IP has a route in the
    local one.
    """
    return _MESSAGE.pack(family, 0, 0, 0, TABLE, 0, 0, 0, 0)


def read(data: bytes, names: Mapping[int, str]) -> InstalledRoute:
    """Return the route of a message; `names` has the devices by index."""
    family, length, _, _, _, protocol, _, kind, flags = _MESSAGE.unpack_from(data)
    found = rtnetlink.attributes(data, _MESSAGE.size)
    several = found.get(_RTA_MULTIPATH)
    index = _NUMBER.unpack(found[_RTA_OIF])[0] if _RTA_OIF in found else 0
    single = (Nexthop(_text(found, _RTA_GATEWAY), names.get(index, ""), _is_onlink(flags)),)
    default = "0.0.0.0/0" if family == socket.AF_INET else "::/0"
    target = _text(found, _RTA_DST)
    return InstalledRoute(
        route=Route(
            destination=f"{target}/{length}" if target else default,
            nexthops=single if several is None else tuple(sorted(_hops(several, names))),
            source=_text(found, _RTA_PREFSRC) or None,
        ),
        protocol=protocol,
        metric=_NUMBER.unpack(found[_RTA_PRIORITY])[0] if _RTA_PRIORITY in found else 0,
        kind=kind,
    )


def write(route: Route, protocol: int, metric: int, indexes: Mapping[str, int]) -> bytes:
    """Return the message that installs a route; `indexes` has the devices by name."""
    scope, flags = _SCOPE_UNIVERSE, 0
    if len(route.nexthops) == 1:
        (hop,) = route.nexthops
        flags = _RTNH_F_ONLINK if hop.onlink else 0
        scope = _SCOPE_UNIVERSE if hop.gateway else _SCOPE_LINK
        way = rtnetlink.attribute(_RTA_OIF, _NUMBER.pack(indexes[hop.device])) + _gateway(hop)
    else:
        hops = b"".join(_written_hop(hop, indexes[hop.device]) for hop in route.nexthops)
        way = rtnetlink.attribute(_RTA_MULTIPATH, hops)
    source = rtnetlink.attribute(_RTA_PREFSRC, _packed(route.source)) if route.source else b""
    return _head(route, protocol, scope, _RTN_UNICAST, flags, metric) + source + way


def write_removal(installed: InstalledRoute) -> bytes:
    """Return the message that names a route which is to go."""
    route, protocol = installed.route, installed.protocol
    return _head(route, protocol, _SCOPE_ANY, installed.kind, 0, installed.metric)


def _head(route: Route, protocol: int, scope: int, kind: int, flags: int, metric: int) -> bytes:
    target, _, length = route.destination.partition("/")
    fields = (route.family, int(length), 0, 0, TABLE, protocol, scope, kind, flags)
    named = rtnetlink.attribute(_RTA_DST, _packed(target)) if int(length) else b""
    return (
        _MESSAGE.pack(*fields) + named + rtnetlink.attribute(_RTA_PRIORITY, _NUMBER.pack(metric))
    )


def _hops(data: bytes, names: Mapping[int, str]) -> Iterator[Nexthop]:
    at = 0
    while at + _HOP.size <= len(data):
        length, flags, _, index = _HOP.unpack_from(data, at)
        found = rtnetlink.attributes(data[at + _HOP.size : at + length])
        yield Nexthop(_text(found, _RTA_GATEWAY), names.get(index, ""), _is_onlink(flags))
        at += max((length + 3) & ~3, _HOP.size)


def _written_hop(hop: Nexthop, index: int) -> bytes:
    way = _gateway(hop)
    flags = _RTNH_F_ONLINK if hop.onlink else 0
    return _HOP.pack(_HOP.size + len(way), flags, 0, index) + way


def _gateway(hop: Nexthop) -> bytes:
    return rtnetlink.attribute(_RTA_GATEWAY, _packed(hop.gateway)) if hop.gateway else b""


def _is_onlink(flags: int) -> bool:
    return bool(flags & _RTNH_F_ONLINK)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _text(found: Mapping[int, bytes], kind: int) -> str:
    """Return the address of an attribute, empty if there is none."""
    packed = found.get(kind, b"")
    family = socket.AF_INET6 if len(packed) == 16 else socket.AF_INET
    return socket.inet_ntop(family, packed) if packed else ""
