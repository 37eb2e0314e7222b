"""Read what labels have counted.

It only looks, by a fork of its own, as `firewall.counters` does. Called by `stats`.
"""

import re
from collections.abc import Mapping

from ...system import process
from ..firewall.counters import Count
from . import table

_COUNTER = re.compile(r"counter (\S+) {\s*packets ([0-9]+) bytes ([0-9]+)\s*}")


def counted() -> Mapping[str, Count]:
    """Return the counts by the counters' names; none if there are no labels."""
    try:
        argv = ["nft", "list", "counters", "table", table.FAMILY, table.TABLE]
        text = process.run(argv).stdout
    except process.CommandFailed as failed:
        if "No such file or directory" in failed.stderr:
            return {}
        raise
    return {found[1]: Count(int(found[2]), int(found[3])) for found in _COUNTER.finditer(text)}
