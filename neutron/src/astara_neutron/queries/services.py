"""What Neutron's service plug-ins add to routers: port forwardings, rate limits, conntrack
helpers, metering labels; and which routers one of those concerns. Called by `views` and
`service_plugins`.

Their tables are there whether or not a cloud has loaded the plug-in, then they are empty.
"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db.models import conntrack_helper, external_net, l3, metering, port_forwarding
from neutron.db.qos import models as qos

from .. import facts
from . import grouping

_RULE = qos.QosBandwidthLimitRule
_LIMIT = (_RULE.direction, _RULE.max_kbps, _RULE.max_burst_kbps)


def port_forwardings(
    session: Any, floatingip_ids: Collection[str]
) -> dict[str, tuple[facts.PortForwarding, ...]]:
    """Return the port forwardings by floating IP."""
    item = port_forwarding.PortForwarding
    rows = session.execute(
        sa.select(
            item.floatingip_id,
            item.id,
            item.protocol,
            item.external_port_start,
            item.external_port_end,
            item.internal_ip_address,
            item.internal_port_start,
            item.internal_port_end,
        )
        .where(item.floatingip_id.in_(floatingip_ids))
        .order_by(item.id)
    )
    return grouping.pairs((row.floatingip_id, facts.PortForwarding(*row[1:])) for row in rows)


def limits_of_floatingips(
    session: Any, floatingip_ids: Collection[str]
) -> dict[str, tuple[facts.RateLimit, ...]]:
    """Return the bandwidth limits by floating IP, those of its own policy."""
    bound = qos.QosFIPPolicyBinding
    return _limits(session, bound, bound.fip_id, floatingip_ids)


def limits_of_gateways(
    session: Any, router_ids: Collection[str]
) -> dict[str, tuple[facts.RateLimit, ...]]:
    """Return the bandwidth limits of the routers' gateways, those of their own policies."""
    bound = qos.QosRouterGatewayIPPolicyBinding
    return _limits(session, bound, bound.router_id, router_ids)


def limits_of_networks(
    session: Any, network_ids: Collection[str]
) -> dict[str, tuple[facts.RateLimit, ...]]:
    """Return the bandwidth limits by network. On an external one they hold for each gateway and
    floating IP without a policy of its own.
    """
    bound = qos.QosNetworkPolicyBinding
    return _limits(session, bound, bound.network_id, network_ids)


def conntrack_helpers(
    session: Any, router_ids: Collection[str]
) -> dict[str, tuple[facts.ConntrackHelper, ...]]:
    """Return the conntrack helpers by router."""
    item = conntrack_helper.ConntrackHelper
    rows = session.execute(
        sa.select(item.router_id, item.protocol, item.port, item.helper)
        .where(item.router_id.in_(router_ids))
        .order_by(item.protocol, item.port, item.helper)
    )
    return grouping.pairs((row.router_id, facts.ConntrackHelper(*row[1:])) for row in rows)


def metering_labels(
    session: Any, router_ids: Collection[str]
) -> dict[str, tuple[facts.MeteringLabel, ...]]:
    """Return the labels by router: those of its project, and those that all share."""
    label, router = metering.MeteringLabel, l3.Router
    rows = session.execute(
        sa.select(router.id.label("router_id"), label.id, label.name)
        .join(router, sa.or_(label.shared, label.project_id == router.project_id))
        .where(router.id.in_(router_ids))
        .order_by(label.id)
    ).all()
    rules = _metering_rules(session, {row.id for row in rows})
    return grouping.pairs(
        (row.router_id, facts.MeteringLabel(row.id, row.name or "", rules.get(row.id, ())))
        for row in rows
    )


def routers_of_floatingip(session: Any, floatingip_id: str) -> list[str]:
    """Return the router that serves a floating IP."""
    return _routers(session, l3.FloatingIP.id == floatingip_id)


def routers_of_label(session: Any, label_id: str) -> list[str]:
    """Return the routers of a label's project. One that all share concerns too many to name."""
    label, router = metering.MeteringLabel, l3.Router
    found = (
        sa.select(router.id)
        .join(label, label.project_id == router.project_id)
        .where(label.id == label_id, sa.not_(label.shared))
    )
    return [str(row.id) for row in session.execute(found)]


def routers_of_policy(session: Any, policy_id: str) -> list[str]:
    """Return the routers with a gateway or a floating IP of a policy's own."""
    gateway, floating = qos.QosRouterGatewayIPPolicyBinding, qos.QosFIPPolicyBinding
    gateways = sa.select(gateway.router_id).where(gateway.policy_id == policy_id)
    bound = sa.select(floating.fip_id).where(floating.policy_id == policy_id)
    found = {str(row.router_id) for row in session.execute(gateways)}
    return sorted(found.union(_routers(session, l3.FloatingIP.id.in_(bound))))


def networks_of_policy(session: Any, policy_id: str) -> list[str]:
    """Return the external networks whose gateways and floating IPs inherit a policy."""
    bound, outside = qos.QosNetworkPolicyBinding, external_net.ExternalNetwork
    found = (
        sa.select(bound.network_id)
        .join(outside, outside.network_id == bound.network_id)
        .where(bound.policy_id == policy_id)
    )
    return [str(row.network_id) for row in session.execute(found)]


def _routers(session: Any, condition: Any) -> list[str]:
    item = l3.FloatingIP
    found = sa.select(item.router_id).where(condition, item.router_id.is_not(None)).distinct()
    return [str(row.router_id) for row in session.execute(found)]


def _metering_rules(
    session: Any, label_ids: Collection[str]
) -> dict[str, tuple[facts.MeteringRule, ...]]:
    rule = metering.MeteringLabelRule
    rows = session.execute(
        sa.select(
            rule.metering_label_id,
            rule.direction,
            rule.remote_ip_prefix,
            rule.source_ip_prefix,
            rule.destination_ip_prefix,
            rule.excluded,
        )
        .where(rule.metering_label_id.in_(label_ids))
        .order_by(rule.id)
    )
    return grouping.pairs(
        (
            row.metering_label_id,
            facts.MeteringRule(
                direction=row.direction,
                remote_ip_prefix=row.remote_ip_prefix,
                source_ip_prefix=row.source_ip_prefix,
                destination_ip_prefix=row.destination_ip_prefix,
                excluded=bool(row.excluded),
            ),
        )
        for row in rows
    )


def _limits(
    session: Any, bound: Any, column: Any, ids: Collection[str]
) -> dict[str, tuple[facts.RateLimit, ...]]:
    rows = session.execute(
        sa.select(column, *_LIMIT)
        .join(_RULE, _RULE.qos_policy_id == bound.policy_id)
        .where(column.in_(ids))
        .order_by(_RULE.direction)
    )
    return grouping.pairs(
        (row[0], facts.RateLimit(row[1], row[2] or 0, row[3] or 0)) for row in rows
    )
