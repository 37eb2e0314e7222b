"""Which traffic class a public address with a rate limit has.

The firewall puts packets into classes, the driver `qos` makes the classes: here they agree on the
numbers. Pure.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from astara_contract.document import Document, RateLimit

CLASSES = "a57"
"""The handle of the queueing discipline, the first part of each class, in hex."""

MOST = 0xFFFF

Direction = Literal["ingress", "egress"]
DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")


def numbers(document: "Document", direction: Direction) -> Mapping[str, int]:
    """Return the number of the class of each address that is limited in this direction.

    A number is the host part of the address as a rule, so that it does not depend on the others;
    what would collide takes the next free one.
    """
    found: dict[str, int] = {}
    taken: set[int] = set()
    for limit in sorted(limited(document, direction), key=lambda item: item.address):
        high, low = (int(octet) for octet in limit.address.split(".")[2:])
        number = (high * 256 + low) % MOST or 1
        while number in taken:
            number = number % (MOST - 1) + 1
        taken.add(number)
        found[limit.address] = number
    return found


def limited(document: "Document", direction: Direction) -> "tuple[RateLimit, ...]":
    """Return the limits that hold in this direction."""
    return tuple(item for item in document.rate_limits if getattr(item, direction) is not None)
