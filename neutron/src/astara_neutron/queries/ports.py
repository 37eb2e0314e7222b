"""Ports: those of routers row by row, the many others of a network as one tally.

Called by `views` and `allocations`.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3
from neutron.db.models import tag as tag_models
from neutron_lib import constants
from neutron_lib.api.definitions import ip_allocation
from neutron_lib.db import standard_attr

from .. import facts
from . import grouping

#: Description or tag of the address-less ports by which appliances reach a network. Neutron gives
#: them automatic addresses on SLAAC subnets all the same; nobody ever configures those.
CARRIER_MARK = "astara:router:"

#: Ports that carry a router's own addresses; nobody leases those by DHCP.
_ROUTER_OWNERS = (*constants.ROUTER_INTERFACE_OWNERS, constants.DEVICE_OWNER_ROUTER_GW)

#: Ports that Neutron deletes with their network by itself.
_DELETED_WITH_NETWORK = (
    constants.DEVICE_OWNER_DHCP,
    constants.DEVICE_OWNER_DISTRIBUTED,
    constants.DEVICE_OWNER_AGENT_GW,
)


def is_gateway(port: facts.PortFacts) -> bool:
    """Tell the gateway port of a router from its interfaces."""
    return bool(port.device_owner == constants.DEVICE_OWNER_ROUTER_GW)


def of_routers(session: Any, router_ids: Collection[str]) -> list[facts.PortFacts]:
    """Return gateway and interface ports of routers."""
    return _router_ports(session, l3.RouterPort.router_id.in_(router_ids))


def of_other_routers(
    session: Any, network_ids: Collection[str], router_ids: Collection[str]
) -> list[facts.PortFacts]:
    """Return the ports by which routers other than these are attached to the networks."""
    return _router_ports(
        session,
        sa.and_(
            models_v2.Port.network_id.in_(network_ids),
            l3.RouterPort.router_id.not_in(router_ids),
        ),
    )


def routers_with_gateway_on(session: Any, subnet_id: str) -> list[str]:
    """Return the routers whose gateway port has an address on this subnet."""
    port, address, owner = models_v2.Port, models_v2.IPAllocation, l3.RouterPort
    rows = session.execute(
        sa.select(owner.router_id)
        .join(port, port.id == owner.port_id)
        .join(address, address.port_id == port.id)
        .where(
            address.subnet_id == subnet_id,
            port.device_owner == constants.DEVICE_OWNER_ROUTER_GW,
        )
        .order_by(owner.router_id)
    )
    return [row.router_id for row in rows]


def tallies(session: Any, network_ids: Collection[str]) -> dict[str, facts.PortTally]:
    """Return what stands for a network's other ports in a generation; none without such ports."""
    port, attributes = models_v2.Port, standard_attr.StandardAttribute
    rows = session.execute(
        sa.select(
            port.network_id,
            sa.func.count().label("ports"),
            sa.func.sum(attributes.revision_number).label("revisions"),
            sa.func.sum(attributes.id).label("ids"),
            sa.func.max(attributes.id).label("newest_id"),
        )
        .join(attributes, attributes.id == port.standard_attr_id)
        .where(port.network_id.in_(network_ids), port.device_owner.not_in(_ROUTER_OWNERS))
        .where(allocated())
        .group_by(port.network_id)
    )
    return {
        row.network_id: facts.PortTally(
            # Sums are Decimal in MariaDB and int elsewhere.
            ports=int(row.ports),
            revisions=int(row.revisions),
            ids=int(row.ids),
            newest_id=int(row.newest_id),
        )
        for row in rows
    }


def carriers_alone(session: Any, network_id: str) -> dict[str, str]:
    """Return (id, project) of the carriers on a network; none if any other port uses it."""
    port, attributes = models_v2.Port, standard_attr.StandardAttribute
    users = sa.and_(port.network_id == network_id, port.device_owner.not_in(_DELETED_WITH_NETWORK))
    carriers = session.execute(
        sa.select(port.id, port.project_id)
        .join(attributes, attributes.id == port.standard_attr_id)
        # A management port has the same mark, but addresses of its own.
        .where(users, marked(), port.ip_allocation == ip_allocation.IP_ALLOCATION_NONE)
    ).all()
    if not carriers:
        return {}
    count = session.execute(sa.select(sa.func.count()).select_from(port).where(users)).scalar_one()
    return {row.id: row.project_id for row in carriers} if count == len(carriers) else {}


def fixed_ips(session: Any, condition: Any) -> dict[str, tuple[facts.FixedIp, ...]]:
    """Return the addresses of the ports that `condition` on the allocations selects."""
    address = models_v2.IPAllocation
    rows = session.execute(
        sa.select(address.port_id, address.ip_address, address.subnet_id)
        .where(condition)
        .order_by(address.ip_address, address.subnet_id)
    )
    return grouping.pairs(
        (row.port_id, facts.FixedIp(row.ip_address, row.subnet_id)) for row in rows
    )


def allocated() -> Any:
    """Return the condition that a port, joined to its attributes, has an address to serve."""
    addressed = sa.exists().where(models_v2.IPAllocation.port_id == models_v2.Port.id)
    return sa.and_(addressed, sa.not_(marked()))


def marked() -> Any:
    """Return the condition that a port, joined to its attributes, carries our mark."""
    tag, description = tag_models.Tag, standard_attr.StandardAttribute.description
    return sa.or_(
        # NULL would be neither marked nor not marked.
        sa.func.coalesce(description, "").startswith(CARRIER_MARK),
        sa.exists().where(
            tag.standard_attr_id == models_v2.Port.standard_attr_id,
            tag.tag.startswith(CARRIER_MARK),
        ),
    )


def _router_ports(session: Any, condition: Any) -> list[facts.PortFacts]:
    port, owner = models_v2.Port, l3.RouterPort
    rows = session.execute(
        sa.select(
            port.id,
            owner.router_id,
            port.network_id,
            port.mac_address,
            port.device_owner,
            port.status,
            port.admin_state_up,
        )
        .join(owner, owner.port_id == port.id)
        .where(condition)
        .order_by(port.id)
    ).all()
    addresses = fixed_ips(session, models_v2.IPAllocation.port_id.in_([row.id for row in rows]))
    return [
        facts.PortFacts(
            id=row.id,
            router_id=row.router_id,
            network_id=row.network_id,
            mac_address=row.mac_address,
            device_owner=row.device_owner,
            status=row.status,
            admin_state_up=bool(row.admin_state_up),
            fixed_ips=addresses.get(row.id, ()),
        )
        for row in rows
    ]
