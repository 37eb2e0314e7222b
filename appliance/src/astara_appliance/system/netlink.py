"""Links, addresses and routes of our network namespace, as plain values.

The only module that knows pyroute2, by which links and routes are changed; lists go by
`rtnetlink`, addresses by `addresses`. It decides nothing: each function is one kernel request, and
what the kernel refuses comes back as `NetlinkRefused` that says what was asked. Called by facts,
drivers and astara-configure-management.
"""

import contextlib
import dataclasses
import errno
import functools
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import addresses, rtnetlink
from .pyroute import IPRoute, NetlinkError, rtmsg

_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # ndmsg: family, index, state, flags, type
_DISCIPLINE = struct.Struct("=BxxxiIII")  # tcmsg: family, index, handle, parent, info
_GET_LINK, _NEW_ROUTE, _GET_ROUTE, _GET_NEIGHBOUR, _GET_DISCIPLINE = 18, 24, 26, 30, 38
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_INFO_KIND = 1, 3, 4, 18, 1
_NDA_DST, _NTF_PROXY = 1, 0x08
_TCA_KIND, _TC_H_ROOT = 1, 0xFFFFFFFF
_ARPHRD_ETHER = 1
_IFF_UP = 1
_RT_TABLE_MAIN = 254
_RTNH_F_ONLINK = 4
_RT_SCOPE_LINK = 253

BOOT_PROTOCOL = 3
"""RTPROT_BOOT: routes set up at boot, of management."""

BOOT_METRIC = 2000
"""Worse than any route of a document."""

# Devices of software on top of NICs; a NIC in the sense of the document is hardware (no kind) or a
# veth end.
_STACKED = {
    "bond",
    "bridge",
    "dummy",
    "gre",
    "gretap",
    "ifb",
    "ip6gre",
    "ip6gretap",
    "ipip",
    "sit",
}
_STACKED |= {"openvswitch", "team", "tun", "vlan", "vti", "vxlan", "wireguard"}


class NetlinkRefused(Exception):
    """The kernel refused a request: `what` was asked, `code` is its errno."""

    def __init__(self, what: str, code: int) -> None:
        self.what = what
        self.code = code
        super().__init__(f"kernel refused {what}: {os.strerror(code)}")


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """An Ethernet device."""

    index: int
    device: str
    mac: str
    mtu: int
    up: bool


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


@dataclasses.dataclass(frozen=True, slots=True)
class Discipline:
    """The root queueing discipline of a device."""

    device: str
    kind: str
    handle: int


class Netlink:
    """A way to the kernel for a few requests of one thread; use `opened()`."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack

    @functools.cached_property
    def _ipr(self) -> Any:
        # Not before it is needed, which it rarely is.
        return self._stack.enter_context(IPRoute())

    def links(self) -> tuple[Link, ...]:
        """Return the NICs in kernel order: Ethernet devices not built on top of others."""
        found = (_link(data) for data in _devices())
        return tuple(link for link in found if link is not None)

    def addresses(self) -> dict[int, frozenset[str]]:
        """Return the addresses ("192.0.2.1/24") of every device by its index."""
        return addresses.dump()

    def set_link(self, link: Link, *, up: bool | None = None, mtu: int | None = None) -> None:
        """Change state or MTU of a device."""
        if mtu is not None:
            with _refusal(f"mtu {mtu} on {link.device}"):
                self._ipr.link("set", index=link.index, mtu=mtu)
        if up is not None:
            state = "up" if up else "down"
            with _refusal(f"{link.device} {state}"):
                self._ipr.link("set", index=link.index, state=state)

    def add_addresses(self, link: Link, wanted: Mapping[str, bool]) -> None:
        """Add addresses ("ip/prefix") without duplicate address detection; those that are there
        already stay.

        True means deprecated: the kernel takes it as source only for who is bound to it (RFC
        6724).
        """
        refused = addresses.add(link.index, wanted) if wanted else None
        if refused is not None:
            raise NetlinkRefused(f"address {refused.address} on {link.device}", refused.code)

    def remove_addresses(self, link: Link, gone: Sequence[str]) -> None:
        """Remove addresses; those that are gone already are fine."""
        refused = addresses.remove(link.index, gone) if gone else None
        if refused is not None:
            what = f"removing {refused.address} from {link.device}"
            raise NetlinkRefused(what, refused.code)

    def remove_address(self, link: Link, address: str) -> None:
        """Remove one address; one that is gone already is fine."""
        self.remove_addresses(link, (address,))

    def routes(self) -> tuple[InstalledRoute, ...]:
        """Return the routes of the main table, whoever installed them."""
        names = _names()
        return tuple(
            _installed(message, names)
            for family in (socket.AF_INET, socket.AF_INET6)
            for message in _main_table(family)
        )

    def proxied(self) -> frozenset[tuple[str, str]]:
        """Return (device, address) of the neighbours in whose place we answer over IPv6."""
        names, found = _names(), set()
        asked = _NEIGHBOUR.pack(socket.AF_INET6, 0, 0, _NTF_PROXY, 0)
        for data in rtnetlink.listed(_GET_NEIGHBOUR, asked):
            _, index, _, _, _ = _NEIGHBOUR.unpack_from(data)
            packed = rtnetlink.attributes(data, _NEIGHBOUR.size).get(_NDA_DST, b"")
            if index in names and len(packed) == 16:
                found.add((names[index], socket.inet_ntop(socket.AF_INET6, packed)))
        return frozenset(found)

    def disciplines(self) -> tuple[Discipline, ...]:
        """Return the root queueing disciplines that are not the devices' own."""
        names, found = _names(), []
        for data in rtnetlink.listed(_GET_DISCIPLINE, _DISCIPLINE.pack(0, 0, 0, 0, 0)):
            _, index, handle, parent, _ = _DISCIPLINE.unpack_from(data)
            if parent == _TC_H_ROOT and index in names and handle:
                kind = _text(rtnetlink.attributes(data, _DISCIPLINE.size).get(_TCA_KIND, b""))
                found.append(Discipline(names[index], kind, handle >> 16))
        return tuple(found)

    def replace_route(self, route: Route, protocol: int, metric: int) -> None:
        """Install `route`, in the place of ours for the same destination if there is one."""
        request: dict[str, Any] = {"dst": route.destination, "proto": protocol, "priority": metric}
        if route.source:
            request["prefsrc"] = route.source
        hops = [self._hop(hop) for hop in route.nexthops]
        if len(hops) == 1:
            request |= hops[0]
        else:
            request["multipath"] = hops
        with _refusal(f"route {route.destination} via {_hops(route)}"):
            self._ipr.route("replace", family=route.family, **request)

    def remove_route(self, installed: InstalledRoute) -> None:
        """Remove a route; one that is gone already is fine."""
        route = installed.route
        with _refusal(f"removing route {route.destination}", tolerate=errno.ESRCH):
            self._ipr.route(
                "del",
                family=route.family,
                dst=route.destination,
                proto=installed.protocol,
                priority=installed.metric,
                type=installed.kind,
            )

    def _hop(self, hop: Nexthop) -> dict[str, Any]:
        indexes = self._ipr.link_lookup(ifname=hop.device)
        if not indexes:
            raise NetlinkRefused(f"route via {hop.gateway} on {hop.device}", errno.ENODEV)
        way = {"gateway": hop.gateway} if hop.gateway else {"scope": _RT_SCOPE_LINK}
        return {**way, "oif": indexes[0], "flags": _RTNH_F_ONLINK if hop.onlink else 0}


@contextlib.contextmanager
def opened() -> Iterator[Netlink]:
    """Give a few requests of one thread a way to the kernel."""
    with contextlib.ExitStack() as stack:
        yield Netlink(stack)


@contextlib.contextmanager
def _refusal(what: str, tolerate: int = 0) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code != tolerate:
            raise NetlinkRefused(what, error.code) from error


def _main_table(family: int) -> Iterator[Any]:
    """List the main table alone: each floating IP has a route in the local one."""
    asked = _ROUTE.pack(family, 0, 0, 0, _RT_TABLE_MAIN, 0, 0, 0, 0)
    try:
        listed = rtnetlink.listed(_GET_ROUTE, asked)
    except OSError as error:
        if error.errno == errno.ENOENT:  # the family has no such table yet
            return
        raise NetlinkRefused("a list of routes", error.errno or errno.EIO) from error
    for data in listed:
        head = rtnetlink.HEADER.pack(rtnetlink.HEADER.size + len(data), _NEW_ROUTE, 0, 0, 0)
        message = rtmsg.rtmsg(head + data)
        message.decode()
        yield message


def _devices() -> list[bytes]:
    return rtnetlink.listed(_GET_LINK, _LINK.pack(0, 0, 0, 0, 0))


def _names() -> dict[int, str]:
    """Return the names of all devices by index."""
    return {
        _LINK.unpack_from(data)[2]: _text(rtnetlink.attributes(data, _LINK.size)[_IFLA_IFNAME])
        for data in _devices()
    }


def _link(data: bytes) -> Link | None:
    """Return the device of a message, None if it is no NIC."""
    _, kind, index, flags, _ = _LINK.unpack_from(data)
    found = rtnetlink.attributes(data, _LINK.size)
    info = rtnetlink.attributes(found.get(_IFLA_LINKINFO, b""))
    if kind != _ARPHRD_ETHER or _text(info.get(_IFLA_INFO_KIND, b"")) in _STACKED:
        return None
    return Link(
        index=index,
        device=_text(found[_IFLA_IFNAME]),
        mac=found[_IFLA_ADDRESS].hex(":"),
        mtu=int.from_bytes(found[_IFLA_MTU], sys.byteorder),
        up=bool(flags & _IFF_UP),
    )


def _text(value: bytes) -> str:
    return value.partition(b"\0")[0].decode(errors="replace")


def _route(message: Any, names: dict[int, str]) -> Route:
    default = "0.0.0.0/0" if message["family"] == socket.AF_INET else "::/0"
    target = message.get_attr("RTA_DST")
    several = message.get_attr("RTA_MULTIPATH")
    return Route(
        destination=f"{target}/{message['dst_len']}" if target else default,
        nexthops=tuple(
            sorted(
                Nexthop(
                    gateway=hop.get_attr("RTA_GATEWAY") or "",
                    device=names.get(
                        hop.get_attr("RTA_OIF") if hop is message else hop["oif"], ""
                    ),
                    onlink=bool(hop["flags"] & _RTNH_F_ONLINK),
                )
                for hop in (several or [message])
            )
        ),
        source=message.get_attr("RTA_PREFSRC"),
    )


def _installed(message: Any, names: dict[int, str]) -> InstalledRoute:
    return InstalledRoute(
        route=_route(message, names),
        protocol=message["proto"],
        metric=message.get_attr("RTA_PRIORITY") or 0,
        kind=message["type"],
    )


def _hops(route: Route) -> str:
    return ", ".join(f"{hop.gateway} dev {hop.device}" for hop in route.nexthops)
