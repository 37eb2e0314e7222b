"""The ways to an IPv6 address, several subnets on one network, and a network without IPv4."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from astara_devcloud import outside
from astara_devcloud.story import probes
from astara_devcloud.story.tenant import Tenant

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(240)]

OUTSIDE = probes.Vantage("the internet", outside.NAMESPACE)
STATEFUL, STATELESS, ALONE = "2001:db8:32:1::/64", "2001:db8:32:2::/64", "2001:db8:32:3::/64"
FIRST_V4, SECOND_V4 = "10.32.1.0/24", "10.32.2.0/24"
RESOLVER = "2001:db8:53::53"
METADATA = "fe80::a9fe:a9fe%25eth0"


@dataclasses.dataclass(slots=True)
class Estate:
    """A router with three networks: stateful and two IPv4 subnets, stateless, SLAAC alone."""

    tenant: Tenant
    router: Any
    subnets: dict[str, Any]
    vms: dict[str, Any]

    def vantage(self, name: str, version: int = 6) -> probes.Vantage:
        return self.tenant.vantage(self.vms[name], version)

    def address(self, name: str, version: int = 6) -> str:
        return self.tenant.address(self.vms[name], version)


def prepare(clouds: Any) -> Iterator[Estate]:
    tenant = Tenant(clouds.tenant, "ipv6-")
    tenant.clear()
    try:
        yield _build(tenant)
    finally:
        for prefix in (STATEFUL, STATELESS, ALONE):
            OUTSIDE.run("ip", "-6", "route", "del", prefix)
        tenant.clear()


def _build(tenant: Tenant) -> Estate:
    group = tenant.open_security_group()
    networks = {name: tenant.network(name) for name in ("stateful", "stateless", "alone")}
    subnets = {
        cidr: tenant.subnet(networks[name], cidr, **options)
        for name, cidr, options in (
            ("stateful", STATEFUL, _modes("dhcpv6-stateful") | {"dns_nameservers": [RESOLVER]}),
            ("stateful", FIRST_V4, {}),
            ("stateful", SECOND_V4, {}),
            ("stateless", STATELESS, _modes("dhcpv6-stateless") | {"dns_nameservers": [RESOLVER]}),
            ("alone", ALONE, {}),
        )
    }
    router = tenant.router("edge", external="public")
    for subnet in subnets.values():
        tenant.plug(router, subnet)
    for prefix in (STATEFUL, STATELESS, ALONE):
        gateway = tenant.gateway_address(router, 6)
        OUTSIDE.run("ip", "-6", "route", "replace", prefix, "via", gateway)
    vms = {}
    for name, network, on in (
        ("one", "stateful", (FIRST_V4, STATEFUL)),
        ("two", "stateful", (SECOND_V4, STATEFUL)),
        ("less", "stateless", ()),
        ("alone", "alone", ()),
    ):
        chosen = [subnets[cidr] for cidr in on]
        port = tenant.port(networks[network], chosen, security_group_ids=[group.id])
        vms[name] = tenant.server(name, networks[network], port=port)
    tenant.wait_router(router)
    vms = {name: tenant.wait_active(server) for name, server in vms.items()}
    return Estate(tenant, router, subnets, vms)


@pytest.fixture
def estate(stage: Estate) -> Estate:
    return stage


def _modes(mode: str) -> dict[str, str]:
    return {"ipv6_ra_mode": mode, "ipv6_address_mode": mode}


def _global_addresses(vm: probes.Vantage) -> list[str]:
    """Return the global IPv6 addresses, without prefix length."""
    shown = vm.run("ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "global").stdout
    return [line.split()[3].partition("/")[0] for line in shown.splitlines()]


def test_stateful_gives_exactly_neutrons_address(estate: Estate) -> None:
    one = estate.vantage("one")
    assert _global_addresses(one) == [estate.address("one")], "and none of its own making"
    assert estate.address("one") != estate.address("two")
    assert one.pings(outside.SERVER_V6)
    answer = one.fetch(outside.SERVER_V6)
    assert answer is not None
    assert answer["peer"] == estate.address("one")
    assert RESOLVER in estate.tenant.console(estate.vms["one"]), "the subnet's resolver is told"


def test_stateless_address_by_slaac_and_resolver_by_dhcp(estate: Estate) -> None:
    less = estate.vantage("less")
    assert _global_addresses(less) == [estate.address("less")]
    console = estate.tenant.console
    probes.wait_until(
        lambda: f"dhcpv6 no address, dns {RESOLVER}" in console(estate.vms["less"]),
        "information by DHCPv6",
        30,
    )
    assert less.pings(outside.SERVER_V6)


def test_vms_of_different_modes_reach_each_other(estate: Estate) -> None:
    one = estate.vantage("one")
    for name in ("two", "less", "alone"):
        estate.vantage(name)
        assert one.pings(estate.address(name)), name


def test_two_ipv4_subnets_on_one_network(estate: Estate) -> None:
    one, two = estate.vantage("one", 4), estate.vantage("two", 4)
    first, second = estate.address("one", 4), estate.address("two", 4)
    gateway = estate.tenant.gateway_address(estate.router)
    assert first.startswith("10.32.1.")
    assert second.startswith("10.32.2.")
    for vm, cidr in ((one, FIRST_V4), (two, SECOND_V4)):
        assert vm.pings(estate.subnets[cidr].gateway_ip)
        assert (vm.fetch(outside.SERVER_V4) or {}).get("peer") == gateway
    answer = one.fetch(second)
    assert answer is not None
    assert answer["peer"] == first, "from one subnet to the other without translation"
    # A host that knows nothing of its neighbours sends by its gateway, which has to turn round.
    one.run("ip", "route", "replace", second, "via", estate.subnets[FIRST_V4].gateway_ip)
    assert one.fetch(second) is not None
    one.run("ip", "route", "del", second, "via", estate.subnets[FIRST_V4].gateway_ip)


def test_one_of_two_subnets_unplugged_and_plugged_again(estate: Estate) -> None:
    one, two = estate.vantage("one", 4), estate.vantage("two", 4)
    second = estate.subnets[SECOND_V4]
    with probes.PingStream(one, outside.SERVER_V4) as pings:
        estate.tenant.unplug(estate.router, second)
        probes.wait_until(lambda: not two.pings(second.gateway_ip), "second gateway silent", 60)
        assert estate.vantage("two", 6).pings(outside.SERVER_V6)
        estate.tenant.plug(estate.router, second)
        probes.wait_until(lambda: two.pings(outside.SERVER_V4), "second subnet out again", 60)
    assert pings.lost == 0


def test_metadata_without_ipv4(estate: Estate) -> None:
    alone = estate.vantage("alone")
    assert not alone.run("ip", "-4", "-o", "address", "show", "dev", "eth0").stdout
    answer = alone.fetch(METADATA, "/openstack/latest/meta_data.json", timeout_s=10)
    assert answer is not None
    assert answer["uuid"] == estate.vms["alone"].id
    probes.wait_until(
        lambda: (
            f"metadata: instance {estate.vms['alone'].id}"
            in estate.tenant.console(estate.vms["alone"])
        ),
        "metadata at boot",
        60,
    )
    assert alone.pings(outside.SERVER_V6)
    servers = alone.run("rdisc6", "-1", "-r", "1", "-w", "2000", "eth0").stdout
    assert "Recursive DNS server" in servers


@pytest.mark.parametrize(
    ("vm", "cidr", "managed", "other", "autonomous"),
    [
        ("one", STATEFUL, "Yes", "Yes", "No"),
        ("less", STATELESS, "No", "Yes", "Yes"),
        ("alone", ALONE, "No", "No", "Yes"),
    ],
    ids=["stateful", "stateless", "slaac"],
)
def test_router_advertisements_say_how(
    estate: Estate, vm: str, cidr: str, managed: str, other: str, autonomous: str
) -> None:
    shown = estate.vantage(vm).run("rdisc6", "-1", "-r", "3", "-w", "2000", "eth0").stdout
    said = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(": ") for line in shown.splitlines())
    }
    assert said["Stateful address conf."] == managed
    assert said["Prefix"] == cidr
    assert said["Autonomous address conf."] == autonomous
    if managed == "No":
        assert said["Stateful other conf."] == other
    assert (
        int(said["MTU"].split()[0])
        == estate.tenant.cloud.network.get_network(
            estate.tenant.port_of(estate.vms[vm]).network_id
        ).mtu
    )
