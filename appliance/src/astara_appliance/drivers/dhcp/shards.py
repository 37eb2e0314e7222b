"""How many dnsmasq share the hosts of an appliance, and which of them has a host.

What dnsmasq does at SIGHUP grows with leases times reservations: 10,000 of both block it for
seconds, 1,000 for a twentieth of one. So beyond a limit the hosts are shared out by their MAC,
about that many to each at most. Pure; called by `parts` and `driver`.
"""

import zlib


def count(hosts: int, now: int, limit: int) -> int:
    """Return how many shards `hosts` reservations need: 0 if one dnsmasq does everything, else a
    power of two.

    With less than three quarters of what fewer than `now` hold there are fewer again.
    """
    return max(_needed(hosts, limit), min(now, _needed(hosts * 4 // 3, limit)))


def shard_of(mac: str, shards: int) -> int:
    """Return which of `shards` has the host: the same one, whoever comes and goes beside it."""
    return zlib.crc32(mac.lower().encode()) % shards


def _needed(hosts: int, limit: int) -> int:
    if hosts <= limit:
        return 0
    shards = 1
    while hosts > shards * limit:
        shards *= 2
    return shards
