"""Ask the kernel which MAC a neighbour has.

Needed to know who speaks from a link-local address that does not tell its MAC (RFC 7217), and
whether an address is used by the machine that it belongs to. It never decides who may do what.
Called by `relay`. rtnetlink(7), linux/neighbour.h.
"""

import socket
import struct

_RTM_NEWNEIGH, _RTM_GETNEIGH = 28, 30
_JUST_ONE = 0x1  # NLM_F_REQUEST
_NDA_DST, _NDA_LLADDR = 1, 2
_HEADER = struct.Struct("=LHHLL")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_ATTRIBUTE = struct.Struct("=HH")
_TIMEOUT_S = 2.0


def mac_of(address: bytes, index: int) -> str | None:
    """Return the MAC of neighbour `address` (packed) on device `index`, None if unknown."""
    family = socket.AF_INET6 if len(address) == 16 else socket.AF_INET
    ask = _NEIGHBOUR.pack(family, index, 0, 0, 0)
    ask += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), _NDA_DST) + address
    head = _HEADER.pack(_HEADER.size + len(ask), _RTM_GETNEIGH, _JUST_ONE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.send(head + ask)
        # One answer: the neighbour, or an error that says that there is none.
        for kind, body in _messages(kernel.recv(65536)):
            if kind == _RTM_NEWNEIGH:
                return _match(body, address, index)
    return None


def _messages(data: bytes) -> "list[tuple[int, bytes]]":
    found = []
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        found.append((kind, data[_HEADER.size : length]))
        data = data[max(_HEADER.size, (length + 3) & ~3) :]
    return found


def _match(body: bytes, address: bytes, index: int) -> str | None:
    if _NEIGHBOUR.unpack_from(body)[1] != index:
        return None
    attributes = {}
    rest = body[_NEIGHBOUR.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        attributes[kind] = rest[_ATTRIBUTE.size : length]
        rest = rest[max(_ATTRIBUTE.size, (length + 3) & ~3) :]
    mac = attributes.get(_NDA_LLADDR, b"")
    if attributes.get(_NDA_DST) != address or len(mac) != 6:
        return None
    return mac.hex(":")
