"""End connections whose address translation no longer holds.

nftables decides on a connection's first packet only: without this, a removed floating IP would go
on serving the connections it has. Called by `driver` after the new rules are in force.
"""

import dataclasses
import re

from ...system import process

_FEW = 16
_DPORT = re.compile(r"^.*? dport=([0-9]+) ", re.MULTILINE)
_NOTHING_FOUND = frozenset({0, 1})  # conntrack(8) ends with 1 when no entry matched


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """Which connections to end."""

    public: frozenset[str] = frozenset()
    """By public IPv4 address: those that came in to it, and those that left under it."""

    sources: frozenset[str] = frozenset()
    """By the address or network that opened them, as it was before translation."""

    forwarded: frozenset[str] = frozenset()
    """By ports of a public address: `203.0.113.7 . tcp . 80`, the last may be a range."""

    def __bool__(self) -> bool:
        return bool(self.public or self.sources or self.forwarded)


def cut(what: Cut) -> None:
    """End the connections in `what`. Raises CommandFailed when conntrack cannot do it."""
    public = what.public if len(what.public) <= _FEW else what.public & _translated()
    for address in sorted(public):
        _delete("--orig-dst", address)
        _delete("--reply-dst", address)
    for source in sorted(what.sources):
        _delete("--orig-src", source)
    _cut_ports(what.forwarded)


def _cut_ports(forwarded: frozenset[str]) -> None:
    """End the connections to ports; the table is read once for each address and protocol."""
    wanted: dict[tuple[str, str], list[range]] = {}
    for key in forwarded:
        address, protocol, ports = key.split(" . ")
        first, _, last = ports.partition("-")
        span = range(int(first), int(last or first) + 1)
        wanted.setdefault((address, protocol), []).append(span)
    for (address, protocol), spans in sorted(wanted.items()):
        for port in sorted(_ports_in_use(address, protocol)):
            if any(port in span for span in spans):
                _delete("-p", protocol, "--orig-dst", address, "--orig-port-dst", str(port))


def _ports_in_use(address: str, protocol: str) -> frozenset[int]:
    options = ["-f", "ipv4", "-p", protocol, "--orig-dst", address]
    listed = process.run(["conntrack", "-L", *options], accept=_NOTHING_FOUND)
    # The first dport of a line is that of the packet that opened the connection.
    return frozenset(int(found[1]) for found in _DPORT.finditer(listed.stdout))


def _delete(*options: str) -> None:
    done = process.run(["conntrack", "-D", "-f", "ipv4", *options], accept=_NOTHING_FOUND)
    if done.returncode != 0 and "0 flow entries" not in done.stderr:
        raise process.CommandFailed(["conntrack", "-D", *options], "failed", done.stderr)


def _translated() -> frozenset[str]:
    """Return all addresses that a tracked connection was translated at: one look at the table
    instead of two forks for each of many addresses.
    """
    found = set()
    for kind in ("--dst-nat", "--src-nat"):
        listed = process.run(["conntrack", "-L", "-f", "ipv4", kind], accept=_NOTHING_FOUND)
        for word in listed.stdout.split():
            name, _, address = word.partition("=")
            if name == "dst":
                found.add(address)
    return frozenset(found)
