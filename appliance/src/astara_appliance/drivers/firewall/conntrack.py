"""End connections whose address translation no longer holds.

nftables decides on a connection's first packet only: without this, a removed floating IP would go
on serving the connections it has. Called by `driver` after the new rules are in force.
"""

import dataclasses

from ...system import process

_FEW = 16
_NOTHING_FOUND = frozenset({0, 1})  # conntrack(8) ends with 1 when no entry matched


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """Which connections to end."""

    public: frozenset[str] = frozenset()
    """By public IPv4 address: those that came in to it, and those that left under it."""

    sources: frozenset[str] = frozenset()
    """By the address or network that opened them, as it was before translation."""

    def __bool__(self) -> bool:
        return bool(self.public or self.sources)


def cut(what: Cut) -> None:
    """End the connections in `what`. Raises CommandFailed when conntrack cannot do it."""
    public = what.public if len(what.public) <= _FEW else what.public & _translated()
    for address in sorted(public):
        _delete("--orig-dst", address)
        _delete("--reply-dst", address)
    for source in sorted(what.sources):
        _delete("--orig-src", source)


def _delete(option: str, address: str) -> None:
    done = process.run(["conntrack", "-D", "-f", "ipv4", option, address], accept=_NOTHING_FOUND)
    if done.returncode != 0 and "0 flow entries" not in done.stderr:
        raise process.CommandFailed(["conntrack", "-D", option, address], "failed", done.stderr)


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
