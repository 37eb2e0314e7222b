"""Which drivers an appliance has, in the order in which they are applied.

The firewall comes first: nothing that a later driver opens may be reachable before its rules are
there, and what a document takes away is closed before its addresses go. Daemons come after the
addresses that they bind; the functions of other packages come last. Called by the agent.
"""

import functools
from typing import Any, TypeAlias

from ..system.paths import Paths
from . import base, functions, hangs
from .bgp import BgpDriver
from .conntrack import ConntrackDriver
from .dhcp import DhcpDriver
from .firewall import FirewallDriver
from .hostname import HostnameDriver
from .interfaces import InterfacesDriver
from .metadata import MetadataDriver
from .neighbours import NeighboursDriver
from .qos import QosDriver
from .routes import RoutesDriver
from .services import ServicesDriver
from .vrrp import VrrpDriver

AnyDriver: TypeAlias = base.Driver[Any, Any, Any]

_AFTER_THE_FIREWALL = (
    InterfacesDriver,
    RoutesDriver,
    NeighboursDriver,
    QosDriver,
    ServicesDriver,
    ConntrackDriver,
    VrrpDriver,
    BgpDriver,
    DhcpDriver,
    MetadataDriver,
    HostnameDriver,
)


def build_drivers(paths: Paths, watch: hangs.Hangs) -> tuple[AnyDriver, ...]:
    """Return the drivers in apply order; `watch` bounds what others' take."""
    own: tuple[AnyDriver, ...] = tuple(kind(paths) for kind in _AFTER_THE_FIREWALL)
    found = functions.discover(
        paths, {FirewallDriver.name, *(driver.name for driver in own)}, watch
    )
    firewall = FirewallDriver(paths, needs=functools.partial(functions.openings, found, watch))
    return (firewall, *own, *found)
