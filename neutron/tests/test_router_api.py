"""The extension as its callers meet it: the orchestrator, and a tenant who is refused."""

from typing import Any

import pytest

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def router(neutron: Any, external: Any) -> Any:
    """A router with a gateway, a dual-stack network, a VM's port and a floating IP."""
    net = neutron.network(name="inside", mtu=1400, dns_domain="inside.example.")
    subnet6 = neutron.tenant.create(
        "subnet",
        network_id=net["id"],
        ip_version=6,
        cidr="fd00:a::/64",
        ipv6_ra_mode="slaac",
        ipv6_address_mode="slaac",
    )
    router = neutron.tenant.create(
        "router", name="r", external_gateway_info={"network_id": external["id"]}
    )
    neutron.tenant.update(
        "subnet",
        net["subnet"]["id"],
        dns_nameservers=["9.9.9.9", "1.1.1.1"],
        host_routes=[
            {"destination": "172.16.0.0/16", "nexthop": f"{net['subnet']['cidr'][:-4]}9"}
        ],
    )
    neutron.attach(router["id"], net["subnet"]["id"])
    neutron.attach(router["id"], subnet6["id"])
    port = neutron.tenant.create(
        "port",
        network_id=net["id"],
        dns_name="vm",
        extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1300"}],
    )
    floating = neutron.tenant.create(
        "floatingip", floating_network_id=external["id"], port_id=port["id"]
    )
    return {**router, "net": net, "subnet6": subnet6, "port": port, "floating": floating}


def test_the_detail_holds_all_that_an_appliance_needs(
    neutron: Any, external: Any, router: Any
) -> None:
    view = neutron.service.view(router["id"])

    assert {key: view[key] for key in ("name", "project_id", "enable_snat", "ha", "status")} == {
        "name": "r",
        "project_id": "demo-project",
        "enable_snat": True,
        "ha": False,
        "status": "BUILD",
    }
    owners = sorted(port["device_owner"] for port in view["ports"])
    assert owners == ["network:router_gateway"] + 2 * ["network:router_interface"]
    inside, outside = (
        next(net for net in view["networks"] if net["external"] is external_flag)
        for external_flag in (False, True)
    )
    assert (outside["id"], outside["allocations"]) == (external["id"], [])
    assert (inside["mtu"], inside["dns_domain"]) == (1400, "inside.example.")
    subnet4 = next(subnet for subnet in inside["subnets"] if subnet["ip_version"] == 4)
    assert subnet4["dns_nameservers"] == ["9.9.9.9", "1.1.1.1"]
    assert subnet4["host_routes"][0]["destination"] == "172.16.0.0/16"
    [allocation] = inside["allocations"]
    assert allocation["port_id"] == router["port"]["id"]
    assert allocation["dns_name"] == "vm"
    assert len(allocation["fixed_ips"]) == 2
    assert allocation["extra_dhcp_opts"] == [
        {"opt_name": "mtu", "opt_value": "1300", "ip_version": 4}
    ]
    [floating] = view["floatingips"]
    assert floating["id"] == router["floating"]["id"]
    assert floating["fixed_ip_address"] == router["floating"]["fixed_ip_address"]


def test_the_detail_agrees_with_neutrons_own_view_of_the_ports(neutron: Any, router: Any) -> None:
    for port in neutron.service.view(router["id"])["ports"]:
        theirs = neutron.admin.get(f"/ports/{port['id']}")["port"]
        by_address = sorted(theirs["fixed_ips"], key=lambda item: item["ip_address"])
        assert port["fixed_ips"] == by_address
        assert port["mac_address"] == theirs["mac_address"]


def test_list_and_detail_show_the_same_generation(neutron: Any, router: Any) -> None:
    [listed] = neutron.service.get("/astara-routers", id=router["id"])["astara_routers"]
    assert listed["generation"] == neutron.service.generation(router["id"])
    assert {"id", "project_id", "ha", "admin_state_up", "status", "flavor_id"} <= set(listed)
    assert "networks" not in listed


def test_routers_named_by_id_come_with_details_when_these_are_asked_for(
    neutron: Any, router: Any
) -> None:
    view = neutron.service.view(router["id"])
    answer = neutron.service.get("/astara-routers", id=[router["id"]], fields=list(view))
    assert answer["astara_routers"] == [view]
    unnamed = neutron.service.get("/astara-routers", fields=["id", "networks"])
    assert all("networks" not in item for item in unnamed["astara_routers"])


def test_carriers_are_not_allocations_even_with_an_automatic_address(
    neutron: Any, router: Any
) -> None:
    before = neutron.service.generation(router["id"])
    marks = [{"description": "astara:router:x"}, {"tags": ["astara:router:x"]}]
    carriers = [
        neutron.admin.create(
            "port",
            network_id=router["net"]["id"],
            project_id="service-project",
            fixed_ips=[],
            port_security_enabled=False,
            security_groups=[],
            **mark,
        )
        for mark in marks
    ]

    assert carriers[0]["fixed_ips"], "Neutron gives automatic addresses without being asked"
    view = neutron.service.view(router["id"])
    allocations = [item for net in view["networks"] for item in net["allocations"]]
    assert [item["port_id"] for item in allocations] == [router["port"]["id"]]
    assert view["generation"] == before
    for carrier in carriers:
        neutron.admin.delete("port", carrier["id"])


def test_pages_follow_each_other_even_when_the_marker_is_deleted(neutron: Any) -> None:
    own = sorted(neutron.tenant.create("router", name=f"p{n}")["id"] for n in range(5))
    filters = {"id": own}

    first = neutron.service.get("/astara-routers", limit=2, **filters)
    assert [item["id"] for item in first["astara_routers"]] == own[:2]
    assert any(link["rel"] == "next" for link in first["astara_routers_links"])
    neutron.tenant.delete("router", own[1])
    second = neutron.service.get("/astara-routers", limit=2, marker=own[1], **filters)
    assert [item["id"] for item in second["astara_routers"]] == own[2:4]
    back = neutron.service.get(
        "/astara-routers", limit=2, marker=own[4], page_reverse=True, **filters
    )
    assert [item["id"] for item in back["astara_routers"]] == own[2:4]
    last = neutron.service.get("/astara-routers", limit=2, marker=own[4], **filters)
    assert last["astara_routers"] == []


def test_filters_narrow_and_unknown_ones_are_refused(neutron: Any, router: Any) -> None:
    listed = neutron.service.get("/astara-routers", project_id="demo-project")["astara_routers"]
    assert router["id"] in [item["id"] for item in listed]
    for owner in ("project_id", "tenant_id"):
        nobodys = neutron.service.get("/astara-routers", **{owner: "nobody"})
        assert nobodys["astara_routers"] == []
    refused = neutron.service.call("GET", "/astara-routers", name="r")
    assert refused.status_code == 400
    assert "name" in refused.text


def test_fields_select(neutron: Any, router: Any) -> None:
    answer = neutron.service.get(
        "/astara-routers", id=router["id"], fields=["id", "generation", "project_id"]
    )
    assert set(answer["astara_routers"][0]) <= {"id", "generation", "project_id", "tenant_id"}


def test_a_tenant_is_refused_even_for_its_own_router(neutron: Any, router: Any) -> None:
    tenant, report = neutron.tenant, {"routerstatus": {"status": "ERROR"}}
    assert tenant.call("GET", "/astara-routers").status_code == 403
    assert tenant.call("GET", f"/astara-routers/{router['id']}").status_code in (403, 404)
    answer = tenant.call("PUT", f"/dhrouterstatus/{router['id']}", report)
    assert answer.status_code in (403, 404)
    assert tenant.get(f"/routers/{router['id']}")["router"]["status"] == "BUILD"


def test_an_administrator_may_look(neutron: Any, router: Any) -> None:
    assert neutron.admin.view(router["id"])["id"] == router["id"]


def test_the_resource_is_read_only(neutron: Any, router: Any) -> None:
    body = {"astara_router": {"name": "x"}}
    assert neutron.admin.call("PUT", f"/astara-routers/{router['id']}", body).status_code >= 400
    assert neutron.admin.call("POST", "/astara-routers", body).status_code >= 400
    assert neutron.admin.call("DELETE", f"/astara-routers/{router['id']}").status_code >= 400
    assert neutron.admin.view(router["id"])["name"] == "r"


def test_an_unknown_router_is_not_found(neutron: Any) -> None:
    missing = "00000000-0000-0000-0000-000000000000"
    assert neutron.service.call("GET", f"/astara-routers/{missing}").status_code == 404
