"""Ask the kernel for lists and changes, by plain messages of rtnetlink(7).

Framing and attributes, nothing else: who asks knows his messages. A general netlink library needs
a millisecond for what takes microseconds here, and 5 MiB; each push looks at links, addresses,
routes, neighbours and queueing disciplines. Called by `addresses`, `routes`, `netlink` and the
firewall.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
ERROR, DONE = 2, 3
REQUEST, ACK = 0x1, 0x4
RECEIVED = 1 << 17
_DUMP, _INTERRUPTED = 0x300, 0x10
_ATTRIBUTE = struct.Struct("=HH")
_NESTED_OR_ORDER = 0xC000
_SOL_NETLINK, _NETLINK_GET_STRICT_CHK = 270, 12
_TIMEOUT_S = 10.0
_ATTEMPTS = 8


@contextlib.contextmanager
def opened() -> Iterator[socket.socket]:
    """Open a socket for a few requests."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as route:
        route.settimeout(_TIMEOUT_S)
        # Strictly checked, the kernel itself leaves out what was not asked for.
        route.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        route.bind((0, 0))
        yield route


def listed(kind: int, body: bytes) -> list[bytes]:
    """Return the messages, without their headers, of the list that a request of `kind` asks for.

    OSError if the kernel refuses, or if the list changed each time while it was read.
    """
    with opened() as route:
        for _ in range(_ATTEMPTS):
            route.send(HEADER.pack(HEADER.size + len(body), kind, REQUEST | _DUMP, 1, 0) + body)
            found: list[bytes] = []
            if _read(route, found):
                return found
    raise OSError(errno.EINTR, "changed each time it was listed")


def ask(kind: int, flags: int, body: bytes) -> None:
    """Have the kernel change something; OSError if it refuses."""
    size = HEADER.size + len(body)
    with opened() as route:
        route.send(HEADER.pack(size, kind, REQUEST | ACK | flags, 1, 0) + body)
        for answer, _, data in messages(route.recv(RECEIVED)):
            if answer == ERROR:
                _raise(data)


def messages(received: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, flags and data of each message in what was received."""
    at, size = 0, HEADER.size
    while at + size <= len(received):
        length, kind, flags, _, _ = HEADER.unpack_from(received, at)
        yield kind, flags, received[at + size : at + length]
        at += max((length + 3) & ~3, size)


def attributes(data: bytes, at: int = 0) -> dict[int, bytes]:
    """Return the attributes from `at` on by type."""
    values = {}
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        values[kind & ~_NESTED_OR_ORDER] = data[at + _ATTRIBUTE.size : at + size]
        at += max((size + 3) & ~3, _ATTRIBUTE.size)
    return values


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, with what pads it to four bytes."""
    padding = bytes(-len(value) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


def _read(route: socket.socket, found: list[bytes]) -> bool:
    """Read one list into `found`; return whether nothing changed meanwhile."""
    whole = True
    while True:
        for kind, flags, data in messages(route.recv(RECEIVED)):
            whole = whole and not flags & _INTERRUPTED
            if kind == DONE:
                return whole
            if kind == ERROR:
                _raise(data)
            found.append(data)


def _raise(answer: bytes) -> None:
    """Raise OSError if an answer is no acknowledgement."""
    code = -struct.unpack_from("=i", answer)[0]
    if code:
        raise OSError(code, os.strerror(code))
