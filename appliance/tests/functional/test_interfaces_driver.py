"""Interfaces driver against the real kernel, through the agent."""

import json

import pytest

pytestmark = pytest.mark.functional

LINK_LOCAL = "fe80::f816:3eff:fe12:3456/64"


@pytest.fixture(scope="module")
def running(shared_appliance_host):
    shared_appliance_host.start_agent()
    return shared_appliance_host


@pytest.fixture
def host(running):
    yield running
    running.clear()


def link(host, device):
    return json.loads(host.execute("ip", "-j", "link", "show", "dev", device))[0]


def test_carrier_has_exactly_the_given_link_local_address(host):
    nic = host.plug("blue")
    addresses = ["192.168.0.1/24", "fd00:b::1/64", LINK_LOCAL]
    host.push(host.document([host.network("internal", nic, addresses, ["fd00:b::/64"])]))
    assert host.addresses(nic.device) == {*addresses, "fe80::a9fe:a9fe/128"}
    vm = host.segments["blue"].add_host("vm1", ["fd00:b::5/64"])
    assert vm.pings(f"{LINK_LOCAL[:-3]}%eth0")
    assert vm.pings("fd00:b::1")


def test_addresses_change_without_touching_those_that_stay(host):
    nic = host.plug("blue")
    vm = host.segments["blue"].add_host("vm1", ["192.168.0.10/24"])
    first = ["192.168.0.1/24", "192.168.0.2/24", "fd00:b::1/64"]
    host.push(host.document([host.network("internal", nic, first)]))
    ping = vm.popen("ping", "-n", "-i", "0.02", "192.168.0.2", stdout=-1, stderr=-1)
    # The first address of the subnet goes, the second one stays; a prefix length changes.
    second = ["192.168.0.2/24", "192.168.0.3/24", "fd00:b::1/48"]
    host.push(host.document([host.network("internal", nic, second)]))
    link_local = {a for a in host.addresses(nic.device) if a.startswith("fe80")}
    assert host.addresses(nic.device) - link_local == set(second)
    ping.send_signal(2)
    assert " 0% packet loss" in ping.communicate(timeout=10)[0]


def test_mtu_is_set_and_reported(host):
    nic = host.plug("blue", mtu=9000)
    network = host.network("internal", nic, ["192.168.0.1/24"], mtu=1442)
    host.push(host.document([network]))
    assert link(host, nic.device)["mtu"] == 1442
    shown = {item["lladdr"]: item for item in host.get("/v1/system/interfaces")["interfaces"]}
    assert shown[nic.mac]["mtu"] == 1442


def test_mtu_too_small_for_ipv6_is_refused_before_anything_changes(host):
    nic = host.plug("blue")
    bad = host.network("internal", nic, ["192.168.0.1/24", "fd00:b::1/64"], mtu=1000)
    number, answer = host.try_push(host.document([bad]))
    assert (number, answer["error"]["driver"]) == (500, "interfaces")
    assert "1280" in answer["error"]["reason"]
    assert link(host, nic.device)["mtu"] == 1500


def test_mtu_below_1280_and_back_keeps_carrier_rules(host):
    nic = host.plug("blue")
    host.push(host.document([host.network("internal", nic, ["192.168.0.1/24"], mtu=1000)]))
    wide = host.network("internal", nic, ["192.168.0.1/24", "fd00:b::1/64", LINK_LOCAL], mtu=1500)
    host.push(host.document([wide]))
    assert LINK_LOCAL in host.addresses(nic.device)
    assert len([a for a in host.addresses(nic.device) if a.startswith("fe80::f8")]) == 1


def test_nic_of_a_removed_network_goes_down_and_loses_its_addresses(host):
    nic = host.plug("blue")
    host.push(host.document([host.network("internal", nic, ["192.168.0.1/24", "fd00:b::1/64"])]))
    host.push(host.document())
    assert host.addresses(nic.device) == set()
    assert "UP" not in link(host, nic.device)["flags"]


def test_router_advertisements_are_ignored_and_forwarding_is_on(host):
    nic = host.plug("blue")
    host.push(host.document([host.network("internal", nic, ["192.168.0.1/24"])]))
    keys = {
        f"net.ipv6.conf.{nic.device}.accept_ra": "0",
        f"net.ipv6.conf.{nic.device}.accept_dad": "0",
        f"net.ipv6.conf.{host.management.device}.accept_ra": "0",
        f"net.ipv4.conf.{nic.device}.rp_filter": "1",
        "net.ipv4.ip_forward": "1",
        "net.ipv6.conf.all.forwarding": "1",
    }
    assert {key: host.execute("sysctl", "-n", key).strip() for key in keys} == keys


def test_two_networks_route_to_each_other(host):
    blue, red = host.plug("blue"), host.plug("red")
    vm1 = host.segments["blue"].add_host("vm1", ["192.168.0.10/24"], gateway="192.168.0.1")
    host.segments["red"].add_host("vm2", ["10.1.0.10/24"], gateway="10.1.0.1")
    networks = [
        host.network("internal", blue, ["192.168.0.1/24"], ["192.168.0.0/24"]),
        host.network("internal", red, ["10.1.0.1/24"], ["10.1.0.0/24"]),
    ]
    host.push(host.document(networks))
    assert vm1.pings("10.1.0.10")


def test_floating_ips_live_on_the_external_nic(host):
    ext, blue = host.plug("ext"), host.plug("blue")
    outside = host.segments["ext"].add_host("outside", ["203.0.113.1/24"])
    networks = [
        host.network("external", ext, ["203.0.113.9/24"], ["203.0.113.0/24"]),
        host.network("internal", blue, ["192.168.0.1/24"], ["192.168.0.0/24"]),
    ]
    floating = [{"floating_ip": "203.0.113.50", "fixed_ip": "192.168.0.10"}]
    host.push(host.document(networks, floating_ips=floating))
    assert "203.0.113.50/32" in host.addresses(ext.device)
    assert outside.succeeds("arping", "-c", "1", "-w", "2", "-I", "eth0", "203.0.113.50")
    host.push(host.document(networks))
    assert "203.0.113.50/32" not in host.addresses(ext.device)


def test_neighbours_learn_a_taken_over_address(host, eventually):
    nic = host.plug("blue")
    blue = host.segments["blue"]
    addresses = ["192.168.0.1/24", "fd00:b::1/64"]
    old = blue.add_host("old", addresses)
    vm = blue.add_host("vm1", ["192.168.0.10/24", "fd00:b::10/64"])
    assert vm.pings("192.168.0.1")
    assert vm.pings("fd00:b::1")
    old.run("ip", "link", "set", "eth0", "down")
    host.push(host.document([host.network("internal", nic, addresses)]))

    def known():
        return {
            item["dst"]: item.get("lladdr") for item in json.loads(vm.run("ip", "-j", "neigh"))
        }

    # A little later, not at once: a switch port that has just come up may drop the first frame.
    eventually(lambda: known()["192.168.0.1"] == nic.mac, what="ARP")
    eventually(lambda: known()["fd00:b::1"] == nic.mac, what="neighbour advertisement")


def test_connections_of_a_removed_address_are_forgotten(host):
    nic = host.plug("blue")
    vm = host.segments["blue"].add_host("vm1", ["192.168.0.10/24"], gateway="192.168.0.1")
    both = host.network("internal", nic, ["192.168.0.1/24", "192.168.0.2/24"])
    host.push(host.document([both]))
    # Connection tracking runs only where some rule asks for it.
    rule = "add table ip probe; add chain ip probe c { type filter hook input priority 9 ; };"
    host.execute("nft", rule + " add rule ip probe c ct state new counter")
    assert vm.pings("192.168.0.2")
    assert "192.168.0.2" in host.execute("conntrack", "-L")
    host.push(host.document([host.network("internal", nic, ["192.168.0.1/24"])]))
    assert "192.168.0.2" not in host.execute("conntrack", "-L")
    host.execute("nft", "delete", "table", "ip", "probe")
