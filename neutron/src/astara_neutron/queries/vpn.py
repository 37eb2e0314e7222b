"""IPsec connections of routers, as neutron-vpnaas keeps them, and their statuses.

Nothing is asked where that plug-in is not loaded: its tables need not be there. Called by `views`
and the API plug-in.
"""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib.plugins import constants, directory
from neutron_vpnaas.db.vpn import vpn_models

from .. import facts
from . import grouping

_CONNECTION, _SERVICE = vpn_models.IPsecSiteConnection, vpn_models.VPNService
_IKE, _IPSEC = vpn_models.IKEPolicy, vpn_models.IPsecPolicy


def connections(
    session: Any, router_ids: Collection[str]
) -> dict[str, tuple[facts.IpsecSiteConnection, ...]]:
    """Return the connections by router."""
    if directory.get_plugin(constants.VPN) is None:
        return {}
    rows = session.execute(
        sa.select(_CONNECTION, _SERVICE, _IKE, _IPSEC, models_v2.Subnet.cidr)
        .join(_SERVICE, _SERVICE.id == _CONNECTION.vpnservice_id)
        .join(_IKE, _IKE.id == _CONNECTION.ikepolicy_id)
        .join(_IPSEC, _IPSEC.id == _CONNECTION.ipsecpolicy_id)
        .outerjoin(models_v2.Subnet, models_v2.Subnet.id == _SERVICE.subnet_id)
        .where(_SERVICE.router_id.in_(router_ids))
        .order_by(_CONNECTION.id)
        .options(*(sa.orm.lazyload("*"),))
    ).all()
    if not rows:
        return {}
    peers = _peer_cidrs(session, [row[0].id for row in rows])
    groups = _endpoints(session, rows)
    found = [
        _connection(
            connection,
            service,
            ike,
            ipsec,
            _local(connection, cidr, groups),
            peers.get(connection.id) or groups.get(connection.peer_ep_group_id, ()),
        )
        for connection, service, ike, ipsec, cidr in rows
    ]
    return grouping.by_key(found, lambda item: item.router_id)


def set_statuses(session: Any, router_id: str, wanted: Mapping[str, str]) -> None:
    """Write the statuses of a router's connections, and of their services: ACTIVE if any is."""
    if directory.get_plugin(constants.VPN) is None:
        return
    services = sa.select(_SERVICE.id).where(_SERVICE.router_id == router_id)
    for status in sorted(set(wanted.values())):
        ids = [item for item, value in wanted.items() if value == status]
        _write(session, _CONNECTION, status, _CONNECTION.id.in_(ids),
               _CONNECTION.vpnservice_id.in_(services))  # fmt: skip
    settle_services(session, router_id)


def settle_services(session: Any, router_id: str) -> None:
    """Write the statuses of a router's services: ACTIVE if any connection is, else DOWN."""
    services = sa.select(_SERVICE.id).where(_SERVICE.router_id == router_id)
    active = sa.exists().where(
        _CONNECTION.vpnservice_id == _SERVICE.id, _CONNECTION.status == "ACTIVE"
    )
    own = _SERVICE.id.in_(services)
    _write(session, _SERVICE, "ACTIVE", own, active)
    _write(session, _SERVICE, "DOWN", own, sa.not_(active))


def _write(session: Any, model: Any, status: str, *conditions: Any) -> None:
    session.execute(
        sa.update(model)
        .where(*conditions, model.status != status)
        .values(status=status)
        .execution_options(synchronize_session=False)
    )


def _peer_cidrs(session: Any, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    item = vpn_models.IPsecPeerCidr
    rows = session.execute(
        sa.select(item.ipsec_site_connection_id, item.cidr)
        .where(item.ipsec_site_connection_id.in_(ids))
        .order_by(item.cidr)
    )
    return grouping.pairs((row.ipsec_site_connection_id, row.cidr) for row in rows)


def _endpoints(session: Any, rows: Collection[Any]) -> dict[str, tuple[str, ...]]:
    """Return the networks in each endpoint group: a subnet is named by its id there."""
    ids = {row[0].local_ep_group_id for row in rows} | {row[0].peer_ep_group_id for row in rows}
    item, subnet = vpn_models.VPNEndpoint, models_v2.Subnet
    found = session.execute(
        sa.select(item.endpoint_group_id, item.endpoint, subnet.cidr)
        .outerjoin(subnet, subnet.id == item.endpoint)
        .where(item.endpoint_group_id.in_(ids - {None}))
        .order_by(item.endpoint)
    )
    return grouping.pairs((row.endpoint_group_id, row.cidr or row.endpoint) for row in found)


def _local(
    connection: Any, cidr: str | None, groups: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return our side: the service's subnet, else the endpoint group's."""
    return (cidr,) if cidr else groups.get(connection.local_ep_group_id, ())


def _connection(
    item: Any, service: Any, ike: Any, ipsec: Any, local: tuple[str, ...], peer: tuple[str, ...]
) -> facts.IpsecSiteConnection:
    return facts.IpsecSiteConnection(
        id=item.id,
        router_id=service.router_id,
        status=item.status,
        admin_state_up=bool(item.admin_state_up and service.admin_state_up),
        peer_address=item.peer_address,
        peer_id=item.peer_id,
        local_id=item.local_id or "",
        psk=item.psk,
        mtu=item.mtu,
        initiator=item.initiator,
        dpd_action=item.dpd_action,
        dpd_interval=item.dpd_interval,
        dpd_timeout=item.dpd_timeout,
        local_cidrs=local,
        peer_cidrs=peer,
        ikepolicy=_policy(
            ike,
            ike_version=ike.ike_version,
            phase1_negotiation_mode=ike.phase1_negotiation_mode,
        ),
        ipsecpolicy=_policy(
            ipsec,
            transform_protocol=ipsec.transform_protocol,
            encapsulation_mode=ipsec.encapsulation_mode,
        ),
    )


def _policy(item: Any, **more: str) -> facts.VpnPolicy:
    return facts.VpnPolicy(
        encryption_algorithm=item.encryption_algorithm,
        auth_algorithm=item.auth_algorithm,
        pfs=item.pfs,
        lifetime_units=item.lifetime_units,
        lifetime_value=item.lifetime_value,
        **more,
    )
