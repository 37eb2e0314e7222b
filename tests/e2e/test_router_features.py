"""Objects of Neutron's service plug-ins, made with the ordinary client, and what they do.

One router, one network, two VMs; each test adds what it needs and takes it away again.
"""

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from astara_devcloud import outside
from astara_devcloud.config.orchestrator import PROVIDER_LABEL
from astara_devcloud.hypervisor import enter
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

if TYPE_CHECKING:
    from openstack.connection import Connection

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(240)]

OUTSIDE = probes.Vantage("the internet", outside.NAMESPACE)
INSIDE = "10.33.1.0/24"
PATIENCE_S = 90  # the audit's period, and load


@dataclasses.dataclass(slots=True)
class Home:
    """A router between one network and the internet, and a VM there."""

    tenant: Tenant
    admin: "Connection"
    router: Any
    appliance: appliance.Appliance
    anna: Any

    def port(self) -> Any:
        return self.tenant.port_of(self.anna)

    def floating_ip(self, **attributes: Any) -> Any:
        network = self.tenant.cloud.network
        public = network.find_network("public", ignore_missing=False)
        return network.create_ip(floating_network_id=public.id, **attributes)

    def inside(self, *argv: str) -> str:
        """Return what a command in the appliance prints."""
        return enter.enter(self.appliance.server_id(), list(argv)).stdout

    def set_gateway(self, **info: Any) -> None:
        public = self.admin.network.find_network("public", ignore_missing=False)
        info["network_id"] = public.id
        self.admin.network.update_router(self.router.id, external_gateway_info=info)


def prepare(clouds: Any) -> Iterator[Home]:
    tenant = Tenant(clouds.tenant, "features-")
    tenant.clear()
    try:
        yield _build(tenant, clouds.admin, clouds.service)
    finally:
        tenant.clear()


def _build(tenant: Tenant, admin: "Connection", service: "Connection") -> Home:
    tenant.open_security_group()
    network = tenant.network("home")
    subnet = tenant.subnet(network, INSIDE)
    router = tenant.router("edge", external="public")
    tenant.plug(router, subnet)
    anna = tenant.server("anna", network, "open")
    tenant.wait_router(router)
    served = appliance.Appliance(service, router.id)
    return Home(tenant, admin, router, served, tenant.wait_active(anna))


@pytest.fixture
def home(stage: Home) -> Home:
    return stage


def eventually(look: Any, what: str) -> Any:
    return probes.wait_until(look, what, PATIENCE_S, every_s=0.5)


def test_a_port_of_a_floating_ip_leads_to_a_server(home: Home) -> None:
    network = home.tenant.cloud.network
    floating = home.floating_ip()
    address = floating.floating_ip_address
    forwarding = network.create_port_forwarding(
        floatingip_id=floating.id,
        internal_port_id=home.port().id,
        internal_ip_address=home.tenant.address(home.anna),
        internal_port=80,
        external_port=80,
        protocol="tcp",
    )
    home.tenant.vantage(home.anna)
    eventually(lambda: OUTSIDE.fetch(address, timeout_s=1), "the forwarded port answers")
    home.tenant.wait_floating_ip(floating, "ACTIVE")
    counted = {item["name"]: item for item in home.appliance.stats()["counters"]}
    assert counted[address]["in_packets"] > 0
    network.delete_port_forwarding(forwarding, floating.id)
    eventually(lambda: not OUTSIDE.fetch(address, timeout_s=1), "the port is closed again")
    home.tenant.wait_floating_ip(floating, "DOWN")
    network.delete_ip(floating)


def test_policies_limit_a_floating_ip_and_the_gateway(home: Home) -> None:
    admin = home.admin.network
    policy = admin.create_qos_policy(name="features-slow", shared=True)
    rules = [
        admin.create_qos_bandwidth_limit_rule(
            policy, max_kbps=kbps, max_burst_kbps=kbps // 10, direction=direction
        )
        for direction, kbps in (("egress", 3000), ("ingress", 5000))
    ]
    floating = home.floating_ip(port_id=home.port().id, qos_policy_id=policy.id)
    eventually(lambda: _rates(home) == {"3Mbit", "5Mbit"}, "classes of the floating IP")
    admin.update_qos_bandwidth_limit_rule(rules[0], policy, max_kbps=4000)
    eventually(lambda: _rates(home) == {"4Mbit", "5Mbit"}, "classes of the changed policy")
    home.tenant.cloud.network.delete_ip(floating)
    eventually(lambda: _rates(home) == set(), "no classes")
    home.set_gateway(qos_policy_id=policy.id)
    eventually(lambda: _rates(home) == {"4Mbit", "5Mbit"}, "classes of the gateway")
    assert home.tenant.vantage(home.anna).pings(outside.SERVER_V4)
    home.set_gateway(qos_policy_id=None)
    eventually(lambda: _rates(home) == set(), "no classes")
    admin.delete_qos_policy(policy)


def _rates(home: Home) -> set[str]:
    shown = json.loads(home.inside("tc", "-j", "qdisc", "show"))
    devices = [item["dev"] for item in shown if item["kind"] == "htb"]
    found = set()
    for device in devices:
        words = home.inside("tc", "class", "show", "dev", device).split()
        found |= {words[at + 1] for at, word in enumerate(words) if word == "rate"}
    return found


def test_a_label_counts_what_a_server_sends(home: Home) -> None:
    admin = home.admin.network
    label = admin.create_metering_label(
        name="features-label", project_id=home.tenant.cloud.current_project_id
    )
    try:
        admin.create_metering_label_rule(
            metering_label_id=label.id,
            direction="egress",
            destination_ip_prefix=f"{outside.SERVER_V4}/32",
        )
        anna = home.tenant.vantage(home.anna)

        def counted() -> int:
            anna.pings(outside.SERVER_V4)
            told = home.appliance.stats()["counters"]
            return sum(item["out_packets"] for item in told if item["name"] == label.id)

        eventually(lambda: counted() >= 3, "packets under the label")
    finally:
        admin.delete_metering_label(label)
    eventually(
        lambda: label.id not in json.dumps(home.appliance.stats()), "the label is forgotten"
    )


def test_a_label_of_the_provider_counts_on_every_router(home: Home) -> None:
    anna = home.tenant.vantage(home.anna)

    def counted() -> int:
        told = home.appliance.stats()["counters"]
        return sum(item["out_packets"] for item in told if item["name"] == PROVIDER_LABEL)

    before = counted()
    assert anna.pings(outside.SERVER_V4)
    assert counted() >= before + 3


def test_a_conntrack_helper_reaches_the_appliance(home: Home) -> None:
    admin = home.admin.network
    helper = admin.create_conntrack_helper(home.router, protocol="udp", port=69, helper="tftp")
    tables = ("nft", "list", "ruleset")
    eventually(lambda: 'ct helper set "tftp_udp_69"' in home.inside(*tables), "the helper")
    admin.delete_conntrack_helper(helper, home.router)
    eventually(lambda: "tftp" not in home.inside(*tables), "no helper")


@pytest.mark.quiet
def test_a_network_of_another_address_scope_is_reached_by_floating_ip_alone(home: Home) -> None:
    tenant, network = home.tenant, home.tenant.cloud.network
    scope = network.create_address_scope(name="features-scope", ip_version=4)
    pool = network.create_subnet_pool(
        name="features-pool",
        address_scope_id=scope.id,
        prefixes=["10.34.0.0/16"],
        default_prefix_length=24,
    )
    apart = tenant.network("apart")
    subnet = network.create_subnet(network_id=apart.id, ip_version=4, subnet_pool_id=pool.id)
    tenant.plug(home.router, subnet)
    bert = tenant.wait_active(tenant.server("bert", apart, "open"))
    try:
        anna, his = tenant.vantage(home.anna), tenant.vantage(bert)
        eventually(lambda: his.pings(outside.SERVER_V4), "the way out, translated")
        assert not anna.pings(tenant.address(bert))
        floating = tenant.floating_ip(bert)
        eventually(lambda: anna.pings(floating.floating_ip_address), "the floating IP")
        network.delete_ip(floating)
    finally:
        tenant.cloud.compute.delete_server(bert)
        left = {"network_id": apart.id, "device_id": bert.id}
        eventually(lambda: not list(network.ports(**left)), "the server's port gone")
        tenant.unplug(home.router, subnet)
        network.delete_subnet(subnet)
        network.delete_subnet_pool(pool)
        network.delete_address_scope(scope)
