"""VPN from Neutron's objects: two routers of a tenant, a tunnel between them over the internet."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from astara_devcloud.story import probes
from astara_devcloud.story.tenant import Tenant

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(300)]

SUITE = {"auth_algorithm": "sha256", "encryption_algorithm": "aes-256", "pfs": "group14"}
KEY = "a tenant's secret"


@dataclasses.dataclass(slots=True)
class Site:
    """One side: a router with a network, a VM, and a VPN service."""

    router: Any
    subnet: Any
    vm: Any
    service: Any


@dataclasses.dataclass(slots=True)
class Company:
    """Two sites and the policies of both."""

    tenant: Tenant
    sites: list[Site]
    ike: Any
    ipsec: Any
    connections: list[Any] = dataclasses.field(default_factory=list)

    @property
    def network(self) -> Any:
        return self.tenant.cloud.network

    def connect(self, mine: Site, other: Site) -> None:
        peer = self.tenant.gateway_address(other.router)
        made = self.network.create_vpn_ipsec_site_connection(
            name=f"{self.tenant.prefix}to-{other.subnet.cidr}",
            vpnservice_id=mine.service.id,
            ikepolicy_id=self.ike.id,
            ipsecpolicy_id=self.ipsec.id,
            peer_address=peer,
            peer_id=peer,
            psk=KEY,
            peer_cidrs=[other.subnet.cidr],
        )
        self.connections.append(made)

    def status(self) -> list[str]:
        found = (self.network.get_vpn_ipsec_site_connection(item.id) for item in self.connections)
        return [item.status for item in found]

    def reaches(self) -> bool:
        left, right = self.sites
        return bool(
            self.tenant.vantage(left.vm).pings(self.tenant.address(right.vm))
            and self.tenant.vantage(right.vm).pings(self.tenant.address(left.vm))
        )


def prepare(clouds: Any) -> Iterator[Company]:
    tenant = Tenant(clouds.tenant, "vpn-")
    clear(tenant)
    tenant.clear()
    try:
        yield _build(tenant)
    finally:
        clear(tenant)
        tenant.clear()


def clear(tenant: Tenant) -> None:
    """Remove the VPN objects, without which routers and subnets cannot go."""
    for kind, many in (
        ("vpn_ipsec_site_connection", "vpn_ipsec_site_connections"),
        ("vpn_service", "vpn_services"),
        ("vpn_ike_policy", "vpn_ike_policies"),
        ("vpn_ipsec_policy", "vpn_ipsec_policies"),
    ):
        for item in getattr(tenant.cloud.network, many)():
            if item.name.startswith(tenant.prefix):
                getattr(tenant.cloud.network, f"delete_{kind}")(item)


def _build(tenant: Tenant) -> Company:
    cloud = tenant.cloud.network
    tenant.open_security_group()
    sites = []
    for number in (1, 2):
        network = tenant.network(f"site-{number}")
        subnet = tenant.subnet(network, f"10.41.{number}.0/24")
        router = tenant.router(f"edge-{number}", external="public")
        tenant.plug(router, subnet)
        vm = tenant.server(f"vm-{number}", network, "open")
        name = f"{tenant.prefix}service-{number}"
        service = cloud.create_vpn_service(name=name, router_id=router.id, subnet_id=subnet.id)
        sites.append(Site(router, subnet, vm, service))
    company = Company(
        tenant,
        sites,
        cloud.create_vpn_ike_policy(name=f"{tenant.prefix}ike", ike_version="v2", **SUITE),
        cloud.create_vpn_ipsec_policy(name=f"{tenant.prefix}ipsec", **SUITE),
    )
    for site in sites:
        tenant.wait_active(site.vm)
        tenant.wait_router(site.router)
    return company


def test_a_tunnel_made_of_neutrons_objects_carries_packets_and_its_status(stage: Company) -> None:
    left, right = stage.sites
    assert not stage.reaches()
    stage.connect(left, right)
    stage.connect(right, left)
    probes.wait_until(stage.reaches, "pings through the tunnel", 120)
    probes.wait_until(lambda: set(stage.status()) == {"ACTIVE"}, "status ACTIVE", 120)

    one = stage.connections[0]
    stage.network.update_vpn_ipsec_site_connection(one, admin_state_up=False)
    probes.wait_until(lambda: not stage.reaches(), "no pings without the tunnel", 60)
    probes.wait_until(lambda: "DOWN" in stage.status(), "status DOWN", 120)
