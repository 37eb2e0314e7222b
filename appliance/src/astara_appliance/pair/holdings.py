"""What follows the role: the router's addresses and routes on this appliance.

Takes and drops them, and afterwards holds the kernel against what should be there. One that the
kernel refuses does not keep the others from their place. It never decides which role it is. Called
by `guard`.
"""

import contextlib
import logging
import socket
from collections.abc import Iterator

from ..drivers.interfaces import plan as interfaces_plan
from ..drivers.routes import plan
from ..system import netlink
from .settings import Route, Settings

LOG = logging.getLogger(__name__)


class Holdings:
    """The addresses and routes of one settings file on the devices that exist now."""

    def __init__(self, settings: Settings) -> None:
        self.indexes = {
            name: index for index, name in socket.if_nameindex() if name in settings.carriers
        }
        self._addresses: dict[str, dict[str, bool]] = {name: {} for name in self.indexes}
        for item in settings.addresses:
            if item.device in self.indexes:
                self._addresses[item.device][item.address] = item.deprecated
        self._routes = tuple(_route(route) for route in settings.routes)

    def take(self) -> None:
        """Add all addresses and routes."""
        with netlink.opened() as kernel:
            for link in self._links(kernel):
                with _tolerant():
                    kernel.add_addresses(link, self._addresses[link.device])
            for route in self._routes:
                with _tolerant():
                    kernel.replace_route(route, plan.PROTOCOL, plan.METRIC)

    def trim(self, *, held: bool) -> None:
        """Remove from the carriers what does not belong there: all of it, unless `held`."""
        destinations = {route.destination for route in self._routes if held}
        with netlink.opened() as kernel:
            present = kernel.addresses()
            for link in self._links(kernel):
                wanted = self._addresses[link.device] if held else {}
                surplus = [
                    address
                    for address in present.get(link.index, frozenset())
                    if interfaces_plan.normal(address) not in wanted
                ]
                with _tolerant():
                    kernel.remove_addresses(link, sorted(surplus))
            for route in kernel.routes():
                ours = (route.protocol, route.metric) == (plan.PROTOCOL, plan.METRIC)
                if ours and route.route.destination not in destinations:
                    with _tolerant():
                        kernel.remove_route(route)

    def _links(self, kernel: netlink.Netlink) -> list[netlink.Link]:
        return [link for link in kernel.links() if link.device in self._addresses]


@contextlib.contextmanager
def _tolerant() -> Iterator[None]:
    try:
        yield
    except netlink.NetlinkRefused as refused:
        LOG.error("kernel.refused what=%s code=%d", refused.what, refused.code)


def _route(route: Route) -> netlink.Route:
    hops = [netlink.Nexthop(hop.gateway, hop.device, hop.onlink) for hop in route.hops]
    return netlink.Route(route.destination, tuple(hops), route.source)
