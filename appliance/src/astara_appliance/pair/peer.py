"""Hear whether the other one sends adverts, which only a master does.

Used while mastership is handed over, when keepalived does not run here. RFC 9568 section 5.1.
Called by `guard`.
"""

import ipaddress
import socket

_VRRP = 112


class PeerEar:
    """A raw socket; it hears from now on."""

    def __init__(self, peer: str) -> None:
        self._peer = ipaddress.ip_address(peer)
        family = socket.AF_INET if self._peer.version == 4 else socket.AF_INET6
        self._socket = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _VRRP)

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def heard(self) -> bool:
        """Tell whether an advert of a master has come since the last call."""
        found = False
        while True:
            try:
                packet, address = self._socket.recvfrom(256)
            except BlockingIOError:
                return found
            # Over IPv4 the header comes along (raw(7)); a priority of 0 is a farewell.
            header = (packet[0] & 0x0F) * 4 if self._peer.version == 4 else 0
            body = packet[header:]
            source = ipaddress.ip_address(address[0].partition("%")[0])
            found = found or (source == self._peer and len(body) >= 8 and body[2] > 0)

    def close(self) -> None:
        """Stop hearing."""
        self._socket.close()
