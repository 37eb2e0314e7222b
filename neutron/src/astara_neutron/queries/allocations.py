"""The addressed ports of internal networks, one by one, for the appliances of routers."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.extra_dhcp_opt import models as dhcp_models
from neutron.db.models import dns
from neutron_lib.db import standard_attr

from .. import facts
from . import grouping, ports


def read(session: Any, network_ids: Collection[str]) -> dict[str, tuple[facts.Allocation, ...]]:
    """Return the addressed ports by network, without appliances' carriers."""
    port, name, attributes = models_v2.Port, dns.PortDNS, standard_attr.StandardAttribute
    rows = session.execute(
        sa.select(
            port.id,
            port.network_id,
            port.project_id,
            port.mac_address,
            port.device_id,
            port.device_owner,
            name.dns_name,
        )
        .join(attributes, attributes.id == port.standard_attr_id)
        .outerjoin(name, name.port_id == port.id)
        .where(port.network_id.in_(network_ids))
        .where(ports.allocated())
        .order_by(port.id)
    ).all()
    addresses = ports.fixed_ips(session, models_v2.IPAllocation.network_id.in_(network_ids))
    options = _dhcp_options(session, network_ids)
    found = [
        facts.Allocation(
            port_id=row.id,
            network_id=row.network_id,
            project_id=row.project_id or "",
            mac_address=row.mac_address,
            device_id=row.device_id,
            device_owner=row.device_owner,
            dns_name=row.dns_name or "",
            fixed_ips=addresses.get(row.id, ()),
            extra_dhcp_opts=options.get(row.id, ()),
        )
        for row in rows
    ]
    return grouping.by_key(found, lambda allocation: allocation.network_id)


def without_own(
    served: dict[str, tuple[facts.Allocation, ...]], network_ids: Collection[str], router_id: str
) -> dict[str, tuple[facts.Allocation, ...]]:
    """Select what one router's appliance serves: its networks' ports, but not its own."""
    return {
        network: tuple(item for item in served.get(network, ()) if item.device_id != router_id)
        for network in network_ids
    }


def _dhcp_options(
    session: Any, network_ids: Collection[str]
) -> dict[str, tuple[facts.DhcpOption, ...]]:
    option, port = dhcp_models.ExtraDhcpOpt, models_v2.Port
    rows = session.execute(
        sa.select(option.port_id, option.opt_name, option.opt_value, option.ip_version)
        .join(port, port.id == option.port_id)
        .where(port.network_id.in_(network_ids))
        .order_by(option.ip_version, option.opt_name)
    )
    return grouping.pairs(
        (row.port_id, facts.DhcpOption(row.opt_name, row.opt_value, int(row.ip_version)))
        for row in rows
    )
