"""Networks with everything that hangs on them but ports; called by `views`."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import dns, external_net
from neutron.db.port_security import models as port_security
from neutron_lib import constants

from .. import facts
from . import grouping


def read(session: Any, network_ids: Collection[str]) -> dict[str, facts.NetworkFacts]:
    """Return networks with their subnets, by id."""
    net, secured = models_v2.Network, port_security.NetworkSecurityBinding
    external, domain = external_net.ExternalNetwork, dns.NetworkDNSDomain
    rows = session.execute(
        sa.select(
            net.id,
            net.name,
            net.project_id,
            net.mtu,
            secured.port_security_enabled,
            external.network_id.label("external_id"),
            domain.dns_domain,
        )
        .outerjoin(secured, secured.network_id == net.id)
        .outerjoin(external, external.network_id == net.id)
        .outerjoin(domain, domain.network_id == net.id)
        .where(net.id.in_(network_ids))
    ).all()
    subnets = grouping.by_key(_subnets(session, network_ids), lambda subnet: subnet.network_id)
    return {
        row.id: facts.NetworkFacts(
            id=row.id,
            name=row.name or "",
            project_id=row.project_id or "",
            mtu=row.mtu,
            # A network from before the extension was on has no row here: Neutron's default holds.
            port_security_enabled=row.port_security_enabled is not False,
            external=row.external_id is not None,
            dns_domain=row.dns_domain or "",
            subnets=subnets.get(row.id, ()),
        )
        for row in rows
    }


def _subnets(session: Any, network_ids: Collection[str]) -> list[facts.SubnetFacts]:
    subnet, pool = models_v2.Subnet, models_v2.SubnetPool
    rows = session.execute(
        sa.select(
            subnet.id,
            subnet.network_id,
            subnet.name,
            subnet.cidr,
            subnet.ip_version,
            subnet.gateway_ip,
            subnet.enable_dhcp,
            subnet.ipv6_ra_mode,
            subnet.ipv6_address_mode,
            pool.address_scope_id,
            subnet.subnetpool_id,
        )
        .outerjoin(pool, pool.id == subnet.subnetpool_id)
        .where(subnet.network_id.in_(network_ids))
        .order_by(subnet.id)
    ).all()
    ids = [row.id for row in rows]
    servers, routes = _nameservers(session, ids), _host_routes(session, ids)
    return [
        facts.SubnetFacts(
            id=row.id,
            network_id=row.network_id,
            name=row.name or "",
            cidr=row.cidr,
            ip_version=row.ip_version,
            gateway_ip=row.gateway_ip,
            enable_dhcp=bool(row.enable_dhcp),
            ipv6_ra_mode=row.ipv6_ra_mode,
            ipv6_address_mode=row.ipv6_address_mode,
            dns_nameservers=servers.get(row.id, ()),
            host_routes=routes.get(row.id, ()),
            address_scope_id=row.address_scope_id,
            prefix_delegation=row.subnetpool_id == constants.IPV6_PD_POOL_ID,
        )
        for row in rows
    ]


def _nameservers(session: Any, subnet_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    server = models_v2.DNSNameServer
    rows = session.execute(
        sa.select(server.subnet_id, server.address)
        .where(server.subnet_id.in_(subnet_ids))
        .order_by(server.order, server.address)
    )
    return grouping.pairs((row.subnet_id, row.address) for row in rows)


def _host_routes(session: Any, subnet_ids: Collection[str]) -> dict[str, tuple[facts.Route, ...]]:
    route = models_v2.SubnetRoute
    rows = session.execute(
        sa.select(route.subnet_id, route.destination, route.nexthop)
        .where(route.subnet_id.in_(subnet_ids))
        .order_by(route.destination, route.nexthop)
    )
    return grouping.pairs(
        (row.subnet_id, facts.Route(row.destination, row.nexthop)) for row in rows
    )
