"""A network may go as soon as its router interface has; a carrier of ours is no obstacle."""

from typing import Any

import pytest

pytestmark = pytest.mark.functional

SERVER = "11111111-1111-1111-1111-111111111111"


def carrier(neutron: Any, net: Any, router: str, **attributes: Any) -> str:
    """Make a port as the orchestrator does, held by a server as Nova does."""
    port = neutron.admin.create(
        "port",
        **{
            "network_id": net["id"],
            "project_id": "service-project",
            "fixed_ips": [],
            "port_security_enabled": False,
            "security_groups": [],
            "description": f"astara:router:{router}",
            "device_id": SERVER,
            "device_owner": "compute:nova",
            **attributes,
        },
    )
    made: str = port["id"]
    return made


def refused(neutron: Any, net: Any) -> bool:
    """Try to delete the network as the tenant; say whether it is still all there."""
    answer = neutron.tenant.call("DELETE", f"/networks/{net['id']}")
    assert answer.status_code in (204, 409), answer.text
    return bool(answer.status_code == 409)


def ports(neutron: Any, net: Any) -> set[str]:
    return {port["id"] for port in neutron.admin.get("/ports", network_id=net["id"])["ports"]}


@pytest.fixture(scope="module")
def router(neutron: Any) -> str:
    made: str = neutron.tenant.create("router", name="leaving")["id"]
    return made


@pytest.fixture
def net(neutron: Any) -> Any:
    """A tenant's network, not attached to the router (any more)."""
    return neutron.network(name="leaving")


def test_a_network_goes_right_after_the_interface_and_nova_hears_of_it(
    neutron: Any, router: str, net: Any
) -> None:
    neutron.attach(router, net["subnet"]["id"])
    port = carrier(neutron, net, router)
    before = ports(neutron, net)
    assert refused(neutron, net)
    assert ports(neutron, net) == before, "nothing goes while the router is attached"

    neutron.tenant.act(
        f"/routers/{router}/remove_router_interface", {"subnet_id": net["subnet"]["id"]}
    )
    neutron.port_deletions()
    assert not refused(neutron, net)
    assert neutron.admin.call("GET", f"/ports/{port}").status_code == 404
    [told] = neutron.port_deletions()
    assert (told["id"], told["device_id"], told["device_owner"]) == (port, SERVER, "compute:nova")


def test_carriers_of_a_router_that_is_gone_and_idle_ones_go_as_well(
    neutron: Any, net: Any
) -> None:
    carrier(neutron, net, "00000000-0000-0000-0000-000000000000")
    carrier(neutron, net, "00000000-0000-0000-0000-000000000000", device_id="", device_owner="")
    assert not refused(neutron, net)


def test_carriers_with_automatic_addresses_and_tags_go_as_well(
    neutron: Any, router: str, net: Any
) -> None:
    neutron.tenant.create(
        "subnet",
        network_id=net["id"],
        ip_version=6,
        cidr="fd00:b::/64",
        ipv6_ra_mode="slaac",
        ipv6_address_mode="slaac",
    )
    tagged = {"description": "", "tags": [f"astara:router:{router}"]}
    carrier(neutron, net, router)
    carrier(neutron, net, router, **tagged)
    assert not refused(neutron, net)


def test_a_subnet_goes_while_a_carrier_is_there(neutron: Any, router: str, net: Any) -> None:
    port = carrier(neutron, net, router)
    neutron.tenant.delete("subnet", net["subnet"]["id"])
    assert ports(neutron, net) == {port}


def test_an_external_network_goes_right_after_the_gateway(neutron: Any, router: str) -> None:
    outside = neutron.external()
    gateway = {"network_id": outside["id"]}
    neutron.tenant.update("router", router, external_gateway_info=gateway)
    neutron.tenant.create("floatingip", floating_network_id=outside["id"])
    carrier(neutron, outside, router)
    assert neutron.admin.call("DELETE", f"/networks/{outside['id']}").status_code == 409
    neutron.tenant.update("router", router, external_gateway_info={})
    neutron.admin.delete("network", outside["id"])


@pytest.mark.parametrize(
    "attributes",
    [
        {"project_id": "demo-project"},
        {"description": "a port of another service"},
        {"description": "not astara:router:x"},
    ],
    ids=["another project", "no mark", "mark not at the beginning"],
)
def test_a_port_that_is_not_provably_ours_stays_and_ours_with_it(
    neutron: Any, router: str, net: Any, attributes: dict[str, str]
) -> None:
    both = {carrier(neutron, net, router), carrier(neutron, net, router, **attributes)}
    assert refused(neutron, net)
    assert ports(neutron, net) == both


def test_a_management_port_stays_because_it_has_an_address(
    neutron: Any, router: str, net: Any
) -> None:
    port = carrier(neutron, net, router, fixed_ips=[{"subnet_id": net["subnet"]["id"]}])
    assert refused(neutron, net)
    assert ports(neutron, net) == {port}
