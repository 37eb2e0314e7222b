"""Decide which packets enter the tunnels: rules by source and destination, and a table of ours.

Each pair of a connection's subnets has a rule that leads to the table, and the table leads to the
device; where the device is gone, to nowhere. So what is to be protected is never sent in the
clear, whatever becomes of the daemon. Traffic between networks of this appliance stays out, also
where the other site claims all addresses. `apply` and `observe` use ip(8), all other is pure.
Called by `driver`.
"""

import dataclasses
import ipaddress
import itertools
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...system import process
from .. import links
from . import config

if TYPE_CHECKING:
    from astara_contract.document import Document
    from astara_contract.ipsec import Connection

TABLE = 7350
_MAIN = 254
_ENTER, _STAY_OUT = 7350, 7349
"""Priorities: below charon's and above the main table's."""

_NOWHERE_METRIC = 4278198272
_NO_SUCH_TABLE = 2


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Rule:
    """Packets from `source` to `destination` enter a tunnel, or stay out of any."""

    source: str
    destination: str
    enters: bool

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.source else 4


@dataclasses.dataclass(frozen=True, slots=True)
class Ways:
    """The rules, and the IP versions whose table is whole; as desired or as observed."""

    rules: frozenset[Rule] = frozenset()
    tables: frozenset[int] = frozenset()


NONE = Ways()


def plan(document: "Document", connections: Iterable["Connection"]) -> Ways:
    """Return the ways into the tunnels of `connections`."""
    inside = _inside(document)
    rules: set[Rule] = set()
    for connection in connections:
        pairs = itertools.product(connection.local_subnets, connection.peer_subnets)
        for local, remote in pairs:
            near, far = ipaddress.ip_network(local), ipaddress.ip_network(remote)
            if near.version != far.version:
                continue
            rules.add(Rule(str(near), str(far), enters=True))
            rules.update(
                Rule(str(near), str(network), enters=False)
                for network in inside
                if network.version == far.version and network.overlaps(far)
            )
    return Ways(frozenset(rules), frozenset(rule.version for rule in rules))


def observe() -> Ways:
    """Read our rules and our table from the kernel."""
    found: set[Rule] = set()
    whole: set[int] = set()
    for version in (4, 6):
        for rule in _asked(version, "rule", "show"):
            if rule["priority"] in (_ENTER, _STAY_OUT):
                found.add(_rule(rule, version))
        routes = _asked(version, "route", "show", "table", str(TABLE))
        if {route.get("type", "unicast") for route in routes} == {"unicast", "unreachable"}:
            whole.add(version)
    return Ways(frozenset(found), frozenset(whole))


def lead(present: Ways, wanted: Ways) -> None:
    """Bring `wanted` about; protection comes before what it may take away."""
    for version in sorted(wanted.tables - present.tables):
        # Nowhere first: from then on nothing that is to be protected goes out in the clear.
        nowhere = f"route replace unreachable default table {TABLE} metric {_NOWHERE_METRIC}\n"
        _batch(version, nowhere)
    for version in (4, 6):
        _batch(
            version, "".join(_line("add", r) for r in _of(wanted.rules - present.rules, version))
        )
    for version in sorted(wanted.tables - present.tables):
        _batch(version, f"route replace default dev {config.DEVICE} table {TABLE} metric 100\n")
    for version in (4, 6):
        _batch(
            version, "".join(_line("del", r) for r in _of(present.rules - wanted.rules, version))
        )
    for version in sorted(present.tables - wanted.tables):
        _batch(version, f"route flush table {TABLE}\n")


def explain(present: Ways, wanted: Ways) -> tuple[str, ...]:
    """Name what differs."""
    lacking = (f"{r.source} to {r.destination} is not led" for r in wanted.rules - present.rules)
    surplus = (f"{r.source} to {r.destination} is led" for r in present.rules - wanted.rules)
    tables = (f"the IPv{v} way into the tunnel is gone" for v in wanted.tables - present.tables)
    return (*sorted(lacking), *sorted(surplus), *sorted(tables))


def _inside(document: "Document") -> set[links.AnyNetwork]:
    own = (
        ipaddress.ip_interface(text).network
        for network in document.networks
        if network.network_type in links.TENANT_ROLES
        for text in network.interface.addresses
    )
    return {network for network in own if not network.is_link_local}


def _of(rules: frozenset[Rule], version: int) -> list[Rule]:
    return sorted(rule for rule in rules if rule.version == version)


def _line(verb: str, rule: Rule) -> str:
    table, priority = (TABLE, _ENTER) if rule.enters else (_MAIN, _STAY_OUT)
    where = f"from {rule.source} to {rule.destination}"
    return f"rule {verb} {where} lookup {table} priority {priority}\n"


def _rule(shown: dict[str, Any], version: int) -> Rule:
    return Rule(
        _prefix(shown, "src", version),
        _prefix(shown, "dst", version),
        enters=shown["priority"] == _ENTER,
    )


def _prefix(shown: dict[str, Any], key: str, version: int) -> str:
    address = shown.get(key, "all")
    if address == "all":
        return "0.0.0.0/0" if version == 4 else "::/0"
    whole = 32 if version == 4 else 128
    return str(ipaddress.ip_network((address, shown.get(f"{key}len", whole))))


def _asked(version: int, *words: str) -> list[dict[str, Any]]:
    shown = process.run(
        ["ip", f"-{version}", "-json", *words], accept=frozenset({0, _NO_SUCH_TABLE})
    )
    if shown.returncode == _NO_SUCH_TABLE:
        return []
    found: list[dict[str, Any]] = json.loads(shown.stdout or "[]")
    return found


def _batch(version: int, lines: str) -> None:
    if lines:
        process.run(["ip", f"-{version}", "-batch", "-"], stdin=lines)
