"""Links, addresses and routes of our network namespace, as plain values.

Messages go by `rtnetlink`, those of routes and addresses are of `routes` and `addresses`. It
decides nothing: each function is one kernel request, and what the kernel refuses comes back as
`NetlinkRefused` that says what was asked. Called by facts, drivers and
astara-configure-management.
"""

import contextlib
import dataclasses
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence

from . import addresses, routes, rtnetlink
from .routes import InstalledRoute as InstalledRoute
from .routes import Nexthop as Nexthop
from .routes import Route as Route

_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # ndmsg: family, index, state, flags, type
_DISCIPLINE = struct.Struct("=BxxxiIII")  # tcmsg: family, index, handle, parent, info
_SET_LINK, _GET_LINK, _GET_NEIGHBOUR, _GET_DISCIPLINE = 16, 18, 30, 38
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26
_CREATE_OR_REPLACE = 0x500
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_INFO_KIND = 1, 3, 4, 18, 1
_NDA_DST, _NTF_PROXY = 1, 0x08
_TCA_KIND, _TC_H_ROOT = 1, 0xFFFFFFFF
_ARPHRD_ETHER = 1
_IFF_UP = 1

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


@dataclasses.dataclass(frozen=True, slots=True)
class Discipline:
    """The root queueing discipline of a device."""

    device: str
    kind: str
    handle: int


class Netlink:
    """A way to the kernel for a few requests of one thread; use `opened()`."""

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
            size = rtnetlink.attribute(_IFLA_MTU, mtu.to_bytes(4, sys.byteorder))
            with _refusal(f"mtu {mtu} on {link.device}"):
                rtnetlink.ask(_SET_LINK, 0, _LINK.pack(0, 0, link.index, 0, 0) + size)
        if up is not None:
            flags = _IFF_UP if up else 0
            with _refusal(f"{link.device} {'up' if up else 'down'}"):
                rtnetlink.ask(_SET_LINK, 0, _LINK.pack(0, 0, link.index, flags, _IFF_UP))

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

    def routes(self) -> tuple[InstalledRoute, ...]:
        """Return the routes of the main table, whoever installed them."""
        names = _names()
        return tuple(
            routes.read(data, names)
            for family in (socket.AF_INET, socket.AF_INET6)
            for data in _main_table(family)
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
        indexes = {name: index for index, name in _names().items()}
        for hop in route.nexthops:
            if hop.device not in indexes:
                raise NetlinkRefused(f"route via {hop.gateway} on {hop.device}", errno.ENODEV)
        body = routes.write(route, protocol, metric, indexes)
        with _refusal(f"route {route.destination} via {_hops(route)}"):
            rtnetlink.ask(_NEW_ROUTE, _CREATE_OR_REPLACE, body)

    def remove_route(self, installed: InstalledRoute) -> None:
        """Remove a route; one that is gone already is fine."""
        what = f"removing route {installed.route.destination}"
        with _refusal(what, tolerate=errno.ESRCH):
            rtnetlink.ask(_DELETE_ROUTE, 0, routes.write_removal(installed))


@contextlib.contextmanager
def opened() -> Iterator[Netlink]:
    """Give a few requests of one thread a way to the kernel."""
    yield Netlink()


@contextlib.contextmanager
def _refusal(what: str, tolerate: int = 0) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != tolerate:
            raise NetlinkRefused(what, error.errno or errno.EIO) from error


def _main_table(family: int) -> list[bytes]:
    # ENOENT: the family has no such table yet.
    try:
        with _refusal("a list of routes"):
            return rtnetlink.listed(_GET_ROUTE, routes.request(family))
    except NetlinkRefused as refused:
        if refused.code == errno.ENOENT:
            return []
        raise


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


def _hops(route: Route) -> str:
    return ", ".join(f"{hop.gateway} dev {hop.device}" for hop in route.nexthops)
