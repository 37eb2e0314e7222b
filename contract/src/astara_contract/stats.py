"""What an appliance has counted: traffic of its networks, of floating IPs and of labels.

Answer of ``GET /v1/system/stats``. Counters only grow; one that is lower than before began anew,
as did one whose `since` is another, or that of the whole. Decoding ignores unknown keys, as with
`status`.
"""

from typing import Literal

import msgspec

CounterKind = Literal["interface", "floating-ip", "label"]


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic of one thing, seen from the appliance's place.

    `name` is the network's id, the floating IP's address or the label's id; `scope` the network's
    type, else empty. What an interface receives is in. To a floating IP, and what enters the
    router from outside under a label, is in as well.
    """

    kind: CounterKind
    name: str
    scope: str = ""
    in_bytes: int = 0
    in_packets: int = 0
    out_bytes: int = 0
    out_packets: int = 0
    since: str = ""
    """When it could have begun, where that is not the beginning of all: the firewall's counters
    begin anew whenever it is loaded.
    """


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """All counters at one moment. Times are ISO 8601 in UTC."""

    since: str
    """When the oldest of these counters could have begun: the appliance's boot."""

    at: str
    counters: tuple[Counter, ...] = ()
