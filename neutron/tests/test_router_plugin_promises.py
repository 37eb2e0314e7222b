"""What the router plug-in promises beyond Neutron's own router API."""

from typing import Any

import pytest

pytestmark = pytest.mark.functional


def test_ha_is_a_flag_and_makes_no_network(neutron: Any) -> None:
    net = neutron.network(name="ha")
    before = len(neutron.admin.get("/networks")["networks"])
    router = neutron.admin.create("router", name="ha", ha=True, project_id="demo-project")
    neutron.attach(router["id"], net["subnet"]["id"])

    assert router["ha"] is True
    assert len(neutron.admin.get("/networks")["networks"]) == before
    [port] = neutron.admin.get("/ports", device_id=router["id"])["ports"]
    assert port["device_owner"] == "network:router_interface"
    view = neutron.service.view(router["id"])
    assert view["ha"] is True
    neutron.admin.update("router", router["id"], ha=False)
    assert neutron.service.view(router["id"])["ha"] is False


def test_nothing_of_agents_is_offered(neutron: Any) -> None:
    aliases = {item["alias"] for item in neutron.tenant.get("/extensions")["extensions"]}
    assert {"router", "extraroute", "l3-ha", "astara-router", "dhrouterstatus"} <= aliases
    assert not aliases & {"l3_agent_scheduler", "dvr", "dhcp_agent_scheduler"}


def test_an_unknown_flavor_is_refused(neutron: Any) -> None:
    body = {"router": {"name": "f", "flavor_id": "00000000-0000-0000-0000-000000000000"}}
    assert neutron.admin.call("POST", "/routers", body).status_code == 404


def test_a_flavor_is_stored_and_shown(neutron: Any) -> None:
    flavor = neutron.admin.create("flavor", name="big", service_type="L3_ROUTER_NAT")
    router = neutron.admin.create("router", name="f", flavor_id=flavor["id"])
    assert router["flavor_id"] == flavor["id"]
    assert neutron.service.view(router["id"])["flavor_id"] == flavor["id"]


def test_a_router_goes_away_with_what_the_plugin_knew_of_it(neutron: Any, external: Any) -> None:
    router = neutron.tenant.create(
        "router", name="gone", external_gateway_info={"network_id": external["id"]}
    )
    neutron.tenant.delete("router", router["id"])
    assert neutron.service.call("GET", f"/astara-routers/{router['id']}").status_code == 404
    assert not neutron.admin.get("/ports", device_id=router["id"])["ports"]


def test_neutron_loads_the_plugin_by_the_class_path_of_the_first_astara(
    start_neutron: Any,
) -> None:
    with start_neutron("astara_neutron.plugins.ml2_neutron_plugin.L3RouterPlugin", "") as other:
        aliases = {item["alias"] for item in other.tenant.get("/extensions")["extensions"]}
        assert {"router", "astara-router", "dhrouterstatus"} <= aliases
        router = other.tenant.create("router", name="r")
        assert router["status"] == "BUILD"
        assert other.service.view(router["id"])["name"] == "r"

        # This server neither knows the service project nor has a Keystone to ask.
        net = other.network(name="n")
        attributes = {"project_id": "service-project", "description": "astara:router:x"}
        other.admin.create("port", network_id=net["id"], fixed_ips=[], **attributes)
        assert other.tenant.call("DELETE", f"/networks/{net['id']}").status_code == 409
