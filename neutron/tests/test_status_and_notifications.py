"""Statuses tell what is served, and every change of a router is announced on the bus."""

from typing import Any

import pytest

pytestmark = pytest.mark.functional

Served = dict[str, Any]


@pytest.fixture(scope="module")
def drawn(neutron: Any, external: Any) -> Served:
    """A router of a tenant with gateway, interface and an associated floating IP."""
    net = neutron.network(name="served")
    router = neutron.tenant.create(
        "router", name="served", external_gateway_info={"network_id": external["id"]}
    )
    neutron.attach(router["id"], net["subnet"]["id"])
    vm = neutron.tenant.create("port", network_id=net["id"])
    floating = neutron.tenant.create(
        "floatingip", floating_network_id=external["id"], port_id=vm["id"]
    )
    ports = [port["id"] for port in neutron.service.view(router["id"])["ports"]]
    made = {
        "router": router["id"],
        "ports": ports,
        "vm": vm["id"],
        "floating": floating["id"],
        "net": net,
    }
    return {**made, "at_first": statuses(neutron, made)}


@pytest.fixture
def served(neutron: Any, drawn: Served) -> Served:
    """The same router, not served, and nothing announced yet."""
    neutron.service.report(drawn["router"], status="BUILD", ports=[], floatingips=[])
    neutron.announced()
    return drawn


def statuses(neutron: Any, served: Served) -> tuple[str, dict[str, str], str]:
    router = neutron.tenant.get(f"/routers/{served['router']}")["router"]
    ports = neutron.admin.get("/ports", device_id=served["router"])["ports"]
    floating = neutron.tenant.get(f"/floatingips/{served['floating']}")["floatingip"]
    return (
        router["status"],
        {port["id"]: port["status"] for port in ports},
        floating["status"],
    )


def report_all(neutron: Any, served: Served) -> None:
    neutron.service.report(
        served["router"],
        status="ACTIVE",
        ports=served["ports"],
        floatingips=[served["floating"]],
    )


def test_nothing_is_active_before_it_is_served(neutron: Any, served: Served) -> None:
    router, ports, floating = served["at_first"]
    assert (router, set(ports.values()), floating) == ("BUILD", {"DOWN"}, "DOWN")


def test_a_report_makes_router_ports_and_floating_ips_active(neutron: Any, served: Served) -> None:
    report_all(neutron, served)
    router, ports, floating = statuses(neutron, served)
    assert (router, set(ports.values()), floating) == ("ACTIVE", {"ACTIVE"}, "ACTIVE")


def test_what_a_report_leaves_out_goes_down_and_absent_keys_stay(
    neutron: Any, served: Served
) -> None:
    report_all(neutron, served)
    neutron.service.report(served["router"], ports=served["ports"][:1])
    router, ports, floating = statuses(neutron, served)
    assert (router, floating) == ("ACTIVE", "ACTIVE")
    assert {port for port, value in ports.items() if value == "ACTIVE"} == {served["ports"][0]}

    neutron.service.report(served["router"], status="DOWN", floatingips=[])
    router, _, floating = statuses(neutron, served)
    assert (router, floating) == ("DOWN", "DOWN")


def test_a_report_does_not_touch_what_belongs_to_others(neutron: Any, served: Served) -> None:
    neutron.service.report(served["router"], ports=[served["vm"]], floatingips=["no-such-id"])
    assert neutron.tenant.get(f"/ports/{served['vm']}")["port"]["status"] == "DOWN"
    assert statuses(neutron, served)[2] == "DOWN"


def test_a_bad_status_changes_nothing_and_names_the_allowed_ones(
    neutron: Any, served: Served
) -> None:
    body = {"routerstatus": {"status": "SPLENDID", "ports": served["ports"]}}
    answer = neutron.service.call("PUT", f"/dhrouterstatus/{served['router']}", body)
    assert answer.status_code == 400
    assert "ACTIVE, BUILD, DOWN, ERROR" in answer.json()["NeutronError"]["message"]
    router, ports, _ = statuses(neutron, served)
    assert (router, set(ports.values())) == ("BUILD", {"DOWN"})


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_there_is_nothing_but_reports(neutron: Any, served: Served, method: str) -> None:
    assert neutron.admin.call(method, f"/dhrouterstatus/{served['router']}").status_code == 405
    assert neutron.admin.call("GET", "/dhrouterstatus").status_code == 405
    assert neutron.admin.call("POST", "/dhrouterstatus", {"routerstatus": {}}).status_code == 405


def test_a_report_for_an_unknown_router_is_not_found(neutron: Any) -> None:
    body = {"routerstatus": {"status": "ACTIVE"}}
    answer = neutron.service.call("PUT", "/dhrouterstatus/nothing", body)
    assert answer.status_code == 404


def test_a_floating_ip_falls_back_whenever_its_association_changes(
    neutron: Any, served: Served
) -> None:
    def floating_after(**change: Any) -> Any:
        report_all(neutron, served)
        return neutron.tenant.update("floatingip", served["floating"], **change)["status"]

    assert floating_after(description="still here") == "ACTIVE"
    assert floating_after(port_id=None) == "DOWN"
    assert floating_after(port_id=served["vm"]) == "DOWN"


def test_a_floating_ip_falls_back_when_its_port_goes(neutron: Any, served: Served) -> None:
    vm = neutron.tenant.create("port", network_id=served["net"]["id"])
    neutron.tenant.update("floatingip", served["floating"], port_id=vm["id"])
    report_all(neutron, served)
    neutron.tenant.delete("port", vm["id"])
    assert statuses(neutron, served)[2] == "DOWN"
    neutron.tenant.update("floatingip", served["floating"], port_id=served["vm"])


def test_status_reports_are_not_announced(neutron: Any, served: Served) -> None:
    report_all(neutron, served)
    assert neutron.announced() == []


def test_changes_that_the_api_layer_keeps_quiet_are_announced(
    neutron: Any, external: Any, served: Served
) -> None:
    prefix = served["net"]["subnet"]["cidr"].removesuffix("0/24")
    route = {"destination": "198.51.100.0/24", "nexthop": f"{prefix}9"}
    body = {"router": {"routes": [route]}}
    for action, expected in (("add", [route]), ("remove", [])):
        neutron.tenant.act(f"/routers/{served['router']}/{action}_extraroutes", body)
        [(event, payload)] = neutron.announced()
        assert event == "router.update.end"
        assert payload["router"]["id"] == served["router"]
        assert payload["router"]["routes"] == expected


def test_a_new_address_of_gateways_is_announced(neutron: Any) -> None:
    outside = neutron.external()
    router = neutron.tenant.create(
        "router", name="g", external_gateway_info={"network_id": outside["id"]}
    )
    neutron.announced()
    neutron.admin.create(
        "subnet", network_id=outside["id"], ip_version=6, cidr="2001:db8::/64", enable_dhcp=False
    )
    updates = [payload for event, payload in neutron.announced() if event == "router.update.end"]
    assert [payload["router"]["id"] for payload in updates] == [router["id"]]
    addresses = updates[0]["router"]["external_gateway_info"]["external_fixed_ips"]
    assert len(addresses) == 2


def test_interfaces_are_announced_with_their_router(neutron: Any, served: Served) -> None:
    net = neutron.network(name="more")
    neutron.announced()
    neutron.attach(served["router"], net["subnet"]["id"])
    [(event, payload)] = neutron.announced()
    assert event == "router.interface.create"
    assert payload["router_interface"]["id"] == served["router"]
