"""All SQL of this package, and the only module that knows Neutron's tables.

Reads are set-based: the number of statements is the same for one router and for a page of hundreds. They select columns, not
objects, so nothing is lazily loaded behind our back. Every function expects the caller's transaction
(`CONTEXT_READER` / `CONTEXT_WRITER`): on MariaDB its snapshot makes the statements see one state of the database.
Called by the API plug-in and the router plug-in.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.extra_dhcp_opt import models as dhcp_models
from neutron.db.models import dns, external_net, l3, l3_attrs
from neutron.db.port_security import models as port_security
from neutron_lib import constants
from neutron_lib.db import standard_attr

from . import facts

#: Ports that are served by a router rather than by DHCP: the appliances' own addresses.
ROUTER_OWNERS = (*constants.ROUTER_INTERFACE_OWNERS, constants.DEVICE_OWNER_ROUTER_GW)

_Item = TypeVar("_Item")
_Allocation = models_v2.IPAllocation


def read_views(
    session: Any,
    *,
    filters: Mapping[str, Collection[str]] | None = None,
    limit: int | None = None,
    marker: str | None = None,
    reverse: bool = False,
) -> list[facts.RouterView]:
    """Return routers in the order of their ids with all that a generation covers.

    `filters` maps column names of a router to accepted values. `marker` is the last id of the page before; it need
    not exist any more.
    """
    routers = _routers(session, filters or {}, limit, marker, reverse)
    ids = [router.id for router in routers]
    ports = _router_ports(session, l3.RouterPort.router_id.in_(ids)) if ids else []
    networks = _networks(session, {port.network_id for port in ports})
    internal = {port.network_id for port in ports if not is_gateway(port)}
    tallies = _tallies(session, internal)
    on_internal = _group(_neighbours(session, internal), lambda port: port.network_id)
    ports_of = _group(ports, lambda port: port.router_id)
    routes_of = _router_routes(session, ids)
    floating_of = _group(_floatingips(session, ids), lambda fip: fip.router_id)
    views = []
    for router in routers:
        own = ports_of.get(router.id, ())
        attached = sorted({port.network_id for port in own if port.network_id in networks})
        inside = {port.network_id for port in own if not is_gateway(port)}
        views.append(
            facts.RouterView(
                router=router,
                routes=routes_of.get(router.id, ()),
                ports=own,
                networks=tuple(networks[net] for net in attached),
                floatingips=floating_of.get(router.id, ()),
                tallies={net: tallies[net] for net in inside if net in tallies},
                neighbours={net: _others(on_internal.get(net, ()), router.id) for net in inside},
            )
        )
    return views


def read_allocations(
    session: Any, network_ids: Collection[str], router_id: str
) -> dict[str, tuple[facts.Allocation, ...]]:
    """Return the addressed ports of internal networks, without those of the router itself."""
    if not network_ids:
        return {}
    port, name = models_v2.Port, dns.PortDNS
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
        .outerjoin(name, name.port_id == port.id)
        .where(port.network_id.in_(network_ids), port.device_id != router_id, _addressed())
        .order_by(port.id)
    ).all()
    on_network = sa.select(port.id).where(port.network_id.in_(network_ids))
    addresses = _fixed_ips(session, _Allocation.network_id.in_(network_ids))
    options = _dhcp_options(session, on_network)
    allocations = [
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
    return _group(allocations, lambda allocation: allocation.network_id)


def router_exists(session: Any, router_id: str) -> bool:
    """Tell whether there is such a router."""
    found = session.execute(sa.select(l3.Router.id).where(l3.Router.id == router_id))
    return found.first() is not None


def port_statuses(session: Any, router_id: str) -> list[tuple[str, str]]:
    """Return (id, status) of the ports of a router."""
    rows = session.execute(
        sa.select(models_v2.Port.id, models_v2.Port.status)
        .join(l3.RouterPort, l3.RouterPort.port_id == models_v2.Port.id)
        .where(l3.RouterPort.router_id == router_id)
    )
    return [(row.id, row.status) for row in rows]


def floatingip_statuses(session: Any, router_id: str) -> list[tuple[str, str]]:
    """Return (id, status) of the floating IPs that are associated through a router."""
    fip = l3.FloatingIP
    rows = session.execute(
        sa.select(fip.id, fip.status).where(
            fip.router_id == router_id, fip.fixed_port_id.is_not(None)
        )
    )
    return [(row.id, row.status) for row in rows]


def set_router_status(session: Any, router_id: str, status: str) -> None:
    """Write the status of a router; a status is no change of its configuration, so no revision."""
    _set_status(session, l3.Router, [router_id], status)


def set_floatingip_status(session: Any, floatingip_ids: Collection[str], status: str) -> None:
    """Write the status of floating IPs, without a revision as above."""
    if floatingip_ids:
        _set_status(session, l3.FloatingIP, floatingip_ids, status)


def is_gateway(port: facts.PortFacts) -> bool:
    """Tell the gateway port of a router from its interfaces."""
    return port.device_owner == constants.DEVICE_OWNER_ROUTER_GW


def _set_status(session: Any, model: Any, ids: Collection[str], status: str) -> None:
    session.execute(
        sa.update(model)
        .where(model.id.in_(ids), model.status != status)
        .values(status=status)
        .execution_options(synchronize_session="fetch")
    )


def _routers(
    session: Any,
    filters: Mapping[str, Collection[str]],
    limit: int | None,
    marker: str | None,
    reverse: bool,
) -> list[facts.RouterFacts]:
    router, extra = l3.Router, l3_attrs.RouterExtraAttributes
    query = sa.select(
        router.id,
        router.project_id,
        router.name,
        router.admin_state_up,
        router.status,
        router.flavor_id,
        router.enable_snat,
        extra.ha,
    ).outerjoin(extra, extra.router_id == router.id)
    for column, values in filters.items():
        query = query.where(getattr(router, column).in_(values))
    if marker is not None:
        query = query.where(router.id < marker if reverse else router.id > marker)
    query = query.order_by(router.id.desc() if reverse else router.id).limit(limit)
    found = [
        facts.RouterFacts(
            id=row.id,
            project_id=row.project_id or "",
            name=row.name or "",
            admin_state_up=bool(row.admin_state_up),
            status=row.status,
            ha=bool(row.ha),
            flavor_id=row.flavor_id,
            enable_snat=bool(row.enable_snat),
        )
        for row in session.execute(query)
    ]
    # Neutron's "previous page" asks for the routers before the marker, still in ascending order.
    return found[::-1] if reverse else found


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
    ids = [row.id for row in rows]
    addresses = _fixed_ips(session, _Allocation.port_id.in_(ids)) if ids else {}
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


def _neighbours(session: Any, network_ids: Collection[str]) -> list[facts.PortFacts]:
    if not network_ids:
        return []
    return _router_ports(session, models_v2.Port.network_id.in_(network_ids))


def _others(ports: Iterable[facts.PortFacts], router_id: str) -> tuple[facts.PortFacts, ...]:
    return tuple(port for port in ports if port.router_id != router_id)


def _fixed_ips(session: Any, condition: Any) -> dict[str, tuple[facts.FixedIp, ...]]:
    rows = session.execute(
        sa.select(_Allocation.port_id, _Allocation.ip_address, _Allocation.subnet_id).where(
            condition
        )
    )
    found: dict[str, list[facts.FixedIp]] = defaultdict(list)
    for row in rows:
        found[row.port_id].append(facts.FixedIp(row.ip_address, row.subnet_id))
    return {port: tuple(sorted(addresses)) for port, addresses in found.items()}


def _dhcp_options(session: Any, port_ids: Any) -> dict[str, tuple[facts.DhcpOption, ...]]:
    option = dhcp_models.ExtraDhcpOpt
    rows = session.execute(
        sa.select(option.port_id, option.opt_name, option.opt_value, option.ip_version).where(
            option.port_id.in_(port_ids)
        )
    )
    found: dict[str, list[facts.DhcpOption]] = defaultdict(list)
    for row in rows:
        found[row.port_id].append(
            facts.DhcpOption(row.opt_name, row.opt_value, int(row.ip_version))
        )
    return {port: tuple(sorted(options)) for port, options in found.items()}


def _router_routes(
    session: Any, router_ids: Collection[str]
) -> dict[str, tuple[facts.Route, ...]]:
    if not router_ids:
        return {}
    route = l3.RouterRoute
    rows = session.execute(
        sa.select(route.router_id, route.destination, route.nexthop).where(
            route.router_id.in_(router_ids)
        )
    )
    return _routes(rows, lambda row: row.router_id)


def _floatingips(session: Any, router_ids: Collection[str]) -> list[facts.FloatingIpFacts]:
    if not router_ids:
        return []
    fip = l3.FloatingIP
    rows = session.execute(
        sa.select(
            fip.id,
            fip.router_id,
            fip.floating_ip_address,
            fip.fixed_ip_address,
            fip.fixed_port_id,
            fip.floating_network_id,
            fip.status,
        )
        .where(fip.router_id.in_(router_ids))
        .order_by(fip.id)
    )
    return [
        facts.FloatingIpFacts(
            id=row.id,
            router_id=row.router_id,
            floating_ip_address=row.floating_ip_address,
            fixed_ip_address=row.fixed_ip_address,
            port_id=row.fixed_port_id,
            floating_network_id=row.floating_network_id,
            status=row.status,
        )
        for row in rows
    ]


def _networks(session: Any, network_ids: Collection[str]) -> dict[str, facts.NetworkFacts]:
    if not network_ids:
        return {}
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
    )
    subnets = _group(_subnets(session, network_ids), lambda subnet: subnet.network_id)
    return {
        row.id: facts.NetworkFacts(
            id=row.id,
            name=row.name or "",
            project_id=row.project_id or "",
            mtu=row.mtu,
            # Without a binding the network is from before the extension was on: Neutron's default holds.
            port_security_enabled=row.port_security_enabled is not False,
            external=row.external_id is not None,
            dns_domain=row.dns_domain or "",
            subnets=subnets.get(row.id, ()),
        )
        for row in rows
    }


def _subnets(session: Any, network_ids: Collection[str]) -> list[facts.SubnetFacts]:
    subnet = models_v2.Subnet
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
        )
        .where(subnet.network_id.in_(network_ids))
        .order_by(subnet.id)
    ).all()
    chosen = sa.select(subnet.id).where(subnet.network_id.in_(network_ids))
    servers = _nameservers(session, chosen)
    route = models_v2.SubnetRoute
    routes = _routes(
        session.execute(
            sa.select(route.subnet_id, route.destination, route.nexthop).where(
                route.subnet_id.in_(chosen)
            )
        ),
        lambda row: row.subnet_id,
    )
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
        )
        for row in rows
    ]


def _nameservers(session: Any, subnet_ids: Any) -> dict[str, tuple[str, ...]]:
    server = models_v2.DNSNameServer
    rows = session.execute(
        sa.select(server.subnet_id, server.address)
        .where(server.subnet_id.in_(subnet_ids))
        .order_by(server.order, server.address)
    )
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[row.subnet_id].append(row.address)
    return {subnet: tuple(addresses) for subnet, addresses in found.items()}


def _tallies(session: Any, network_ids: Collection[str]) -> dict[str, facts.PortTally]:
    if not network_ids:
        return {}
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
        .where(
            port.network_id.in_(network_ids),
            port.device_owner.not_in(ROUTER_OWNERS),
            _addressed(),
        )
        .group_by(port.network_id)
    )
    return {
        row.network_id: facts.PortTally(
            ports=int(row.ports),
            revisions=int(row.revisions),
            ids=int(row.ids),
            newest_id=int(row.newest_id),
        )
        for row in rows
    }


def _addressed() -> Any:
    return sa.exists().where(_Allocation.port_id == models_v2.Port.id)


def _routes(
    rows: Iterable[Any], owner: Callable[[Any], str]
) -> dict[str, tuple[facts.Route, ...]]:
    found: dict[str, list[facts.Route]] = defaultdict(list)
    for row in rows:
        found[owner(row)].append(facts.Route(row.destination, row.nexthop))
    return {key: tuple(sorted(routes)) for key, routes in found.items()}


def _group(items: Iterable[_Item], key: Callable[[_Item], str]) -> dict[str, tuple[_Item, ...]]:
    found: dict[str, list[_Item]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return {name: tuple(members) for name, members in found.items()}
