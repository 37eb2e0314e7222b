"""Reads and writes of statuses; called by the API plug-in and the router plug-in.

A status is no change of configuration, so writing one raises no revision number.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3, port_forwarding


def router_exists(session: Any, router_id: str) -> bool:
    """Tell whether there is such a router."""
    rows = session.execute(sa.select(l3.Router.id).where(l3.Router.id == router_id)).all()
    return len(rows) == 1


def of_ports(session: Any, router_id: str) -> list[tuple[str, str]]:
    """Return (id, status) of the ports of a router."""
    rows = session.execute(
        sa.select(models_v2.Port.id, models_v2.Port.status)
        .join(l3.RouterPort, l3.RouterPort.port_id == models_v2.Port.id)
        .where(l3.RouterPort.router_id == router_id)
    )
    return [(row.id, row.status) for row in rows]


def of_floatingips(session: Any, router_id: str) -> list[tuple[str, str]]:
    """Return (id, status) of the floating IPs that lead through a router to a port, be it by
    port forwardings.
    """
    fip, forwarding = l3.FloatingIP, port_forwarding.PortForwarding
    leads_somewhere = sa.or_(
        fip.fixed_port_id.is_not(None), sa.exists().where(forwarding.floatingip_id == fip.id)
    )
    rows = session.execute(
        sa.select(fip.id, fip.status).where(fip.router_id == router_id, leads_somewhere)
    )
    return [(row.id, row.status) for row in rows]


def forwarded(session: Any, floatingip_id: str) -> bool:
    """Tell whether a floating IP has port forwardings."""
    item = port_forwarding.PortForwarding
    rows = session.execute(sa.select(item.id).where(item.floatingip_id == floatingip_id).limit(1))
    return bool(rows.all())


def set_router(session: Any, router_id: str, status: str) -> None:
    """Write the status of a router."""
    _write(session, l3.Router, [router_id], status)


def set_floatingips(session: Any, floatingip_ids: Collection[str], status: str) -> None:
    """Write the status of floating IPs."""
    if floatingip_ids:
        _write(session, l3.FloatingIP, floatingip_ids, status)


def _write(session: Any, model: Any, ids: Collection[str], status: str) -> None:
    session.execute(
        sa.update(model)
        .where(model.id.in_(ids), model.status != status)
        .values(status=status)
        # Objects of this session must not write an older status back.
        .execution_options(synchronize_session="fetch")
    )
