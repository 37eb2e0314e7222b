"""List, add and remove many addresses by few netlink messages (rtnetlink(7)).

Made for routers with thousands of floating IPs: a general netlink library spends a third of a
millisecond on each address, this module a few microseconds, and a `Book` lists the IPv4 ones only
when it has lost track of the kernel's changes. It decides nothing and knows nothing but
RTM_NEWADDR, RTM_DELADDR and RTM_GETADDR. Called by `netlink`, which turns what the kernel refuses
into its own error, and by the interfaces driver.
"""

import dataclasses
import errno
import ipaddress
import socket
import struct
import weakref
from collections.abc import Iterator, Mapping, Sequence

from . import rtnetlink

_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_TYPICAL = struct.Struct("=BBBBIHH4sHH4s")  # an IPv4 address as the kernel lists it
_LIFETIMES = struct.Struct("=IIII")  # ifa_cacheinfo: preferred, valid, created, updated
_NEW, _DELETE, _GET = 20, 21, 22
_CREATE_EXCLUSIVELY = 0x600
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 4, 6, 8
_NODAD = 0x02
_FOREVER = 0xFFFFFFFF
_SINGLE = "/32"
_SINGLE_IPV4 = struct.Struct("=BBBBIHH4sHH4s")  # ifaddrmsg, IFA_LOCAL, IFA_ADDRESS
_TOLD_OF_IPV4 = 0x10  # RTMGRP_IPV4_IFADDR
_TOGETHER = 128  # requests in one send: their answers fit the receive buffer


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """What the kernel said no to."""

    address: str
    code: int
    """Its errno."""


def dump() -> dict[int, frozenset[str]]:
    """Return the addresses ("192.0.2.1/24") of every device by its index. OSError if the kernel
    does not tell.
    """
    return _frozen(_listed(socket.AF_UNSPEC))


class Book:
    """The addresses of the network namespace in which it is first read, kept current by what the
    kernel tells.

    It tells of IPv4 addresses before it acknowledges a change, so they are never stale here; IPv6
    ones, of which there are few, are listed each time: the kernel tells of those later. Not safe
    for threads.
    """

    def __init__(self) -> None:
        self._told: socket.socket | None = None
        self._close = weakref.finalize(self, int)
        self._found: dict[int, set[str]] = {}

    def read(self) -> tuple[dict[int, frozenset[str]], dict[int, frozenset[str]]]:
        """Return the IPv4 and the IPv6 addresses of every device by its index."""
        if self._told is None or not self._caught_up(self._told):
            self._begin()
        return _frozen(self._found), _frozen(_listed(socket.AF_INET6))

    def forget(self) -> None:
        """Stop listening until the next read: to list is cheaper than to hear of thousands."""
        self._close()
        self._told = None

    def _begin(self) -> None:
        self._close()
        # Listens first, so that nothing is missed; what is heard twice does no harm.
        told = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._close = weakref.finalize(self, told.close)
        told.setblocking(False)
        told.bind((0, _TOLD_OF_IPV4))
        self._told = told
        self._found = _listed(socket.AF_INET)

    def _caught_up(self, told: socket.socket) -> bool:
        """Take in what the kernel has told; False if it told more than there was room for."""
        while True:
            try:
                received = told.recv(rtnetlink.RECEIVED)
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                return False
            for kind, _, data in rtnetlink.messages(received):
                if kind == _NEW:
                    _note(data, self._found)
                elif kind == _DELETE:
                    _strike(data, self._found)


def add(index: int, wanted: Mapping[str, bool]) -> Refusal | None:
    """Give the device `index` addresses with prefix lengths, without duplicate address detection.

    True means: deprecated from the start. What is there already stays. Return the first refusal;
    the others are added all the same.
    """
    requests = {address: _new(index, address, old) for address, old in wanted.items()}
    return _ask(_NEW, _CREATE_EXCLUSIVELY, requests, errno.EEXIST)


def remove(index: int, addresses: Sequence[str]) -> Refusal | None:
    """Take addresses from the device `index`; what is gone already is fine. Return the first
    refusal.
    """
    requests = {address: _old(index, address) for address in addresses}
    return _ask(_DELETE, 0, requests, errno.EADDRNOTAVAIL)


def _frozen(found: Mapping[int, set[str]]) -> dict[int, frozenset[str]]:
    return {index: frozenset(texts) for index, texts in found.items()}


def _listed(family: int) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for data in rtnetlink.listed(_GET, _ADDRESS.pack(family, 0, 0, 0, 0)):
        _note(data, found)
    return found


def _note(data: bytes, found: dict[int, set[str]]) -> None:
    index, text = _named(data)
    if text:
        found.setdefault(index, set()).add(text)


def _strike(data: bytes, found: dict[int, set[str]]) -> None:
    index, text = _named(data)
    rest = found.get(index, set())
    rest.discard(text)
    if not rest:
        found.pop(index, None)


def _named(data: bytes) -> tuple[int, str]:
    """Return device and address of a message; the address is empty if there is none."""
    family, length, _, _, index, _, first, _, _, second, packed = _TYPICAL.unpack_from(data)
    if family == socket.AF_INET6 or (first, second) != (_IFA_ADDRESS, _IFA_LOCAL):
        packed = _own_address(data)
    if not packed or family not in (socket.AF_INET, socket.AF_INET6):
        return index, ""
    return index, f"{socket.inet_ntop(family, packed)}/{length}"


def _own_address(data: bytes) -> bytes:
    """Return our end's address, empty if there is none: on a point-to-point device the other
    end's is in IFA_ADDRESS.
    """
    values = rtnetlink.attributes(data, _ADDRESS.size)
    return values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS, b"")


def _ask(kind: int, flags: int, requests: Mapping[str, bytes], tolerated: int) -> Refusal | None:
    names, refused = list(requests), None
    with rtnetlink.opened() as route:
        for begin in range(0, len(names), _TOGETHER):
            part = names[begin : begin + _TOGETHER]
            bodies = [requests[name] for name in part]
            route.send(b"".join(_framed(kind, flags, bodies)))
            for at, code in _answers(route, len(part) - 1):
                if code not in (0, tolerated) and refused is None:
                    refused = Refusal(part[at], code)
    return refused


def _framed(kind: int, flags: int, bodies: Sequence[bytes]) -> Iterator[bytes]:
    """Yield requests. Only the last one wants an answer: the kernel tells errors in any case, and
    in the order of the requests.
    """
    size, last = rtnetlink.HEADER.size, len(bodies) - 1
    for at, body in enumerate(bodies):
        asked = rtnetlink.REQUEST | flags | (rtnetlink.ACK if at == last else 0)
        yield rtnetlink.HEADER.pack(size + len(body), kind, asked, at, 0) + body


def _answers(route: socket.socket, last: int) -> Iterator[tuple[int, int]]:
    """Yield (sequence number, errno) of what was told up to the answer to the last request."""
    sequence = -1
    while sequence != last:
        for kind, _, data in rtnetlink.messages(route.recv(rtnetlink.RECEIVED)):
            if kind == rtnetlink.ERROR:
                code, _, _, _, sequence, _ = struct.unpack_from("=iIHHII", data)
                yield sequence, -code


def _new(index: int, address: str, deprecated: bool) -> bytes:
    if address.endswith(_SINGLE):
        return _single(index, address)
    parsed = ipaddress.ip_interface(address)
    body = _body(index, parsed)
    if isinstance(parsed, ipaddress.IPv6Interface):
        body += rtnetlink.attribute(_IFA_FLAGS, struct.pack("=I", _NODAD))
        if deprecated:
            body += rtnetlink.attribute(_IFA_CACHEINFO, _LIFETIMES.pack(0, _FOREVER, 0, 0))
    elif parsed.network.prefixlen < 31:
        body += rtnetlink.attribute(_IFA_BROADCAST, parsed.network.broadcast_address.packed)
    return body


def _old(index: int, address: str) -> bytes:
    if address.endswith(_SINGLE):
        return _single(index, address)
    return _body(index, ipaddress.ip_interface(address))


def _single(index: int, address: str) -> bytes:
    """Return the body for a single IPv4 address, as floating IPs are, without parsing twice."""
    packed = socket.inet_pton(socket.AF_INET, address.removesuffix(_SINGLE))
    local, same = (8, _IFA_LOCAL, packed), (8, _IFA_ADDRESS, packed)
    return _SINGLE_IPV4.pack(socket.AF_INET, 32, 0, 0, index, *local, *same)


def _body(index: int, parsed: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> bytes:
    family = socket.AF_INET6 if parsed.version == 6 else socket.AF_INET
    packed = parsed.ip.packed
    head = _ADDRESS.pack(family, parsed.network.prefixlen, 0, 0, index)
    ends = (rtnetlink.attribute(kind, packed) for kind in (_IFA_LOCAL, _IFA_ADDRESS))
    return head + b"".join(ends)
