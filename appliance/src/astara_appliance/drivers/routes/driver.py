"""Own the routes that carry our protocol number, and no others, by netlink.

Routes of other protocols (connected, a routing daemon's, an operator's by hand) are never touched.
Called by the pipeline.
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

PROTOCOL = 172
"""Marks a route as ours in the kernel (0xAC; rtnetlink(7): above RTPROT_STATIC is free for
daemons).
"""

METRIC = 10
"""Better than what a base image may have set up on management, worse than connected routes."""


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
                LOG.warning("route-skipped route=%s reason=next-hop-not-connected", route)
            self._told = desired.skipped

    def observe(self) -> tuple[netlink.Route, ...]:
        """Read our routes."""
        with netlink.opened() as kernel:
            return kernel.routes(PROTOCOL)

    def diff(self, observed: tuple[netlink.Route, ...], desired: plan.Desired) -> plan.Change:
        """Compute what has to change."""
        return plan.change_routes(observed, desired)

    def apply(self, change: plan.Change) -> None:
        """Install first, then remove, so that a replaced way has no gap."""
        with netlink.opened() as kernel:
            for route in change.replace:
                kernel.replace_route(route, PROTOCOL, METRIC)
            for route in change.remove:
                kernel.remove_route(route, PROTOCOL, METRIC)

    def verify(self, desired: plan.Desired) -> None:
        """Raise VerifyFailed when a route differs."""
        left = self.diff(self.observe(), desired)
        if left:
            raise base.VerifyFailed(self.name, f"not in effect: {left}")
