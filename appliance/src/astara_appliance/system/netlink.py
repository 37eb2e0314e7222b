"""Links, addresses and routes of our network namespace, as plain values.

The only module that knows pyroute2; addresses, of which there may be thousands, go by `addresses`
instead. It decides nothing: each function is one kernel request, and
what the kernel refuses comes back as `NetlinkRefused` that says what was asked. Called by facts,
the interfaces and the routes driver and astara-configure-management.
"""

import contextlib
import dataclasses
import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import addresses
from .pyroute import IPRoute, NetlinkError, rtmsg

_SOL_NETLINK, _NETLINK_GET_STRICT_CHK = 270, 12
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_DUMP_ROUTES = struct.Struct("=IHHIIBBBBBBBBI")  # nlmsghdr and rtmsg
_NLMSG_ERROR, _NLMSG_DONE, _RTM_GETROUTE, _REQUEST_DUMP = 2, 3, 26, 0x301
_DUMP_TIMEOUT_S = 10.0
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


class Netlink:
    """An open netlink socket; use `opened()`."""

    def __init__(self, ipr: Any) -> None:
        self._ipr = ipr

    def links(self) -> tuple[Link, ...]:
        """Return the NICs in kernel order: Ethernet devices not built on top of others."""
        return tuple(_link(message) for message in self._ipr.get_links() if _is_nic(message))

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
        links = self._ipr.get_links()
        names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in links}
        return tuple(
            _installed(message, names)
            for family in (socket.AF_INET, socket.AF_INET6)
            for message in _main_table(family)
        )

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
    """Open a netlink socket for a few requests of one thread."""
    # Strictly checked, the kernel itself leaves out routes of other tables: each floating IP has
    # one in the local table.
    with IPRoute(strict_check=True) as ipr:
        yield Netlink(ipr)


@contextlib.contextmanager
def _refusal(what: str, tolerate: int = 0) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code != tolerate:
            raise NetlinkRefused(what, error.code) from error


def _main_table(family: int) -> Iterator[Any]:
    """List the main table alone: each floating IP has a route in the local one, and pyroute2 would
    have the kernel send all tables and decode every route of them.
    """
    size = _DUMP_ROUTES.size
    header = (size, _RTM_GETROUTE, _REQUEST_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_DUMP_TIMEOUT_S)
        kernel.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        kernel.send(_DUMP_ROUTES.pack(*header, family, 0, 0, 0, _RT_TABLE_MAIN, 0, 0, 0, 0))
        while True:
            received, at = kernel.recv(1 << 17), 0
            while at < len(received):
                length, kind, _, _, _ = _HEADER.unpack_from(received, at)
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", received, at + _HEADER.size)
                    if -code == errno.ENOENT:  # the family has no such table yet
                        return
                    raise NetlinkRefused("a list of routes", -code)
                message = rtmsg.rtmsg(received[at : at + length])
                message.decode()
                yield message
                at += (length + 3) & ~3


def _is_nic(message: Any) -> bool:
    kind = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    return message["ifi_type"] == _ARPHRD_ETHER and kind not in _STACKED


def _link(message: Any) -> Link:
    return Link(
        index=message["index"],
        device=message.get_attr("IFLA_IFNAME"),
        mac=message.get_attr("IFLA_ADDRESS").lower(),
        mtu=message.get_attr("IFLA_MTU"),
        up=bool(message["flags"] & _IFF_UP),
    )


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
