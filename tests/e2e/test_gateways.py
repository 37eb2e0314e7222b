"""The way out: with and without NAT, taken away and given again, elsewhere; and routes beside it.

Each test leaves the router as it found it.
"""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from astara_devcloud import outside
from astara_devcloud.hypervisor import enter
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

if TYPE_CHECKING:
    from openstack.connection import Connection

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(240)]

OUTSIDE = probes.Vantage("the internet", outside.NAMESPACE)
INSIDE = "10.31.1.0/24"
INSIDE_V6 = "2001:db8:31:1::/64"
MTU = 1412
BEHIND_HOP = "192.0.2.0/24"
BEYOND = "198.18.7.0/24"
RESOLVERS = ["203.0.113.1", "198.51.100.53"]
OTHER_OUTSIDE = "203.0.112.0/24"
PEER = "203.0.112.9"


@dataclasses.dataclass(slots=True)
class Home:
    """A router between one network and the internet, and two VMs on that network."""

    tenant: Tenant
    admin: "Connection"
    router: Any
    appliance: appliance.Appliance
    subnet: Any
    anna: Any
    hop: Any
    elsewhere: Any
    """Another external network."""

    host_elsewhere: Any

    def out(self) -> probes.Vantage:
        return self.tenant.vantage(self.anna)

    def peer(self) -> str:
        """Return whom the internet sees when anna asks; empty if nothing gets through."""
        return str((self.out().fetch(outside.SERVER_V4, timeout_s=1) or {}).get("peer", ""))

    def set_gateway(self, **info: Any) -> None:
        """Set the gateway as an administrator may; no info: clear it."""
        self.admin.network.update_router(self.router.id, external_gateway_info=info)


def prepare(clouds: Any) -> Iterator[Home]:
    tenant, admin = Tenant(clouds.tenant, "gateways-"), Tenant(clouds.admin, "gateways-")
    tenant.clear()
    admin.clear()
    try:
        yield _build(tenant, admin, clouds.service)
    finally:
        tenant.clear()
        admin.clear()


def _build(tenant: Tenant, admin: Tenant, service: "Connection") -> Home:
    group = tenant.open_security_group()
    network = tenant.network("home", mtu=MTU)
    subnet = tenant.subnet(
        network,
        INSIDE,
        dns_nameservers=RESOLVERS,
        host_routes=[{"destination": BEYOND, "nexthop": "10.31.1.9"}],
    )
    router = tenant.router("edge", external="public")
    tenant.plug(router, subnet)
    port = tenant.port(
        network,
        allowed_address_pairs=[{"ip_address": BEHIND_HOP}],
        security_group_ids=[group.id],
        extra_dhcp_opts=[
            {"opt_name": "ntp-server", "opt_value": "192.0.2.123"},
            {"opt_name": "mtu", "opt_value": "1300"},
            {"opt_name": "bootfile-name", "opt_value": "pxe\\n$(reboot)"},
        ],
    )
    anna = tenant.server("anna", network, "open")
    hop = tenant.server("hop", network, port=port)
    elsewhere, host = _elsewhere(admin)
    tenant.wait_router(router)
    return Home(
        tenant=tenant,
        admin=admin.cloud,
        router=router,
        appliance=appliance.Appliance(service, router.id),
        subnet=subnet,
        anna=tenant.wait_active(anna),
        hop=tenant.wait_active(hop),
        elsewhere=elsewhere,
        host_elsewhere=admin.wait_active(host),
    )


def _elsewhere(admin: Tenant) -> tuple[Any, Any]:
    network = admin.cloud.network.create_network(
        name=f"{admin.prefix}elsewhere", is_router_external=True
    )
    admin.subnet(network, OTHER_OUTSIDE, enable_dhcp=False)
    group = admin.open_security_group()
    port = admin.port(network, security_group_ids=[group.id], fixed_ips=[{"ip_address": PEER}])
    return network, admin.server("host", network, port=port)


@pytest.fixture
def home(stage: Home) -> Home:
    return stage


def _public(home: Home) -> dict[str, Any]:
    return {"network_id": home.admin.network.find_network("public").id}


def test_no_packet_leaves_untranslated(home: Home) -> None:
    anna, gateway = home.out(), home.tenant.gateway_address(home.router)
    with probes.Capture(OUTSIDE, outside.NAMESPACE_END, "ip") as seen:
        assert anna.pings(outside.SERVER_V4)
        assert anna.pings(outside.SERVER_V4, "-s", "4000"), "fragments get through"
        assert home.peer() == gateway
        assert anna.resolve(f"www.{outside.DOMAIN}", "A", outside.SERVER_V4), "UDP"
        with probes.PingStream(anna, outside.SERVER_V4, 0.02) as pings:
            # What a rebuilt appliance, too, does not have.
            enter.enter(home.appliance.server_id(), ["conntrack", "-F"])
            assert anna.pings(outside.SERVER_V4)
    assert pings.lost == 0
    assert seen.holding(f"{gateway}"), "the watch is awake"
    assert not seen.holding("10.31.1.")


def test_snat_switched_off_and_on_again(home: Home) -> None:
    anna, own = home.out(), home.tenant.address(home.anna)
    gateway = home.tenant.gateway_address(home.router)
    OUTSIDE.run("ip", "route", "replace", INSIDE, "via", gateway)
    try:
        home.set_gateway(**_public(home), enable_snat=False)
        probes.wait_until(lambda: home.peer() == own, "seen under its own address", 60)
        answer = OUTSIDE.fetch(own)
        assert answer is not None, "the internet may come in where nothing is translated"
        assert answer["peer"] == outside.GATEWAY_V4
        assert home.tenant.gateway_address(home.router) == gateway
        with probes.PingStream(anna, outside.SERVER_V4):
            home.set_gateway(**_public(home), enable_snat=True)
            probes.wait_until(lambda: home.peer() == gateway, "translated again", 60)
            with probes.Capture(OUTSIDE, outside.NAMESPACE_END, "ip") as seen:
                assert anna.pings(outside.SERVER_V4)
        assert seen.holding(gateway)
        assert not seen.holding("10.31.1."), "also not what was under way before"
        assert OUTSIDE.fetch(own, timeout_s=1) is None
    finally:
        OUTSIDE.run("ip", "route", "del", INSIDE)
        home.set_gateway(**_public(home), enable_snat=True)


def test_gateway_cleared_and_set_again(home: Home) -> None:
    server, old = home.appliance.server_id(), home.tenant.gateway_address(home.router)
    assert home.peer() == old
    home.tenant.cloud.network.update_router(home.router, external_gateway_info={})
    probes.wait_until(lambda: not OUTSIDE.pings(old), "old address silent", 60)
    anna = home.out()
    assert not home.peer()
    assert anna.pings(home.subnet.gateway_ip), "the inside is not touched"
    home.tenant.cloud.network.update_router(home.router, external_gateway_info=_public(home))
    new = home.tenant.gateway_address(home.router)
    probes.wait_until(lambda: home.peer() == new, "out again", 60)
    home.tenant.wait_router(home.router)
    assert home.appliance.server_id() == server


def test_gateway_moves_to_another_address(home: Home) -> None:
    public = _public(home)
    old = home.tenant.gateway_address(home.router)
    new = "203.0.113.222"
    with probes.PingStream(home.out(), home.subnet.gateway_ip) as pings:
        home.set_gateway(**public, external_fixed_ips=[{"ip_address": new}])
        probes.wait_until(lambda: home.peer() == new, "seen under the new address", 60)
        probes.wait_until(lambda: not OUTSIDE.pings(old), "old address silent", 30)
    assert pings.lost == 0
    home.set_gateway(**public, external_fixed_ips=[{"ip_address": old}])
    probes.wait_until(lambda: home.peer() == old, "back at the old address", 60)


def test_gateway_moves_to_another_network(home: Home) -> None:
    host = probes.Vantage("elsewhere", enter.namespace(home.host_elsewhere.id))
    host.run("ip", "address", "add", f"{PEER}/24", "dev", "eth0")
    server, public = home.appliance.server_id(), _public(home)
    try:
        home.set_gateway(network_id=home.elsewhere.id)
        there = home.tenant.gateway_address(home.router)
        anna = home.out()
        probes.wait_until(
            lambda: (anna.fetch(PEER, timeout_s=1) or {}).get("peer") == there, "moved", 60
        )
        assert host.pings(there)
        assert not anna.pings(outside.SERVER_V4)
        assert home.appliance.server_id() == server
    finally:
        home.set_gateway(**public)
    back = home.tenant.gateway_address(home.router)
    probes.wait_until(lambda: home.peer() == back, "back on the internet", 60)


def test_extra_route_leads_through_a_vm_and_back_out(home: Home) -> None:
    anna, hop = home.out(), home.tenant.vantage(home.hop)
    gateway = home.tenant.gateway_address(home.router)
    hop.run("ip", "address", "add", "192.0.2.7/32", "dev", "lo")
    assert not anna.pings("192.0.2.7")
    route = {"destination": BEHIND_HOP, "nexthop": home.tenant.address(home.hop)}
    network = home.tenant.cloud.network
    try:
        network.add_extra_routes_to_router(home.router, {"router": {"routes": [route]}})
        probes.wait_until(lambda: anna.pings("192.0.2.7"), "192.0.2.7 reached", 60)
        answer = anna.fetch("192.0.2.7")
        assert answer is not None
        assert answer["address"] == "192.0.2.7"
        seen = hop.run(
            *("curl", "-qs", "--noproxy", "*", "--max-time", "3", "--interface", "192.0.2.7"),
            f"http://{outside.SERVER_V4}/",
        ).stdout
        assert f'"peer": "{gateway}"' in seen, "what is behind the hop gets out, translated"
    finally:
        network.remove_extra_routes_from_router(home.router, {"router": {"routes": [route]}})
    probes.wait_until(lambda: not anna.pings("192.0.2.7"), "the route is gone", 60)


def test_dhcp_tells_routes_resolvers_and_mtu(home: Home) -> None:
    anna, own = home.out(), home.tenant.address(home.anna)
    answer = probes.lease(anna, "staticroutes", "mtu", "dns") or {}
    assert answer["ip"] == own
    assert answer["serverid"] == home.subnet.gateway_ip
    assert answer["mtu"] == str(MTU)
    assert answer["dns"].split() == RESOLVERS
    words = answer["staticroutes"].split()
    routes = dict(zip(words[::2], words[1::2], strict=True))
    assert routes == {
        "0.0.0.0/0": home.subnet.gateway_ip,
        "169.254.169.254/32": home.subnet.gateway_ip,
        BEYOND: "10.31.1.9",
    }
    assert "via 10.31.1.9" in anna.run("ip", "route", "get", "198.18.7.1").stdout
    assert f"mtu {MTU}" in anna.run("ip", "link", "show", "eth0").stdout


def test_a_ports_own_dhcp_options_win_and_odd_ones_harm_nobody(home: Home) -> None:
    hop = home.tenant.vantage(home.hop)
    answer = probes.lease(hop, "mtu", "ntpsrv", "bootfile") or {}
    assert answer["ip"] == home.tenant.address(home.hop)
    assert (answer["mtu"], answer["ntpsrv"]) == ("1300", "192.0.2.123")
    assert "reboot" not in str(answer)


def test_dhcp_options_changed_reach_the_next_lease(home: Home) -> None:
    anna, network = home.out(), home.tenant.cloud.network
    port = home.tenant.port_of(home.anna)
    option = {"opt_name": "ntp-server", "opt_value": "192.0.2.55"}
    try:
        network.update_port(port, extra_dhcp_opts=[option])
        probes.wait_until(
            lambda: (probes.lease(anna, "ntpsrv") or {}).get("ntpsrv") == "192.0.2.55",
            "the port's new option",
            60,
        )
        network.update_subnet(home.subnet, dns_nameservers=[])
        probes.wait_until(
            lambda: (probes.lease(anna, "dns") or {}).get("dns") == home.subnet.gateway_ip,
            "the appliance as resolver",
            60,
        )
    finally:
        network.update_port(port, extra_dhcp_opts=[{"opt_name": "ntp-server", "opt_value": None}])
        network.update_subnet(home.subnet, dns_nameservers=RESOLVERS)
