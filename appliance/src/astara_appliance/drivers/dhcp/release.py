"""Give leases back to dnsmasq in their holders' names.

Sends from this host to the dnsmasq on this host, on the device that the lease is of (dnsmasq goes
by the device). It never decides which leases (`leases`). Called by `driver`.
"""

import ipaddress
import socket
from collections.abc import Iterable, Sequence

from . import leases
from .config import Place

_BROADCAST = "255.255.255.255"
_SERVERS_AND_RELAYS = "ff02::1:2"  # RFC 8415 section 7.1


def release(given_back: Iterable[leases.Lease], places: Sequence[Place], *, to_all: bool) -> None:
    """Send a release for each lease that is of one of `places`; for IPv4 to the one dnsmasq there,
    or `to_all`, of which those that do not know the lease keep silent.
    """
    for lease in given_back:
        place = _place(lease, places)
        if place is not None:
            _send(lease, place, to_all)


def _place(lease: leases.Lease, places: Sequence[Place]) -> Place | None:
    address = ipaddress.ip_address(lease.address)
    return next((place for place in places if address in place.cidr), None)


def _send(lease: leases.Lease, place: Place, to_all: bool) -> None:
    try:
        message = leases.release_message(lease, place.server)
    except ValueError:
        return  # not an Ethernet client, or a file we do not understand: `driver` will notice
    is_v6 = ":" in lease.address
    family = socket.AF_INET6 if is_v6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        device = place.device.encode() + b"\0"
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        if is_v6:
            index = socket.if_nametoindex(place.device)
            sender.sendto(message, (_SERVERS_AND_RELAYS, 547, 0, index))
        else:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.sendto(message, (_BROADCAST if to_all else place.server, 67))
