"""Tell the neighbours which MAC an address has now: gratuitous ARP and unsolicited neighbour
advertisements.

Builds the frames (pure) and sends them, at once and a few times more, because the first
may be lost while a switch port is still being wired. ARP goes out as a *request* for the own
address (RFC 5227 section 3): a gratuitous reply is ignored by a neighbour whose entry is younger
than a second, a request is not. The kernel's arp_notify does not do it on an added address. Called
by the interfaces driver.
"""

import ipaddress
import logging
import socket
import struct
import threading
from collections.abc import Sequence
from typing import NamedTuple

from .. import clock

LOG = logging.getLogger(__name__)

REPEAT_AFTER_S: tuple[float, ...] = (0.2, 1.0, 3.0)
AT_ONCE = 256
"""So many are sent before `announce` returns; thousands would hold a push up."""

PAUSE_S = 0.03
"""After each further so many: neighbours and our own processor have other things to do."""

_ETHERTYPE_ARP = 0x0806
_ETHERTYPE_IPV6 = 0x86DD
_ICMPV6 = 58
_NEIGHBOUR_ADVERTISEMENT = 136
_ROUTER_AND_OVERRIDE = 0xA0000000
_TARGET_LINK_LAYER_ADDRESS = 2
_ALL_NODES = ipaddress.IPv6Address("ff02::1")


class Announcement(NamedTuple):
    """An address that now lives on `device` with `mac`."""

    device: str
    mac: str
    address: str


def frame(announcement: Announcement) -> bytes:
    """Return the Ethernet frame that announces an address."""
    mac = bytes.fromhex(announcement.mac.replace(":", ""))
    if ":" in announcement.address:
        return _neighbour_advertisement(mac, ipaddress.IPv6Address(announcement.address))
    return _arp_request(mac, socket.inet_pton(socket.AF_INET, announcement.address))


class Announcer:
    """Sends announcements; most and the repetitions come from a short-lived thread."""

    def __init__(self, repeat_after_s: Sequence[float] = REPEAT_AFTER_S) -> None:
        self._moments = tuple(repeat_after_s)

    def announce(self, announcements: Sequence[Announcement]) -> None:
        """Send all frames now and again at each of the moments. A device that is gone by then is
        only logged.
        """
        if not announcements:
            return
        # Protocol 0: it receives nothing.
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        _send(raw, announcements[:AT_ONCE])
        threading.Thread(target=self._go_on, args=(raw, announcements), daemon=True).start()

    def _go_on(self, raw: socket.socket, announcements: Sequence[Announcement]) -> None:
        # One socket for all, closed here: the kernel waits for its readers then, some ten
        # milliseconds or more.
        with raw:
            begun = clock.monotonic()
            _send(raw, announcements[AT_ONCE:])
            for moment in self._moments:
                clock.sleep(max(0.0, begun + moment - clock.monotonic()))
                _send(raw, announcements)


def _send(raw: socket.socket, announcements: Sequence[Announcement]) -> None:
    for at, item in enumerate(announcements):
        if at and at % AT_ONCE == 0:
            clock.sleep(PAUSE_S)
        try:
            raw.sendto(frame(item), (item.device, 0))
        except OSError as error:
            LOG.warning(
                "announce.failed device=%s address=%s error=%s",
                item.device,
                item.address,
                error,
            )


def _arp_request(mac: bytes, address: bytes) -> bytes:
    header = b"\xff" * 6 + mac + struct.pack("!H", _ETHERTYPE_ARP)
    request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    return header + request + mac + address + bytes(6) + address


def _neighbour_advertisement(mac: bytes, address: ipaddress.IPv6Address) -> bytes:
    # RFC 4861 section 4.4; all-nodes maps to 33:33:00:00:00:01, hop limit 255 proves that no
    # router forwarded it.
    option = struct.pack("!BB", _TARGET_LINK_LAYER_ADDRESS, 1) + mac
    body = struct.pack("!I", _ROUTER_AND_OVERRIDE) + address.packed + option
    message = struct.pack("!BBH", _NEIGHBOUR_ADVERTISEMENT, 0, 0) + body
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!II", len(message), _ICMPV6)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    ip_header = struct.pack("!IHBB", 0x60000000, len(message), _ICMPV6, 255)
    ethernet = bytes.fromhex("333300000001") + mac + struct.pack("!H", _ETHERTYPE_IPV6)
    return ethernet + ip_header + address.packed + _ALL_NODES.packed + message


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of `data`, whose length is even."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
