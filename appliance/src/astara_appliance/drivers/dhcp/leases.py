"""Leases that contradict the reservations, and how to make dnsmasq let go of them.

dnsmasq keeps a lease to its end, also when its reservation is gone: it would not hand the address
to a new owner, and would still answer for the old owner's name. So such leases are given back in
the client's name (`release_message`), or cut out of the lease file while dnsmasq does not run
(`without`). Pure; called by `driver`.

The file (dnsmasq(8), --dhcp-leasefile) has one lease a line: expiry, MAC (IPv4) or IAID (IPv6),
address, name, client id; a line that starts with "duid" holds the server's own identity.
"""

import dataclasses
import ipaddress
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Mapping

_BOOTP = struct.Struct("!4B4s2H4s4s4s4s16s64s128s")
_DHCP_COOKIE = b"\x63\x82\x53\x63"
_DHCPRELEASE, _RELEASE6 = 7, 8
_CLIENT_ID, _SERVER_ID, _IA_NA, _IA_ADDRESS = 1, 2, 3, 5  # RFC 8415 section 21


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """One lease as dnsmasq remembers it."""

    address: str
    owner: str
    """MAC (IPv4) or IAID (IPv6)."""

    client_id: str
    """Hex octets with colons; empty if the client gave none."""

    server_id: str
    """The server's DUID (IPv6)."""


def parse(lease_file: str) -> list[Lease]:
    """Return the leases in a lease file; lines that are none are left out."""
    found, server_id = [], ""
    for line in lease_file.splitlines():
        words = line.split()
        if words[:1] == ["duid"] and len(words) == 2:
            server_id = words[1]
        elif len(words) >= 5 and _is_address(words[2]):
            client_id = "" if words[4] == "*" else words[4]
            found.append(Lease(words[2], words[1].lower(), client_id, server_id))
    return found


def stale(lease_file: str, before: Mapping[str, str], now: Mapping[str, str]) -> tuple[Lease, ...]:
    """Return the leases of addresses that do not belong (any more) to those who leased them.

    `before` and `now` are reservations, address -> MAC. An IPv6 lease does not tell a MAC: there
    the reservation must have changed hands; without any earlier ones (first configuration after
    boot) the lease gets the benefit of the doubt.
    """
    found = []
    for lease in parse(lease_file):
        owner = now.get(lease.address)
        if ":" not in lease.address:
            keep = owner == lease.owner
        else:
            keep = owner is not None and before.get(lease.address, owner) == owner
            keep = keep and (lease.address in before or not before)
        if not keep:
            found.append(lease)
    return tuple(found)


def without(lease_file: str, gone: Collection[Lease]) -> str:
    """Return the lease file without the leases in `gone`."""
    keys = {(lease.owner, lease.address) for lease in gone}
    lines = lease_file.splitlines(keepends=True)
    return "".join(line for line in lines if _key(line) not in keys)


def held(lease_file: str, of: Iterable[Lease]) -> bool:
    """Tell whether one of these leases is in the lease file."""
    keys = {(lease.owner, lease.address) for lease in of}
    return any(_key(line) in keys for line in lease_file.splitlines())


def shared_out(
    lease_files: Mapping[str, str], into: Collection[str], place: Callable[[str, str], str]
) -> dict[str, str]:
    """Return the texts of the files `into` when every lease of `lease_files` lies where it
    belongs: `place` tells by address and MAC. Of two leases of an address the later one counts.

    The server's identity goes with the leases of IPv6, which name it.
    """
    latest: dict[str, tuple[int, str]] = {}
    identity: dict[str, str] = {}
    for text in lease_files.values():
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["duid"]:
                identity.setdefault(place("::", ""), line)
            elif len(words) >= 5 and _is_address(words[2]) and words[0].isdecimal():
                latest[words[2]] = max(latest.get(words[2], (0, "")), (int(words[0]), line))
    found: dict[str, tuple[list[str], list[str]]] = {name: ([], []) for name in into}
    for address, (_, line) in latest.items():
        name = place(address, line.split()[1].lower())
        if name:
            found[name][":" in address].append(line)
    return {
        name: "".join(f"{line}\n" for line in (*v4, *_some(identity.get(name)), *v6))
        for name, (v4, v6) in found.items()
    }


def _key(line: str) -> tuple[str, str]:
    """Return owner and address of a line, nonsense of another kind of line."""
    words = [*line.split(), "", "", ""]
    return words[1].lower(), words[2]


def _some(line: str | None) -> tuple[str, ...]:
    return (line,) if line else ()


def release_message(lease: Lease, server: str) -> bytes:
    """Return the message by which the holder of `lease` gives it back to the server.

    RFC 2131 section 4.4.6 (`server` is its address, which the message must name), RFC 8415 section
    18.2.7. ValueError if the lease is not of a kind that we can speak for.
    """
    if ":" in lease.address:
        return _release6(lease)
    mac, address = _octets(lease.owner), ipaddress.IPv4Address(lease.address).packed
    zero = bytes(4)
    head = _BOOTP.pack(1, 1, 6, 0, zero, 0, 0, address, zero, zero, zero, mac, b"", b"")
    options = [(53, bytes([_DHCPRELEASE])), (54, ipaddress.IPv4Address(server).packed)]
    if lease.client_id:
        options.append((61, _octets(lease.client_id)))
    body = b"".join(bytes([code, len(value)]) + value for code, value in options)
    return head + _DHCP_COOKIE + body + b"\xff"


def _release6(lease: Lease) -> bytes:
    identity = struct.pack("!III", int(lease.owner.lstrip("t")), 0, 0)
    address = ipaddress.IPv6Address(lease.address).packed + bytes(8)
    association = identity + _option6(_IA_ADDRESS, address)
    return (
        bytes([_RELEASE6, 0, 0, 1])
        + _option6(_CLIENT_ID, _octets(lease.client_id))
        + _option6(_SERVER_ID, _octets(lease.server_id))
        + _option6(_IA_NA, association)
    )


def _option6(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def _octets(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _is_address(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True
