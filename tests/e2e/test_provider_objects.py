"""Objects of Neutron by which a router meets its provider: BGP speakers, delegated prefixes,
several external subnets, policies of the external network.

An external network of our own, with a machine on it that is the provider's: real daemons there
learn routes and delegate prefixes. One router, one VM on a network of the provider's scope.
"""

import contextlib
import dataclasses
import ipaddress
import json
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from astara_devcloud.hypervisor import enter
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(300), pytest.mark.quiet]

PREFIX = "provider-"
FIRST, SECOND, INSIDE = "203.0.110.0/24", "203.0.109.0/24", "10.51.0.0/16"
RACK, RACK_SECOND = "203.0.110.9", "203.0.109.9"
RACK_V6 = "2001:db8:110::9"
DELEGATED = "2001:db8:f0"
KEY = "S3cret#Key"
PATIENCE_S = 120


@dataclasses.dataclass(slots=True)
class Home:
    """The tenant's side and the provider's."""

    tenant: Tenant
    admin: Tenant
    outside: Any
    router: Any
    subnet: Any
    anna: Any
    rack: probes.Vantage
    appliance: appliance.Appliance

    def inside(self, *argv: str) -> str:
        """Return what a command in the appliance prints."""
        return enter.enter(self.appliance.server_id(), list(argv)).stdout

    def floating_ip(self, **attributes: Any) -> Any:
        network, port = self.tenant.cloud.network, self.tenant.port_of(self.anna)
        return network.create_ip(
            floating_network_id=self.outside.id, port_id=port.id, **attributes
        )

    def set_gateway(self, fixed_ips: list[dict[str, str]]) -> None:
        info = {"network_id": self.outside.id, "external_fixed_ips": fixed_ips}
        self.admin.cloud.network.update_router(self.router.id, external_gateway_info=info)


def eventually(look: Any, what: str) -> Any:
    return probes.wait_until(look, what, PATIENCE_S, every_s=0.5)


def prepare(clouds: Any) -> Iterator[Home]:
    tenant, admin = Tenant(clouds.tenant, PREFIX), Tenant(clouds.admin, PREFIX)
    _clear(tenant, admin)
    try:
        yield _build(tenant, admin, clouds.service)
    finally:
        _clear(tenant, admin)


def _clear(tenant: Tenant, admin: Tenant) -> None:
    network = admin.cloud.network
    for speaker in network.bgp_speakers():
        if speaker.name.startswith(PREFIX):
            network.delete_bgp_speaker(speaker)
    for peer in network.bgp_peers():
        if peer.name.startswith(PREFIX):
            network.delete_bgp_peer(peer)
    tenant.clear()
    admin.clear()
    for many, one in (
        (network.subnet_pools, network.delete_subnet_pool),
        (network.address_scopes, network.delete_address_scope),
        (network.qos_policies, network.delete_qos_policy),
    ):
        for item in many():
            if item.name.startswith(PREFIX):
                one(item)


def _build(tenant: Tenant, admin: Tenant, service: Any) -> Home:
    outside, rack = _provider(admin)
    tenant.open_security_group()
    network = tenant.network("home")
    pool = tenant.cloud.network.find_subnet_pool(f"{PREFIX}inside", ignore_missing=False)
    subnet = tenant.cloud.network.create_subnet(
        network_id=network.id, ip_version=4, subnet_pool_id=pool.id
    )
    router = tenant.router("edge", external=outside.name)
    tenant.plug(router, subnet)
    anna = tenant.server("anna", network, "open")
    tenant.wait_router(router)
    place = probes.Vantage("the rack", enter.namespace(admin.wait_active(rack).id))
    for address in (f"{RACK}/24", f"{RACK_V6}/64"):  # nobody leases anything on this network
        place.run("ip", "address", "add", address, "dev", "eth0", "nodad")
    served = appliance.Appliance(service, router.id)
    anna = tenant.wait_active(anna)
    return Home(tenant, admin, outside, router, subnet, anna, place, served)


def _provider(admin: Tenant) -> tuple[Any, Any]:
    """Make the external network, and the machine on it."""
    network = admin.cloud.network
    scope = network.create_address_scope(name=f"{PREFIX}scope", ip_version=4, is_shared=True)
    pools = {
        name: network.create_subnet_pool(
            name=f"{PREFIX}{name}",
            address_scope_id=scope.id,
            prefixes=prefixes,
            default_prefix_length=24,
            is_shared=True,
        )
        for name, prefixes in (("outside", [FIRST, SECOND]), ("inside", [INSIDE]))
    }
    outside = network.create_network(name=f"{PREFIX}outside", is_router_external=True)
    pool = {"subnet_pool_id": pools["outside"].id}
    admin.subnet(outside, FIRST, is_dhcp_enabled=False, **pool)
    admin.subnet(outside, "2001:db8:110::/64", gateway_ip=RACK_V6,
                 ipv6_ra_mode=None, ipv6_address_mode=None, is_dhcp_enabled=False)  # fmt: skip
    fixed = [{"ip_address": RACK}, {"ip_address": RACK_V6}]
    port = admin.port(outside, port_security_enabled=False, fixed_ips=fixed)
    return outside, admin.server("rack", outside, port=port)


@pytest.fixture
def home(stage: Home) -> Home:
    return stage


@contextlib.contextmanager
def running(rack: probes.Vantage, *argv: str) -> Iterator[None]:
    """Run a daemon on the rack for as long as the block takes."""
    process = subprocess.Popen(rack.command(*argv), stdout=-3, stderr=-3)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


class Bird:
    """BIRD on the rack, which speaks with one router."""

    def __init__(self, rack: probes.Vantage, folder: pathlib.Path, router: str) -> None:
        self._rack, self._socket = rack, folder / "bird.ctl"
        self.file = folder / "bird.conf"
        self.file.write_text(
            f"router id {RACK};\nprotocol device {{}}\n"
            f"protocol bgp edge {{ local {RACK} as 64602; neighbor {router} as 64601;"
            f' password "{KEY}"; connect delay time 1; error wait time 1, 2;'
            " ipv4 { import all; export none; }; }\n"
            "protocol kernel { ipv4 { export where source = RTS_BGP; }; }\n"
        )

    def command(self) -> list[str]:
        return ["bird", "-f", "-c", str(self.file), "-s", str(self._socket)]

    def ask(self, *words: str) -> str:
        return self._rack.run("birdc", "-s", str(self._socket), *words).stdout

    def routes(self) -> set[str]:
        """Return the prefixes learned."""
        lines = self.ask("show", "route", "protocol", "edge").splitlines()
        return {line.split()[0] for line in lines if line[:1].isdigit() and "/" in line.split()[0]}

    def up_since(self) -> str:
        """Return since when the session is up; empty while it is not."""
        words = next((line.split() for line in self.ask("show", "protocols").splitlines()
                      if line.startswith("edge")), [])  # fmt: skip
        return words[4] if words[-1:] == ["Established"] else ""


def test_a_peer_learns_floating_ips_and_networks_of_its_scope(
    home: Home, tmp_path: pathlib.Path
) -> None:
    network, gateway = home.admin.cloud.network, home.tenant.gateway_address(home.router)
    bird = Bird(home.rack, tmp_path, gateway)
    home.tenant.vantage(home.anna)
    inside = home.tenant.address(home.anna)
    floating = home.floating_ip()
    host_route = f"{floating.floating_ip_address}/32"
    with running(home.rack, *bird.command()):
        eventually(lambda: "BIRD" in bird.ask("show", "status"), "the provider's BIRD")
        assert not home.rack.pings(inside)
        speaker = network.create_bgp_speaker(name=f"{PREFIX}edge", local_as=64601, ip_version=4)
        peer = network.create_bgp_peer(
            name=f"{PREFIX}rack", peer_ip=RACK, remote_as=64602, auth_type="md5", password=KEY
        )
        network.add_gateway_network_to_speaker(speaker, home.outside)
        network.add_bgp_peer_to_speaker(speaker, peer)
        eventually(
            lambda: bird.routes() == {host_route, home.subnet.cidr}, "the routes at the provider"
        )
        shown = home.rack.run("ip", "route", "get", floating.floating_ip_address).stdout
        assert f"via {gateway}" in shown
        eventually(lambda: home.rack.pings(floating.floating_ip_address), "the floating IP")
        eventually(lambda: home.rack.pings(inside), "the tenant's own address")

        since = bird.up_since()
        assert since
        network.update_bgp_speaker(speaker, advertise_tenant_networks=False)
        eventually(lambda: bird.routes() == {host_route}, "the network is withdrawn")
        home.tenant.cloud.network.delete_ip(floating)
        eventually(lambda: bird.routes() == set(), "the floating IP is withdrawn")
        assert bird.up_since() == since

        network.update_bgp_peer(peer, password="another")
        eventually(lambda: not bird.up_since(), "no session with another key")
        network.remove_bgp_peer_from_speaker(speaker, peer)
        bird_there = ("pgrep", "-f", "/run/astara/bird.conf")
        eventually(lambda: not home.inside(*bird_there), "no BIRD in the appliance")
        network.delete_bgp_speaker(speaker)
        network.delete_bgp_peer(peer)


def test_a_delegated_prefix_becomes_the_subnets_and_its_guests(
    home: Home, tmp_path: pathlib.Path
) -> None:
    tenant, network = home.tenant, home.tenant.cloud.network
    tmp_path.chmod(0o755)
    (tmp_path / "dhcpd.conf").write_text(
        "default-lease-time 600; preferred-lifetime 300;\n"
        "option dhcp-renewal-time 5; option dhcp-rebinding-time 10;\n"
        f"subnet6 2001:db8:110::/64 {{ prefix6 {DELEGATED}00:: {DELEGATED}ff:: /64; }}\n"
    )
    (tmp_path / "leases").touch()
    dhcpd = ("dhcpd", "-6", "-q", "-f", "--no-pid", "-cf", str(tmp_path / "dhcpd.conf"),
             "-lf", str(tmp_path / "leases"), "eth0")  # fmt: skip
    with running(home.rack, *dhcpd):
        net = tenant.network("delegated")
        subnet = network.create_subnet(
            network_id=net.id, ip_version=6, use_default_subnet_pool=True,
            ipv6_ra_mode="slaac", ipv6_address_mode="slaac",
        )  # fmt: skip
        assert subnet.cidr == "::/64"
        tenant.plug(home.router, subnet)
        bert = tenant.wait_active(tenant.server("bert", net, "open"))
        cidr = eventually(lambda: _prefix(network, subnet), "a prefix of the provider")
        home.rack.run("ip", "-6", "route", "replace", cidr, "via",
                      tenant.gateway_address(home.router, 6))  # fmt: skip
        # Neutron moves the ports' addresses a moment after the subnet's prefix.
        delegated = ipaddress.ip_network(cidr)
        eventually(
            lambda: ipaddress.ip_address(tenant.address(bert, 6)) in delegated, "its address"
        )
        his = tenant.vantage(bert, 6, PATIENCE_S)
        eventually(lambda: his.pings(RACK_V6), "the way out")
        assert home.rack.pings(tenant.address(bert, 6))
        home.rack.run("ip", "-6", "route", "del", cidr)
        tenant.cloud.compute.delete_server(bert)
        left = {"network_id": net.id, "device_id": bert.id}
        eventually(lambda: not list(network.ports(**left)), "the server's port gone")
        tenant.unplug(home.router, subnet)
    eventually(lambda: not home.inside("pgrep", "-f", "^dhcpcd: "), "no client left")


def _prefix(network: Any, subnet: Any) -> str:
    cidr = str(network.get_subnet(subnet.id).cidr)
    return cidr if cidr.startswith(DELEGATED) else ""


def test_floating_ips_of_a_second_subnet_work_and_its_hosts_are_neighbours(home: Home) -> None:
    network = home.admin.cloud.network
    first = next(network.subnets(network_id=home.outside.id, ip_version=4))
    pool = {"subnet_pool_id": first.subnet_pool_id}
    before = network.get_router(home.router.id).external_gateway_info["external_fixed_ips"]
    second = home.admin.subnet(home.outside, SECOND, is_dhcp_enabled=False, **pool)
    home.rack.run("ip", "addr", "add", f"{RACK_SECOND}/24", "dev", "eth0")
    try:
        anna = home.tenant.vantage(home.anna)
        floating = home.floating_ip(subnet_id=second.id)
        assert floating.floating_ip_address.startswith("203.0.109.")
        eventually(lambda: home.rack.pings(floating.floating_ip_address), "its floating IP")
        assert home.rack.pings(floating.floating_ip_address, "-I", RACK)
        eventually(lambda: anna.pings(RACK_SECOND), "a neighbour by the second subnet")

        home.set_gateway([*before, {"subnet_id": second.id}])
        addresses = ("ip", "-4", "addr", "show")
        eventually(lambda: " 203.0.109." in home.inside(*addresses), "an address there")
        assert " 203.0.110." in home.inside(*addresses)
        eventually(lambda: anna.pings(RACK_SECOND), "it still is")
        assert home.rack.pings(floating.floating_ip_address)
        home.tenant.wait_router(home.router)
        home.tenant.cloud.network.delete_ip(floating)

        home.set_gateway(before)
        eventually(lambda: " 203.0.109." not in home.inside(*addresses), "no address there")
        network.delete_subnet(second)
        shown = ("ip", "-4", "route", "show", "dev", "eth1")
        eventually(lambda: "203.0.109.0" not in home.inside(*shown), "no route there")
        home.tenant.wait_router(home.router)
    finally:
        home.rack.run("ip", "addr", "del", f"{RACK_SECOND}/24", "dev", "eth0")


def test_a_policy_of_the_external_network_holds_for_who_has_none(home: Home) -> None:
    network = home.admin.cloud.network
    policy = network.create_qos_policy(name=f"{PREFIX}slow", is_shared=True)
    for direction, kbps in (("egress", 3000), ("ingress", 5000)):
        network.create_qos_bandwidth_limit_rule(
            policy, max_kbps=kbps, max_burst_kbps=kbps // 10, direction=direction
        )
    anna, floating = home.tenant.vantage(home.anna), home.floating_ip()
    eventually(lambda: home.rack.pings(floating.floating_ip_address), "the floating IP")
    assert _limited(home) == {}
    network.update_network(home.outside, qos_policy_id=policy.id)
    # The gateway's and the floating IP's, each of its own in either direction.
    eventually(lambda: sorted(_limited(home)) == ["3Mbit", "5Mbit"], "the network's limits")
    before = _limited(home)
    assert home.rack.pings(floating.floating_ip_address)
    assert anna.pings(RACK)
    after = _limited(home)
    assert all(after[rate] > before[rate] for rate in before), (before, after)
    network.update_network(home.outside, qos_policy_id=None)
    eventually(lambda: _limited(home) == {}, "no limits")
    home.tenant.cloud.network.delete_ip(floating)
    network.delete_qos_policy(policy)


def _limited(home: Home) -> dict[str, int]:
    """Return the packets that have passed a class, by its rate."""
    shown = json.loads(home.inside("tc", "-j", "qdisc", "show"))
    found: dict[str, int] = {}
    for device in (item["dev"] for item in shown if item["kind"] == "htb"):
        words = home.inside("tc", "-s", "class", "show", "dev", device).split()
        for at, word in enumerate(words):
            if word == "rate" and words[at + 2] == "ceil":
                sent = words.index("Sent", at)
                found[words[at + 1]] = found.get(words[at + 1], 0) + int(words[sent + 3])
    return found
