"""List, add and remove many addresses by few netlink messages (rtnetlink(7)).

Made for routers with thousands of floating IPs: a general netlink library spends a third of a
millisecond on each address, this module a few microseconds, and a `Book` lists the IPv4 ones only
when it has lost track of the kernel's changes. It decides nothing and knows nothing but
RTM_NEWADDR, RTM_DELADDR and RTM_GETADDR. Called by `netlink`, which turns what the kernel refuses
into its own error, and by the interfaces driver.
"""

import contextlib
import dataclasses
import errno
import ipaddress
import socket
import struct
import weakref
from collections.abc import Iterator, Mapping, Sequence

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")
_TYPICAL = struct.Struct("=BBBBIHH4sHH4s")  # an IPv4 address as the kernel lists it
_LIFETIMES = struct.Struct("=IIII")  # ifa_cacheinfo: preferred, valid, created, updated
_DATA = _HEADER.size + _ADDRESS.size
_ERROR, _DONE, _NEW, _DELETE, _GET = 2, 3, 20, 21, 22
_REQUEST, _ACK, _INTERRUPTED = 0x1, 0x4, 0x10
_CREATE_EXCLUSIVELY, _DUMP = 0x600, 0x300
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 4, 6, 8
_NODAD = 0x02
_FOREVER = 0xFFFFFFFF
_SINGLE = "/32"
_SINGLE_IPV4 = struct.Struct("=BBBBIHH4sHH4s")  # ifaddrmsg, IFA_LOCAL, IFA_ADDRESS
_TOLD_OF_IPV4 = 0x10  # RTMGRP_IPV4_IFADDR
_TOGETHER = 128  # requests in one send: their answers fit the receive buffer
_RECEIVED = 1 << 17
_TIMEOUT_S = 10.0
_DUMP_ATTEMPTS = 8


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
                received = told.recv(_RECEIVED)
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                return False
            for kind, _, data in _messages(received):
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


@contextlib.contextmanager
def _opened() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as route:
        route.settimeout(_TIMEOUT_S)
        route.bind((0, 0))
        yield route


def _frozen(found: Mapping[int, set[str]]) -> dict[int, frozenset[str]]:
    return {index: frozenset(texts) for index, texts in found.items()}


def _listed(family: int) -> dict[int, set[str]]:
    with _opened() as route:
        for _ in range(_DUMP_ATTEMPTS):
            found: dict[int, set[str]] = {}
            if _dumped(route, family, found):
                return found
    raise OSError(errno.EINTR, "addresses changed each time they were listed")


def _dumped(route: socket.socket, family: int, found: dict[int, set[str]]) -> bool:
    """List once into `found`; return whether nothing changed meanwhile."""
    asked = _HEADER.pack(_DATA, _GET, _REQUEST | _DUMP, 1, 0)
    route.send(asked + _ADDRESS.pack(family, 0, 0, 0, 0))
    whole = True
    while True:
        for kind, flags, data in _messages(route.recv(_RECEIVED)):
            whole = whole and not flags & _INTERRUPTED
            if kind == _DONE:
                return whole
            if kind == _ERROR:
                raise OSError(-struct.unpack_from("=i", data)[0], "kernel lists no addresses")
            if kind == _NEW:
                _note(data, found)


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
    values, at = {}, _ADDRESS.size
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        values[kind] = data[at + _ATTRIBUTE.size : at + size]
        at += max((size + 3) & ~3, _ATTRIBUTE.size)
    return values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS, b"")


def _messages(received: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(received):
        length, kind, flags, _, _ = _HEADER.unpack_from(received, at)
        yield kind, flags, received[at + _HEADER.size : at + length]
        at += max((length + 3) & ~3, _HEADER.size)


def _ask(kind: int, flags: int, requests: Mapping[str, bytes], tolerated: int) -> Refusal | None:
    names, refused = list(requests), None
    with _opened() as route:
        for begin in range(0, len(names), _TOGETHER):
            part = names[begin : begin + _TOGETHER]
            route.send(
                b"".join(
                    _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _ACK | flags, at, 0)
                    + body
                    for at, body in enumerate(requests[name] for name in part)
                )
            )
            for at, code in _answers(route, len(part)):
                if code not in (0, tolerated) and refused is None:
                    refused = Refusal(part[at], code)
    return refused


def _answers(route: socket.socket, count: int) -> Iterator[tuple[int, int]]:
    """Yield (sequence number, errno) of `count` acknowledgements."""
    while count:
        for kind, _, data in _messages(route.recv(_RECEIVED)):
            if kind == _ERROR:
                code, _, _, _, sequence, _ = struct.unpack_from("=iIHHII", data)
                yield sequence, -code
                count -= 1


def _new(index: int, address: str, deprecated: bool) -> bytes:
    if address.endswith(_SINGLE):
        return _single(index, address)
    parsed = ipaddress.ip_interface(address)
    body = _body(index, parsed)
    if isinstance(parsed, ipaddress.IPv6Interface):
        body += _attribute(_IFA_FLAGS, struct.pack("=I", _NODAD))
        if deprecated:
            body += _attribute(_IFA_CACHEINFO, _LIFETIMES.pack(0, _FOREVER, 0, 0))
    elif parsed.network.prefixlen < 31:
        body += _attribute(_IFA_BROADCAST, parsed.network.broadcast_address.packed)
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
    return head + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)


def _attribute(kind: int, value: bytes) -> bytes:
    """Lengths of all our values are multiples of four: no padding."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
