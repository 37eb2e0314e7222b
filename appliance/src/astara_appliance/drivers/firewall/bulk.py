"""Change thousands of elements of plain IPv4 sets and maps, straight to the kernel.

libnftables reads and evaluates text, 4 us for each element, of which a floating IP has five; here
an element is a few bytes behind a constant prefix. Knows no other types than addresses and maps
from address to address. All steps are one transaction, as with nft. It never decides elements.
Called by `driver` when there are many. Messages are those of linux/netfilter/nf_tables.h.
"""

import itertools
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ...system import rtnetlink
from . import nft, skeleton

_ADDRESSES, _PAIRS = ("ipv4_addr", False), "ipv4_addr : ipv4_addr"
NAMES = (
    *(name for name, shape in skeleton.SETS.items() if shape == _ADDRESSES),
    *(name for name, kind in skeleton.MAPS.items() if kind == _PAIRS),
)
"""The sets and maps that this module can change."""

_NETLINK_NETFILTER, _NFTABLES, _INET = 12, 10, 1
_BEGIN, _END = 0x10, 0x11
_NEW, _DELETE = (_NFTABLES << 8 | kind for kind in (12, 14))
_CREATE, _NESTED = 0x400, 0x8000
_SO_SNDBUFFORCE = 32
_ANSWER_TIMEOUT_S = 15.0
_GENERIC = struct.Struct("!BBH")  # nfgenmsg: family, version, resource
_ACKNOWLEDGED = struct.Struct("=iIHHII")
_TOGETHER = 2000  # elements of a message: the length of an attribute has 16 bits

# What comes before the address in an element: a list entry, its key or its data, the value.
_VALUE = struct.Struct("=HHHH").pack
_KEY, _DATA = _VALUE(12, _NESTED | 1, 8, 1), _VALUE(12, _NESTED | 2, 8, 1)
_OF_SET, _OF_MAP = (struct.pack("=HH", size, _NESTED | 1) + _KEY for size in (16, 28))


class Step(NamedTuple):
    """Elements, spelled as in `elements`, that go from a set or map, then those that come."""

    name: str
    gone: frozenset[str]
    new: frozenset[str]


def run(steps: Sequence[Step]) -> None:
    """Make the changes as one transaction. Raises nft.Refused; nothing took effect then."""
    table = _name(skeleton.TABLE)
    messages = list(_removals(table, steps))
    for step in steps:
        messages += _elements(_NEW, table, step.name, step.new)
    _transact(messages)


def _removals(table: bytes, steps: Iterable[Step]) -> Iterator[tuple[int, bytes]]:
    for step in steps:
        keys = [element.partition(" : ")[0] for element in step.gone]
        yield from _elements(_DELETE, table, step.name, keys)


def _elements(
    kind: int, table: bytes, name: str, items: Iterable[str]
) -> Iterator[tuple[int, bytes]]:
    pairs = name in skeleton.MAPS and kind == _NEW
    head = rtnetlink.attribute(1, table) + rtnetlink.attribute(2, _name(name))
    packed = _packed_pairs(items) if pairs else _packed(items)
    while part := b"".join(itertools.islice(packed, _TOGETHER)):
        yield kind, head + rtnetlink.attribute(_NESTED | 3, part)


def _packed(items: Iterable[str]) -> Iterator[bytes]:
    return (_OF_SET + socket.inet_pton(socket.AF_INET, item) for item in items)


def _packed_pairs(items: Iterable[str]) -> Iterator[bytes]:
    pack, family = socket.inet_pton, socket.AF_INET
    for item in items:
        key, _, value = item.partition(" : ")
        yield _OF_MAP + pack(family, key) + _DATA + pack(family, value)


def _name(text: str) -> bytes:
    return text.encode() + b"\0"


def _transact(messages: Sequence[tuple[int, bytes]]) -> None:
    last = len(messages)
    parts = [_message(_BEGIN, 0, 0, _GENERIC.pack(0, 0, _NFTABLES))]
    for at, (kind, body) in enumerate(messages, 1):
        flags = _CREATE if kind != _DELETE else 0
        if at == last:
            flags |= rtnetlink.ACK
        parts.append(_message(kind, flags, at, _GENERIC.pack(_INET, 0, 0) + body))
    parts.append(_message(_END, 0, last + 1, _GENERIC.pack(0, 0, _NFTABLES)))
    batch = b"".join(parts)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
        kernel.settimeout(_ANSWER_TIMEOUT_S)
        kernel.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * len(batch))
        kernel.send(batch)
        _await(kernel, last)


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    size = rtnetlink.HEADER.size + len(body)
    return rtnetlink.HEADER.pack(size, kind, rtnetlink.REQUEST | flags, sequence, 0) + body


def _await(kernel: socket.socket, last: int) -> None:
    """Read up to the answer to the last message, or to a refusal of the whole batch."""
    refused, sequence = 0, -1
    while sequence not in (0, last):
        for kind, _, data in rtnetlink.messages(kernel.recv(rtnetlink.RECEIVED)):
            if kind == rtnetlink.ERROR:
                code, _, _, _, sequence, _ = _ACKNOWLEDGED.unpack_from(data)
                refused = refused or -code
    if refused:
        raise nft.Refused(f"elements: {os.strerror(refused)}")
