"""Own the routes that carry our protocol number, by netlink.

Routes that somebody added by hand on the NICs of a document's networks are removed: they would
lead traffic elsewhere than the document says. Those of management and those that other protocols
look after (connected ones, a routing daemon's) are never touched. Called by the pipeline.
"""

import logging
from typing import TYPE_CHECKING

from ...system import netlink
from .. import base
from . import plan

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

LOG = logging.getLogger(__name__)


class RoutesDriver:
    """Default gateways, the router's extra routes, host routes of subnets."""

    name = "routes"

    def __init__(self, paths: "Paths") -> None:
        del paths  # the kernel holds all our state
        self._told: tuple[str, ...] = ()

    def render(self, document: "Document", facts: base.Facts) -> plan.Desired:
        """Compute our routes."""
        return plan.plan_routes(document, facts)

    def check(self, desired: plan.Desired) -> None:
        """Accept; tell once which routes cannot be."""
        if desired.skipped != self._told:
            for route in desired.skipped:
                LOG.warning("route.skipped route=%s reason=next-hop-not-connected", route)
            self._told = desired.skipped

    def observe(self) -> tuple[netlink.InstalledRoute, ...]:
        """Read the main table."""
        with netlink.opened() as kernel:
            return kernel.routes()

    def diff(
        self, observed: tuple[netlink.InstalledRoute, ...], desired: plan.Desired
    ) -> plan.Change:
        """Compute what has to change."""
        return plan.change_routes(observed, desired)

    def apply(self, change: plan.Change) -> None:
        """Install first, then remove, so that a replaced way has no gap."""
        with netlink.opened() as kernel:
            for route in change.replace:
                kernel.replace_route(route, plan.PROTOCOL, plan.METRIC)
            for installed in change.remove:
                kernel.remove_route(installed)

    def explain(self, change: plan.Change) -> tuple[str, ...]:
        """Name the routes."""
        lacking = [f"no route {_spelled(route)}" for route in change.replace]
        wanted = {route.destination for route in change.replace}
        surplus = [
            f"foreign route {_spelled(item.route)}"
            for item in change.remove
            if item.protocol != plan.PROTOCOL or item.route.destination not in wanted
        ]
        return (*lacking, *surplus)

    def verify(self, desired: plan.Desired) -> None:
        """Raise VerifyFailed when a route differs."""
        left = self.diff(self.observe(), desired)
        if left:
            raise base.VerifyFailed(self.name, f"not in effect: {left}")


def _spelled(route: netlink.Route) -> str:
    hops = [f"via {hop.gateway or 'nobody'} dev {hop.device or 'none'}" for hop in route.nexthops]
    return " ".join((route.destination, *hops))
