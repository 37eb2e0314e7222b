"""The rules of labels and helpers: a table of its own, so that `firewall` may stay constant.

A packet counts for as many labels as it fits, so each label is a chain of its own that only
packets of the external networks pass; what its excluded rules name is left out first. They are
few, and no packet is dropped or translated here. The counters are named objects: they outlive a
change of the rules. Helpers are set before addresses are translated, else the kernel could not
adjust what is said about them. Rules are made of parsed networks, vetted devices and numbers only.
Pure; called by `driver` and `counters`.
"""

import hashlib
import ipaddress
import re
from typing import TYPE_CHECKING

from astara_contract.document import MeteringLabel, MeteringRule

from .. import links

if TYPE_CHECKING:
    from astara_contract.document import Document

FAMILY, TABLE = "inet", "astara_services"

HELPER = re.compile(r'\tct helper \S+ {\n\t\ttype "([^"]+)" [^\n]*\n\t}\n')
"""The object of a helper in a table's text, and what the kernel calls it."""

# Where the kernel calls a helper otherwise than Neutron does.
_KERNEL_NAMES = {("h323", "tcp"): "Q.931", ("h323", "udp"): "RAS"}


def labels(document: "Document") -> tuple[MeteringLabel, ...]:
    """Return the labels of the router, and those of the provider, which count all that is sent to
    or comes from their networks.
    """
    provided = (
        MeteringLabel(
            id=name,
            rules=(
                *(MeteringRule(direction="ingress", source=cidr) for cidr in cidrs),
                *(MeteringRule(direction="egress", destination=cidr) for cidr in cidrs),
            ),
        )
        for name, cidrs in sorted(document.labels.items())
    )
    return (*document.metering_labels, *provided)


def counter(label: str, direction: str) -> str:
    """Return the name of a label's counter; what labels are called could be anything."""
    return f"{direction}_{hashlib.sha256(label.encode()).hexdigest()[:20]}"


def text(document: "Document", of: tuple[links.Link, ...]) -> str:
    """Return the table, empty if the document needs none."""
    outside = ", ".join(f'"{link.device}"' for link in of if link.role == "external")
    lines = _counting(labels(document), outside) if outside else []
    lines += _helping(document)
    return f"table {FAMILY} {TABLE} {{\n{''.join(lines)}}}\n" if lines else ""


def _counting(found: tuple[MeteringLabel, ...], outside: str) -> list[str]:
    names = [counter(label.id, way) for label in found for way in ("ingress", "egress")]
    if not names:
        return []
    lines = [f"\tcounter {name} {{\n\t}}\n" for name in names]
    for label in found:
        for way in ("ingress", "egress"):
            rules = [rule for rule in label.rules if rule.direction == way]
            lines.append(_chain(f"of_{counter(label.id, way)}", _rules(rules, label.id, way)))
    for way in ("ingress", "egress"):
        jumps = [f"jump of_{counter(label.id, way)}" for label in found]
        lines.append(_chain(way, jumps))
    hook = "type filter hook forward priority 10; policy accept;"
    jumps = [f"iifname {{ {outside} }} jump ingress", f"oifname {{ {outside} }} jump egress"]
    return [*lines, _chain("count", [hook, *jumps])]


def _rules(rules: list[MeteringRule], label: str, way: str) -> list[str]:
    counted = f"counter name {counter(label, way)} return"
    left_out = [f"{_match(rule)} return" for rule in rules if rule.excluded]
    return left_out + [f"{_match(rule)} {counted}" for rule in rules if not rule.excluded]


def _match(rule: MeteringRule) -> str:
    ends = (("saddr", rule.source), ("daddr", rule.destination))
    words = []
    for end, cidr in ends:
        if cidr is not None:
            network = ipaddress.ip_network(cidr)
            words.append(f"{'ip' if network.version == 4 else 'ip6'} {end} {network}")
    return " ".join(words)


def _helping(document: "Document") -> list[str]:
    if not document.conntrack_helpers:
        return []
    lines, rules = [], ["type filter hook prerouting priority -150; policy accept;"]
    for item in document.conntrack_helpers:
        name = f"{item.helper}_{item.protocol}_{item.port}"
        kind = _KERNEL_NAMES.get((item.helper, item.protocol), item.helper)
        described = f'type "{kind}" protocol {item.protocol};'
        lines.append(f"\tct helper {name} {{\n\t\t{described}\n\t}}\n")
        rules.append(f'ct state new {item.protocol} dport {item.port} ct helper set "{name}"')
    return [*lines, _chain("help", rules)]


def _chain(name: str, rules: list[str]) -> str:
    body = "".join(f"\t\t{rule}\n" for rule in rules)
    return f"\tchain {name} {{\n{body}\t}}\n"
