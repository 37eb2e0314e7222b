"""Tell the neighbours at once, without threads: the frames of `announce` by a socket kept open.

Closing a packet socket waits for the kernel some ten milliseconds, which a failover does not have.
Called by `guard`.
"""

import logging
import socket
from collections.abc import Sequence

from ..system import announce
from .settings import Address

LOG = logging.getLogger(__name__)


class Crier:
    """Sends prepared frames."""

    def __init__(self) -> None:
        # Protocol 0: it receives nothing.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._frames: list[tuple[str, bytes]] = []

    def prepare(self, addresses: Sequence[Address]) -> None:
        """Build the frames of all addresses."""
        self._frames = [
            (item.device, announce.frame(_announcement(item)))
            for item in addresses
            if not item.deprecated
        ]

    def cry(self) -> None:
        """Send all frames; a device that is gone is told."""
        failed = {}
        for device, frame in self._frames:
            try:
                self._socket.sendto(frame, (device, 0))
            except OSError as error:
                failed[device] = str(error)
        for device, reason in failed.items():
            LOG.warning("announce.failed device=%s error=%s", device, reason)


def _announcement(item: Address) -> announce.Announcement:
    return announce.Announcement(item.device, item.mac, item.address.partition("/")[0])
