"""Objects of Neutron's service plug-ins are in a router's details and move its generation."""

from typing import Any

import pytest

pytestmark = pytest.mark.functional


class World:
    """A router with a gateway, a network and a machine's port."""

    def __init__(self, neutron: Any, external: Any) -> None:
        self.neutron, self.tenant, self.admin = neutron, neutron.tenant, neutron.admin
        self.external = external
        self.net = neutron.network(name="serviced")
        gateway = {"network_id": external["id"]}
        self.router = self.tenant.create("router", name="r", external_gateway_info=gateway)["id"]
        neutron.attach(self.router, self.net["subnet"]["id"])
        self.vm = self.tenant.create("port", network_id=self.net["id"])
        self.address = self.vm["fixed_ips"][0]["ip_address"]

    def view(self) -> Any:
        return self.neutron.service.view(self.router)

    def generation(self) -> Any:
        return self.neutron.service.generation(self.router)

    def floating(self, **attributes: Any) -> Any:
        return self.tenant.create(
            "floatingip", floating_network_id=self.external["id"], **attributes
        )

    def forward(self, floating: Any, **attributes: Any) -> Any:
        wanted = {
            "protocol": "tcp",
            "internal_port_id": self.vm["id"],
            "internal_ip_address": self.address,
        } | attributes
        path = f"/floatingips/{floating['id']}/port_forwardings"
        answer = self.tenant.call("POST", path, {"port_forwarding": wanted})
        assert answer.status_code == 201, answer.text
        return answer.json()["port_forwarding"]

    def announced(self) -> list[str]:
        """The routers and external networks announced since the last call, each once."""
        kinds = {"router.update.end": "router", "network.update.end": "network"}
        return sorted({body[kinds[kind]]["id"] for kind, body in self.neutron.announced()
                       if kind in kinds})  # fmt: skip

    def policy(self, **limits: int) -> Any:
        """A policy with a bandwidth limit in each direction given: ingress=1000."""
        made = self.admin.call("POST", "/qos/policies", {"policy": {"name": "p", "shared": True}})
        policy = made.json()["policy"]
        for direction, kbps in limits.items():
            rule = {"max_kbps": kbps, "max_burst_kbps": kbps // 10, "direction": direction}
            answer = self.admin.call(
                "POST",
                f"/qos/policies/{policy['id']}/bandwidth_limit_rules",
                {"bandwidth_limit_rule": rule},
            )
            assert answer.status_code == 201, answer.text
        return policy


@pytest.fixture
def world(neutron: Any, external: Any) -> World:
    return World(neutron, external)


def test_a_port_forwarding_is_part_of_its_floating_ip(world: World) -> None:
    floating = world.floating()
    before = world.generation()
    one = world.forward(floating, external_port=80, internal_port=8080)
    several = world.forward(
        floating, protocol="udp", external_port_range="2000:2009", internal_port_range="3000:3009"
    )
    [shown] = world.view()["floatingips"]
    assert world.generation() != before
    assert shown["port_id"] is None
    wanted = {
        one["id"]: ("tcp", 80, 80, world.address, 8080, 8080),
        several["id"]: ("udp", 2000, 2009, world.address, 3000, 3009),
    }
    keys = "protocol external_port external_port_end internal_ip_address internal_port"
    columns = [*keys.split(), "internal_port_end"]
    assert {
        item["id"]: tuple(item[key] for key in columns) for item in shown["port_forwardings"]
    } == wanted


def test_a_forwarded_floating_ip_is_active_while_it_is_served(world: World) -> None:
    floating = world.floating()
    made = world.forward(floating, external_port=80, internal_port=8080)
    world.neutron.service.report(world.router, floatingips=[floating["id"]])
    assert world.view()["floatingips"][0]["status"] == "ACTIVE"
    answer = world.tenant.call(
        "DELETE", f"/floatingips/{floating['id']}/port_forwardings/{made['id']}"
    )
    assert answer.status_code == 204, answer.text
    left = world.tenant.get(f"/floatingips/{floating['id']}")["floatingip"]
    assert (left["status"], left["router_id"]) == ("DOWN", None)
    assert world.view()["floatingips"] == []


def test_a_floating_ip_has_the_limits_of_its_policy(world: World) -> None:
    policy = world.policy(ingress=1000, egress=2000)
    floating = world.floating(port_id=world.vm["id"])
    before = world.generation()
    world.admin.update("floatingip", floating["id"], qos_policy_id=policy["id"])
    assert world.view()["floatingips"][0]["rate_limits"] == [
        {"direction": "egress", "max_kbps": 2000, "max_burst_kbps": 200},
        {"direction": "ingress", "max_kbps": 1000, "max_burst_kbps": 100},
    ]
    assert world.generation() != before


def test_a_gateway_has_the_limits_of_its_policy(world: World) -> None:
    policy = world.policy(egress=3000)
    before = world.generation()
    gateway = {"network_id": world.external["id"], "qos_policy_id": policy["id"]}
    world.admin.update("router", world.router, external_gateway_info=gateway)
    [limit] = world.view()["gateway_rate_limits"]
    assert limit == {"direction": "egress", "max_kbps": 3000, "max_burst_kbps": 300}
    assert world.generation() != before


def test_a_conntrack_helper_belongs_to_its_router(world: World) -> None:
    before = world.generation()
    answer = world.admin.call(
        "POST",
        f"/routers/{world.router}/conntrack_helpers",
        {"conntrack_helper": {"protocol": "udp", "port": 69, "helper": "tftp"}},
    )
    assert answer.status_code == 201, answer.text
    found = [{"protocol": "udp", "port": 69, "helper": "tftp"}]
    assert world.view()["conntrack_helpers"] == found
    assert world.generation() != before


def test_a_label_counts_for_the_routers_of_its_project_or_for_all(world: World) -> None:
    project = world.view()["project_id"]
    made = {
        name: world.admin.call(
            "POST", "/metering/metering-labels", {"metering_label": attributes}
        ).json()["metering_label"]
        for name, attributes in {
            "own": {"name": "own", "project_id": project},
            "all": {"name": "all", "shared": True},
            "other": {"name": "other", "project_id": "other-project"},
        }.items()
    }
    before = world.generation()
    rule = {
        "metering_label_id": made["own"]["id"],
        "direction": "egress",
        "destination_ip_prefix": "198.51.100.0/24",
    }
    answer = world.admin.call(
        "POST", "/metering/metering-label-rules", {"metering_label_rule": rule}
    )
    assert answer.status_code == 201, answer.text
    shown = {label["id"]: label for label in world.view()["metering_labels"]}
    assert {made["own"]["id"], made["all"]["id"]} <= set(shown)
    assert made["other"]["id"] not in shown
    [counted] = shown[made["own"]["id"]]["rules"]
    assert counted["destination_ip_prefix"] == "198.51.100.0/24"
    assert (counted["direction"], counted["excluded"]) == ("egress", False)
    assert world.generation() != before


def test_a_subnet_tells_its_address_scope(world: World) -> None:
    answer = world.tenant.call(
        "POST", "/address-scopes", {"address_scope": {"name": "s", "ip_version": 4}}
    )
    scope_id = answer.json()["address_scope"]["id"]
    pool = world.tenant.create(
        "subnetpool", name="p", prefixes=["172.20.0.0/16"], default_prefixlen=26,
        address_scope_id=scope_id,
    )  # fmt: skip
    net = world.tenant.create("network", name="scoped")
    subnet = world.tenant.create(
        "subnet", network_id=net["id"], ip_version=4, subnetpool_id=pool["id"]
    )
    world.neutron.attach(world.router, subnet["id"])
    scopes = {
        item["id"]: item["address_scope_id"]
        for shown in world.view()["networks"]
        for item in shown["subnets"]
    }
    assert scopes[subnet["id"]] == scope_id
    assert scopes[world.net["subnet"]["id"]] is None


def test_a_change_of_a_port_forwarding_announces_its_router(world: World) -> None:
    floating = world.floating()
    world.announced()
    made = world.forward(floating, external_port=80, internal_port=8080)
    assert world.announced() == [world.router]
    path = f"/floatingips/{floating['id']}/port_forwardings/{made['id']}"
    world.tenant.act(path, {"port_forwarding": {"external_port": 81}})
    assert world.announced() == [world.router]
    assert world.tenant.call("DELETE", path).status_code == 204
    assert world.announced() == [world.router]


def test_a_change_of_a_conntrack_helper_announces_its_router(world: World) -> None:
    path = f"/routers/{world.router}/conntrack_helpers"
    helper = {"conntrack_helper": {"protocol": "udp", "port": 69, "helper": "tftp"}}
    world.announced()
    made = world.admin.call("POST", path, helper).json()["conntrack_helper"]
    assert world.announced() == [world.router]
    assert world.admin.call("DELETE", f"{path}/{made['id']}").status_code == 204
    assert world.announced() == [world.router]


def test_a_change_of_a_policys_rule_announces_whom_it_limits(world: World) -> None:
    policy = world.policy(egress=3000)
    floating = world.floating(port_id=world.vm["id"])
    world.admin.update("floatingip", floating["id"], qos_policy_id=policy["id"])
    world.announced()
    rules = f"/qos/policies/{policy['id']}/bandwidth_limit_rules"
    [rule] = world.admin.get(rules)["bandwidth_limit_rules"]
    world.admin.act(f"{rules}/{rule['id']}", {"bandwidth_limit_rule": {"max_kbps": 4000}})
    assert world.announced() == [world.router]
    world.admin.update("floatingip", floating["id"], qos_policy_id=None)
    gateway = {"network_id": world.external["id"], "qos_policy_id": policy["id"]}
    world.admin.update("router", world.router, external_gateway_info=gateway)
    world.announced()
    assert world.admin.call("DELETE", f"{rules}/{rule['id']}").status_code == 204
    assert world.announced() == [world.router]


def test_a_change_of_an_inherited_policys_rule_announces_the_network(world: World) -> None:
    policy = world.policy(egress=3000)
    world.admin.update("network", world.external["id"], qos_policy_id=policy["id"])
    world.announced()
    more = {"max_kbps": 5000, "max_burst_kbps": 500, "direction": "ingress"}
    path = f"/qos/policies/{policy['id']}/bandwidth_limit_rules"
    answer = world.admin.call("POST", path, {"bandwidth_limit_rule": more})
    assert answer.status_code == 201, answer.text
    assert world.announced() == [world.external["id"]]
    world.admin.update("network", world.external["id"], qos_policy_id=None)


def test_a_rule_of_a_label_announces_the_routers_of_its_project(world: World) -> None:
    label = {"name": "own", "project_id": world.view()["project_id"]}
    path = "/metering/metering-labels"
    made = world.admin.call("POST", path, {"metering_label": label}).json()["metering_label"]
    rule = {
        "metering_label_id": made["id"],
        "direction": "egress",
        "destination_ip_prefix": "198.51.100.0/24",
    }
    world.announced()
    path = "/metering/metering-label-rules"
    ruled = world.admin.call("POST", path, {"metering_label_rule": rule}).json()
    assert world.router in world.announced()
    gone = world.admin.call("DELETE", f"{path}/{ruled['metering_label_rule']['id']}")
    assert gone.status_code == 204
    assert world.router in world.announced()
