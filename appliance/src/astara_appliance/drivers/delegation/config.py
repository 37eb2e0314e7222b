"""Decide what dhcpcd asks for on the external network, and which subnet gets which prefix.

dhcpcd speaks DHCPv6 alone and configures nothing; its script notes what the provider delegated.
Several prefixes come without a word for whom: a subnet keeps the one that it has as long as that
is delegated, and new ones go to those that have none, in the order of their ids. Pure; called by
`driver`.
"""

import ipaddress
import pathlib
import uuid
from collections.abc import Iterable, Mapping

BOUND = frozenset({"BOUND6", "RENEW6", "REBIND6", "REBOOT6", "INFORM6"})
_LENGTH = 64


def identity(router_id: str) -> str:
    """Return who asks (a DUID by UUID, RFC 6355): the router, whatever appliance it has. So a new
    one, or the other half of a pair, is given the prefixes that the router has.
    """
    try:
        number = uuid.UUID(router_id)
    except ValueError:
        number = uuid.uuid5(uuid.NAMESPACE_URL, router_id)
    return (b"\0\4" + number.bytes).hex(":")


def text(device: str, subnets: Iterable[str], script: pathlib.Path, router_id: str) -> str:
    """Return dhcpcd.conf; ids of subnets are not in it, only how many there are."""
    asked = [f"  ia_pd {number}/::/{_LENGTH} -" for number, _ in enumerate(sorted(subnets), 1)]
    head = [
        f"duid {identity(router_id)}",
        "ipv6only",
        "noipv6rs",
        "nogateway",
        "noconfigure",
        "persistent",
        f"script {script}",
    ]
    return "\n".join([*head, f"interface {device}", *asked]) + "\n"


def script(told: pathlib.Path) -> str:
    """Return the script that dhcpcd calls with what it knows in the environment."""
    return f"""\
#!/bin/sh
# Notes what the provider has delegated. Whole or not at all: it is read at any moment.
case "$reason" in
    PREINIT|CARRIER|NOCARRIER|TEST) exit 0 ;;
esac
{{
    echo "reason=$reason"
    env | grep '^new_dhcp6_ia_pd[0-9]*_prefix[0-9]*\\(_length\\)\\?='
}} >{told}.new
mv {told}.new {told}
"""


def delegated(told: str) -> tuple[str, ...]:
    """Return the prefixes in what the script noted, sorted."""
    values = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    if values.get("reason") not in BOUND:
        return ()
    found = set()
    for name, value in values.items():
        length = values.get(f"{name}_length", "")
        if name.startswith("new_dhcp6_ia_pd") and length.isdecimal():
            found.add(_first(value, int(length)))
    return tuple(sorted(item for item in found if item))


def assign(
    subnets: Iterable[str], prefixes: Iterable[str], before: Mapping[str, str]
) -> dict[str, str]:
    """Return who has which prefix."""
    left = list(dict.fromkeys(prefixes))
    kept = {}
    for subnet in sorted(subnets):
        if before.get(subnet) in left:
            kept[subnet] = before[subnet]
            left.remove(before[subnet])
    for subnet in sorted(subnets):
        if subnet not in kept and left:
            kept[subnet] = left.pop(0)
    return dict(sorted(kept.items()))


def _first(address: str, length: int) -> str:
    """Return the first /64 of a delegated prefix; empty for one that is too small or odd."""
    try:
        whole = ipaddress.IPv6Network(f"{address}/{length}", strict=False)
    except ValueError:
        return ""
    if whole.prefixlen > _LENGTH or (not whole.is_global and not whole.is_private):
        return ""
    return str(next(whole.subnets(new_prefix=_LENGTH)))
