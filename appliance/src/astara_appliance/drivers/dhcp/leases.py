"""Leases that contradict a reservation.

dnsmasq does not hand an address to its new owner while an older lease of it runs, and takes back a
lease only at a restart. So leases of addresses that have changed hands are cut out of the lease
file. Pure; called by `driver`.

The file (dnsmasq(8), --dhcp-leasefile) has one lease a line: expiry, MAC (IPv4) or IAID (IPv6),
address and more; a line that starts with "duid" holds the server's own identity.
"""

from collections.abc import Mapping

_ADDRESS_AT = 2


def stale(lease_file: str, before: Mapping[str, str], now: Mapping[str, str]) -> frozenset[str]:
    """Return the leased addresses that now belong to another MAC than when they were leased.

    `before` and `now` are reservations, address -> MAC.
    """
    found = set()
    for line in lease_file.splitlines():
        words = line.split()
        if len(words) <= _ADDRESS_AT or words[_ADDRESS_AT] not in now:
            continue
        address = words[_ADDRESS_AT]
        if ":" not in address:
            holder = words[1].lower()
        else:
            # An IPv6 lease does not tell a MAC. Without any earlier reservations (first
            # configuration after boot) it gets the benefit of the doubt.
            holder = before.get(address, "") if before else now[address]
        if holder != now[address]:
            found.add(address)
    return frozenset(found)


def without(lease_file: str, addresses: frozenset[str]) -> str:
    """Return the lease file without the leases of `addresses`."""
    return "".join(
        line
        for line in lease_file.splitlines(keepends=True)
        if not (len(line.split()) > _ADDRESS_AT and line.split()[_ADDRESS_AT] in addresses)
    )
