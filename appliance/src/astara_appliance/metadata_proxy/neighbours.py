"""Ask the kernel which MAC a neighbour has.

Needed for clients that speak from a link-local address that does not tell their MAC (RFC 7217).
It never decides who may do what. Called by `relay`. rtnetlink(7), linux/neighbour.h.
"""

import socket
import struct

_RTM_NEWNEIGH, _RTM_GETNEIGH = 28, 30
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_DONE, _ERROR = 3, 2
_NDA_DST, _NDA_LLADDR = 1, 2
_HEADER = struct.Struct("=LHHLL")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_ATTRIBUTE = struct.Struct("=HH")
_TIMEOUT_S = 2.0


def mac_of(address: bytes, index: int) -> str | None:
    """Return the MAC of IPv6 neighbour `address` (packed) on device `index`, None if unknown."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        ask = _NEIGHBOUR.pack(socket.AF_INET6, 0, 0, 0, 0)
        kernel.send(
            _HEADER.pack(_HEADER.size + len(ask), _RTM_GETNEIGH, _REQUEST_DUMP, 1, 0) + ask
        )
        while True:
            for kind, body in _messages(kernel.recv(65536)):
                if kind in (_DONE, _ERROR):
                    return None
                mac = _match(body, address, index) if kind == _RTM_NEWNEIGH else None
                if mac:
                    return mac


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
