"""The status that Neutron shows the tenant: what is wanted (pure), and sending the difference.

Decides the word for the router and which of its ports and floating IPs are served. Must never
fail a walk: what could not be sent differs from Neutron's view again next time. Called by the
instance after each verb.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..clients import topology
from ..drivers.router import delegation, ipsec, needs
from ..machine.vocabulary import InstanceState

_STATUS = {
    InstanceState.DOWN: "DOWN",
    InstanceState.BOOTING: "BUILD",
    InstanceState.UP: "BUILD",
    InstanceState.CONFIGURED: "ACTIVE",
    InstanceState.RESTART_NEEDED: "BUILD",
    InstanceState.HOTPLUG_NEEDED: "BUILD",
    InstanceState.DEGRADED: "BUILD",
    InstanceState.ERROR: "ERROR",
}
# In these states nothing runs that could serve. In the others what was served before still is:
# an appliance that waits for a NIC or a push, or that an error left alone, keeps routing.
_NOTHING_RUNS = frozenset(
    {InstanceState.DOWN, InstanceState.BOOTING, InstanceState.RESTART_NEEDED}
)


@dataclass(frozen=True, slots=True)
class Report:
    """A router's status and what is served; None leaves ports and floating IPs as they are."""

    status: str
    ports: frozenset[str] | None
    floatingips: frozenset[str] | None
    connections: Mapping[str, str] | None = None
    """Status of IPsec connections by id; None where there are none."""

    prefixes: Mapping[str, str] | None = None
    """What the provider has delegated, by subnet; None where no subnet asks for it."""


def wanted(
    state: InstanceState,
    router: topology.RouterDetail,
    *,
    serving: bool,
    functions: Mapping[str, Any] | None = None,
) -> Report | None:
    """Return what Neutron should show for a router in this state; None: nothing to say.

    `functions` is what the appliance's network functions tell of themselves, None if it is silent.

    An appliance that serves its last document and is about to get a newer one is no news: the
    tenant would see each of its changes as an outage.
    """
    status = _STATUS.get(state)
    if status is None or (state is InstanceState.UP and serving):
        return None
    if state in _NOTHING_RUNS or not router.admin_state_up:
        shown = "DOWN" if not router.admin_state_up and status == "ACTIVE" else status
        return Report(shown, frozenset(), frozenset(), _connections(router, {}))
    if state is not InstanceState.CONFIGURED:
        return Report(status, None, None)
    return Report(
        status,
        frozenset(port.id for port in needs.logical_ports(router)),
        frozenset(fip.id for fip in needs.associated_floatingips(router)),
        None if functions is None else _connections(router, functions),
        None if functions is None else delegation.prefixes(router, functions) or None,
    )


def _connections(
    router: topology.RouterDetail, functions: Mapping[str, Any]
) -> Mapping[str, str] | None:
    return ipsec.statuses(router, functions) if router.ipsec_site_connections else None


def shown(router: topology.RouterDetail) -> Report:
    """Return what Neutron shows now."""
    return Report(
        router.status,
        frozenset(port.id for port in needs.logical_ports(router) if port.status == "ACTIVE"),
        frozenset(
            fip.id for fip in needs.associated_floatingips(router) if fip.status == "ACTIVE"
        ),
        {item.id: item.status for item in router.ipsec_site_connections},
        delegation.prefixes(router, {}),
    )


def differs(want: Report, seen: Report) -> bool:
    """Say whether there is anything to send."""
    return (
        want.status != seen.status
        or (want.ports is not None and want.ports != seen.ports)
        or (want.floatingips is not None and want.floatingips != seen.floatingips)
        or (want.connections is not None and want.connections != seen.connections)
        or (want.prefixes is not None and want.prefixes != seen.prefixes)
    )


def after(want: Report, seen: Report) -> Report:
    """Return what Neutron shows once ``want`` was sent."""
    return Report(
        want.status,
        seen.ports if want.ports is None else want.ports,
        seen.floatingips if want.floatingips is None else want.floatingips,
        seen.connections if want.connections is None else want.connections,
        seen.prefixes if want.prefixes is None else want.prefixes,
    )
