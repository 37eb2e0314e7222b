"""Let every shard hear what clients send to the appliance alone.

A renewal is addressed to one server (RFC 2131 section 4.3.2), and the kernel would hand it to one
of the sockets of DHCP's port. These rules make it a broadcast on its way in, which all of them
get. Broadcasts and DHCPv6, which is multicast, need no help. It never decides whether there are
shards. Called by `driver`.
"""

import hashlib
from collections.abc import Iterable, Sequence

from ..firewall import nft

_TABLE = "ip astara_dhcp"
# After the firewall's look at sources (raw), before connection tracking.
_PRIORITY = "raw + 10"


def rule(devices: Iterable[str]) -> str:
    """Return the rule for tenants' `devices`; it names itself by a comment."""
    names = ", ".join(f'"{device}"' for device in sorted(devices))
    match = f"iifname {{ {names} }} udp sport 68 udp dport 67 fib daddr type local"
    mark = hashlib.sha256(match.encode()).hexdigest()[:16]
    return f'{match} ip daddr set 255.255.255.255 comment "{mark}"'


class FanOut:
    """The rule in the kernel."""

    def __init__(self) -> None:
        self._nft = nft.connect()

    def marks(self) -> tuple[str, ...]:
        """Return the comments of the rules that are there."""
        listing = nft.list_json(self._nft, f"table {_TABLE}") or {"nftables": ()}
        rules = (item["rule"] for item in listing["nftables"] if "rule" in item)
        return tuple(f'"{found.get("comment", "")}"' for found in rules)

    def load(self, wanted: str) -> None:
        """Have the `wanted` rule alone, or none. Raises nft.Refused."""
        commands = f"add table {_TABLE}\ndelete table {_TABLE}\n"
        if wanted:
            hook = f"type filter hook prerouting priority {_PRIORITY}; policy accept;"
            chain = f"chain fan_out {{\n\t\t{hook}\n\t\t{wanted}\n\t}}"
            commands += f"table {_TABLE} {{\n\t{chain}\n}}\n"
        self._nft.run(commands)


def is_loaded(marks: Sequence[str], wanted: str) -> bool:
    """Tell whether rules with these `marks` are the `wanted` one, or none."""
    return len(marks) == 1 and marks[0] in wanted if wanted else not marks
