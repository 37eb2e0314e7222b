"""Which networks must not be routed to each other, or need no translation: address scopes.

Neutron's rule: within a scope no address is used twice, so its networks may be routed; between
scopes nothing is, but what a floating IP leads to, and IPv4 that leaves under an external address.
No scope is a scope like any other, except that what it has in common with an external network is
no reason not to translate. Pure; called by `elements` and `driver`.
"""

from collections.abc import Iterator, Mapping

from .. import links

_SETS = ("apart4", "apart6", "same_scope")


def elements(of: tuple[links.Link, ...], *, snat: bool) -> dict[str, set[str]]:
    """Return the pairs of devices in the sets of this module."""
    found: dict[str, set[str]] = {name: set() for name in _SETS}
    for one, other in _pairs(of):
        pair = f'"{one.device}" . "{other.device}"'
        crosses = "external" in (one.role, other.role)
        scope, its = one.network.address_scope4, other.network.address_scope4
        if scope != its and not (crosses and snat):
            found["apart4"].add(pair)
        elif crosses and scope == its != "":
            found["same_scope"].add(pair)
        if one.network.address_scope6 != other.network.address_scope6:
            found["apart6"].add(pair)
    return found


def differ(before: Mapping[str, frozenset[str]], after: Mapping[str, frozenset[str]]) -> bool:
    """Tell whether the scopes of networks that were there before have changed."""
    known = before.get("internal_if", frozenset()) | before.get("external_if", frozenset())
    changed = (before.get(name, frozenset()) ^ after[name] for name in _SETS)
    return any(known.issuperset(pair.split(" . ")) for pairs in changed for pair in pairs)


def _pairs(of: tuple[links.Link, ...]) -> Iterator[tuple[links.Link, links.Link]]:
    routed = [link for link in of if link.role in ("internal", "external")]
    for one in routed:
        for other in routed:
            both_outside = one.role == other.role == "external"
            if one.device != other.device and not both_outside:
                yield one, other
