"""Whatever a tenant or operator changes about a router moves its generation; nothing else does."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.functional


class Topology:
    """One router with two networks, shared with another router, and what hangs on it."""

    def __init__(self, neutron: Any, external: Any) -> None:
        self.neutron, self.tenant, self.admin = neutron, neutron.tenant, neutron.admin
        self.external = external
        self.net, self.second = neutron.network(name="a"), neutron.network(name="b")
        self.subnet = self.net["subnet"]["id"]
        self.prefix = self.net["subnet"]["cidr"].removesuffix("0/24")
        gateway = {"network_id": external["id"]}
        self.router = self.tenant.create("router", name="r", external_gateway_info=gateway)["id"]
        self.other = self.tenant.create("router", name="other")["id"]
        neutron.attach(self.router, self.subnet)
        self.vm = self.port()
        self.vm2 = self.port()
        self.floating = self.tenant.create(
            "floatingip", floating_network_id=external["id"], port_id=self.vm["id"]
        )["id"]

    def port(self, **attributes: Any) -> Any:
        return self.tenant.create("port", network_id=self.net["id"], **attributes)

    def set_router(self, **attributes: Any) -> None:
        self.admin.update("router", self.router, **attributes)

    def set_subnet(self, **attributes: Any) -> None:
        self.tenant.update("subnet", self.subnet, **attributes)

    def set_network(self, **attributes: Any) -> None:
        self.tenant.update("network", self.net["id"], **attributes)

    def set_vm(self, **attributes: Any) -> None:
        self.admin.update("port", self.vm["id"], **attributes)

    def set_floating(self, port: Any) -> None:
        self.tenant.update("floatingip", self.floating, port_id=port)

    def route(self, action: str) -> None:
        route = {"destination": "192.0.2.0/24", "nexthop": f"{self.prefix}99"}
        body = {"router": {"routes": [route]}}
        self.tenant.act(f"/routers/{self.router}/{action}_extraroutes", body)

    def interface(self, router: str, action: str, net: Any) -> None:
        body: dict[str, str] = {"subnet_id": net["subnet"]["id"]}
        if action == "add" and router == self.other:
            body = {"port_id": self.port()["id"]}
        if action == "remove" and router == self.other:
            [port] = self.admin.get("/ports", device_id=router)["ports"]
            body = {"port_id": port["id"]}
        self.tenant.act(f"/routers/{router}/{action}_router_interface", body)

    def add_subnet(self, net: str, version: int = 4, **attributes: Any) -> None:
        cidr = self.neutron.cidr() if version == 4 else "fd00:77::/64"
        self.extra = self.admin.create(
            "subnet", network_id=net, ip_version=version, cidr=cidr, **attributes
        )

    def remove_subnet(self) -> None:
        self.admin.delete("subnet", self.extra["id"])

    def resize_pool(self) -> None:
        address = next(ip for ip in self.vm["fixed_ips"])
        self.set_vm(fixed_ips=[{**address, "ip_address": f"{self.prefix}77"}])


SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
DHCP_OPTION = [{"opt_name": "mtu", "opt_value": "1300"}]
DHCP_OPTION_2 = [{"opt_name": "mtu", "opt_value": "1200"}]
DHCP_OPTION_GONE = [{"opt_name": "mtu", "opt_value": None}]

CHANGES: list[tuple[str, Callable[[Topology], object]]] = [
    ("router name", lambda t: t.set_router(name="renamed")),
    ("router down", lambda t: t.set_router(admin_state_up=False)),
    ("router up", lambda t: t.set_router(admin_state_up=True)),
    ("router ha", lambda t: t.set_router(ha=True)),
    ("extra route added", lambda t: t.route("add")),
    ("extra route removed", lambda t: t.route("remove")),
    (
        "snat off",
        lambda t: t.set_router(
            external_gateway_info={"network_id": t.external["id"], "enable_snat": False}
        ),
    ),
    ("subnet name", lambda t: t.set_subnet(name="renamed")),
    ("name servers", lambda t: t.set_subnet(dns_nameservers=["9.9.9.9", "1.1.1.1"])),
    ("name servers swapped", lambda t: t.set_subnet(dns_nameservers=["1.1.1.1", "9.9.9.9"])),
    (
        "host route",
        lambda t: t.set_subnet(
            host_routes=[{"destination": "192.0.2.0/24", "nexthop": f"{t.prefix}9"}]
        ),
    ),
    ("host route gone", lambda t: t.set_subnet(host_routes=[])),
    ("dhcp off", lambda t: t.set_subnet(enable_dhcp=False)),
    ("dhcp on", lambda t: t.set_subnet(enable_dhcp=True)),
    ("network mtu", lambda t: t.set_network(mtu=1300)),
    ("network name", lambda t: t.set_network(name="renamed")),
    ("network dns domain", lambda t: t.set_network(dns_domain="a.example.")),
    ("network port security", lambda t: t.set_network(port_security_enabled=False)),
    ("ipv6 subnet", lambda t: t.add_subnet(t.net["id"], 6, **SLAAC)),
    ("ipv6 subnet gone", lambda t: t.remove_subnet()),
    ("second subnet", lambda t: t.add_subnet(t.net["id"])),
    ("second subnet gone", lambda t: t.remove_subnet()),
    ("port created", lambda t: setattr(t, "vm3", t.port())),
    ("port deleted", lambda t: t.tenant.delete("port", t.vm3["id"])),  # type: ignore[attr-defined]
    ("port mac", lambda t: t.set_vm(mac_address="fa:16:3e:77:77:77")),
    ("port dns name", lambda t: t.set_vm(dns_name="renamed")),
    ("port dhcp option", lambda t: t.set_vm(extra_dhcp_opts=DHCP_OPTION)),
    ("port dhcp option value", lambda t: t.set_vm(extra_dhcp_opts=DHCP_OPTION_2)),
    ("port dhcp option gone", lambda t: t.set_vm(extra_dhcp_opts=DHCP_OPTION_GONE)),
    ("port taken by a server", lambda t: t.set_vm(device_id="server", device_owner="compute:x")),
    ("floating ip moved", lambda t: t.set_floating(t.vm2["id"])),
    ("floating ip off", lambda t: t.set_floating(None)),
    ("floating ip on", lambda t: t.set_floating(t.vm2["id"])),
    ("floating ip deleted", lambda t: t.tenant.delete("floatingip", t.floating)),
    ("port address", lambda t: t.resize_pool()),
    ("port address lost", lambda t: t.set_vm(fixed_ips=[])),
    ("second network attached", lambda t: t.interface(t.router, "add", t.second)),
    ("second network detached", lambda t: t.interface(t.router, "remove", t.second)),
    ("other router attached", lambda t: t.interface(t.other, "add", t.net)),
    ("other router detached", lambda t: t.interface(t.other, "remove", t.net)),
    (
        "subnet outside, with an address for the gateway",
        lambda t: t.add_subnet(t.external["id"], 6, enable_dhcp=False),
    ),
    ("gateway cleared", lambda t: t.set_router(external_gateway_info={})),
]

NO_CHANGES: list[tuple[str, Callable[[Topology], object]]] = [
    (
        "status report",
        lambda t: t.neutron.service.report(
            t.router,
            status="ERROR",
            ports=[port["id"] for port in t.neutron.service.view(t.router)["ports"]],
            floatingips=[t.floating],
        ),
    ),
    ("status report, the other way", lambda t: t.neutron.service.report(t.router, ports=[])),
    ("port elsewhere", lambda t: t.tenant.create("port", network_id=t.second["id"])),
    ("network elsewhere", lambda t: t.tenant.update("network", t.second["id"], mtu=1300)),
    ("another router", lambda t: t.tenant.update("router", t.other, name="renamed")),
    (
        "carrier without address",
        lambda t: t.port(fixed_ips=[], description="astara:router:x"),
    ),
]


@pytest.fixture(scope="module")
def topology(neutron: Any) -> Topology:
    return Topology(neutron, neutron.external())


@pytest.mark.parametrize(("what", "act"), NO_CHANGES, ids=[name for name, _ in NO_CHANGES])
def test_what_does_not_concern_the_appliance_keeps_the_generation(
    topology: Topology, what: str, act: Callable[[Topology], object]
) -> None:
    before = topology.neutron.service.generation(topology.router)
    act(topology)
    assert topology.neutron.service.generation(topology.router) == before


def test_each_change_moves_the_generation_to_a_value_never_seen_on_the_way(
    topology: Topology,
) -> None:
    seen = [topology.neutron.service.generation(topology.router)]
    for what, act in CHANGES:
        act(topology)
        now = topology.neutron.service.generation(topology.router)
        assert now != seen[-1], what
        seen.append(now)
