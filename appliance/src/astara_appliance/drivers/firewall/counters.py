"""Read what the firewall has counted: traffic of each floating IP.

It only looks, by a fork of its own: the driver's way to nftables serves one caller at a time.
Called by `stats`.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ...system import process
from . import skeleton

_ELEMENT = re.compile(r"([0-9.]+) counter packets ([0-9]+) bytes ([0-9]+)")


class Count(NamedTuple):
    """What passed in one direction."""

    packets: int
    bytes: int


def counted(name: str) -> Mapping[str, Count]:
    """Return the counts of a set of `skeleton.COUNTED` by address; none if it is not there."""
    try:
        text = process.run(["nft", "list", "set", skeleton.FAMILY, skeleton.TABLE, name]).stdout
    except process.CommandFailed as failed:
        if "No such file or directory" in failed.stderr:
            return {}
        raise
    # As text: thousands of elements as JSON objects would cost the agent its memory.
    return {found[1]: Count(int(found[2]), int(found[3])) for found in _ELEMENT.finditer(text)}
