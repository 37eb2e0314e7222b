"""The Nova server group that keeps the two members of a pair apart.

Decides nothing but which group is a router's: the one of its name in the service project. Called
by ``boot`` and ``stop``.
"""

import logging

from . import names
from .tools import Tools

LOG = logging.getLogger(__name__)

NO_GROUP = "none"


def group(tools: Tools, router_id: str) -> str | None:
    """Return the group of a pair, made if need be; None where pairs have none.

    A group that an earlier try left is found by its name; of several the first by id counts for
    everybody.
    """
    policy = tools.settings.pair_affinity
    if policy == NO_GROUP:
        return None
    name = names.group(router_id)
    found = tools.nova.group_ids(name)
    if found:
        return found[0]
    LOG.info("group.make router=%s policy=%s", router_id, policy)
    return tools.nova.create_group(name, policy)


def forget(tools: Tools, router_id: str) -> None:
    """Delete the group of what is a pair no longer; its members are gone."""
    for group_id in tools.nova.group_ids(names.group(router_id)):
        tools.nova.delete_group(group_id)
