"""Say on the notification bus that routers or networks changed, when an object of a service
plug-in did.

The API layer announces those objects too, by names that carry no router, and under the project of
whoever made the request. What is said here is what it says of a router or network that was
updated, so that whoever listens for those finds out at once. A hint, no more: who misses it learns
of the change by the generation.
"""

from collections.abc import Collection
from typing import Any

from neutron_lib import rpc
from neutron_lib.api.definitions import l3
from neutron_lib.plugins import constants, directory


def routers(context: Any, router_ids: Collection[str]) -> None:
    """Announce routers; those that are gone by now are left out."""
    if not router_ids:
        return
    plugin = directory.get_plugin(constants.L3)
    for router in plugin.get_routers(context.elevated(), filters={"id": list(router_ids)}):
        rpc.get_notifier("network").info(context, "router.update.end", {l3.ROUTER: router})


def networks(context: Any, network_ids: Collection[str]) -> None:
    """Announce networks; those that are gone by now are left out."""
    if not network_ids:
        return
    core = directory.get_plugin()
    for network in core.get_networks(context.elevated(), filters={"id": list(network_ids)}):
        rpc.get_notifier("network").info(context, "network.update.end", {"network": network})
