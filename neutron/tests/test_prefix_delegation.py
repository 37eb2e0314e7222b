"""Subnets that get their IPv6 prefix from the provider: seen, given, and moved."""

from typing import Any

import pytest

pytestmark = pytest.mark.functional


@pytest.fixture
def subnet(neutron: Any) -> Any:
    net = neutron.network(name="delegated")
    return neutron.tenant.create(
        "subnet", network_id=net["id"], ip_version=6, use_default_subnetpool=True,
        ipv6_ra_mode="slaac", ipv6_address_mode="slaac",
    )  # fmt: skip


@pytest.fixture
def router(neutron: Any, external: Any, subnet: Any) -> str:
    gateway = {"network_id": external["id"]}
    made = neutron.tenant.create("router", name="r", external_gateway_info=gateway)["id"]
    neutron.attach(made, subnet["id"])
    return str(made)


def shown(neutron: Any, router: str) -> Any:
    networks = neutron.service.view(router)["networks"]
    return next(s for net in networks for s in net["subnets"] if s["prefix_delegation"])


def test_a_reported_prefix_becomes_the_subnets_and_its_ports(
    neutron: Any, router: str, subnet: Any
) -> None:
    vm = neutron.tenant.create("port", network_id=subnet["network_id"])
    assert shown(neutron, router)["cidr"] == "::/64"
    before = neutron.service.generation(router)
    neutron.announced()
    for prefix in ("2001:db8:f000::/64", "2001:db8:f001::/64"):
        neutron.service.report(router, prefixes={subnet["id"]: prefix})
        assert shown(neutron, router)["cidr"] == prefix
        port = neutron.tenant.get(f"/ports/{vm['id']}")["port"]
        own = [fixed["ip_address"] for fixed in port["fixed_ips"]]
        assert any(address.startswith(prefix.removesuffix("::/64")) for address in own)
    assert neutron.service.generation(router) != before
    assert [kind for kind, _ in neutron.announced()].count("subnet.update.end") == 2


def test_a_report_repeated_or_about_others_changes_nothing(
    neutron: Any, router: str, subnet: Any
) -> None:
    other = neutron.network(name="plain")["subnet"]
    neutron.service.report(router, prefixes={subnet["id"]: "2001:db8:f002::/64"})
    before = neutron.service.generation(router)
    neutron.announced()
    neutron.service.report(
        router, prefixes={subnet["id"]: "2001:db8:f002::/64", other["id"]: "2001:db8:dead::/64"}
    )
    assert neutron.service.generation(router) == before
    assert neutron.announced() == []
