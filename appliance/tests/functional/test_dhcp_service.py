"""Leases, options, router advertisements and names, as real clients get them from the appliance.

blue  192.168.0.0/24 + 2001:db8:0:b::/64  DHCP, SLAAC, the appliance is the gateway, MTU 1450
red   192.168.1.0/24 + 2001:db8:0:d::/64  no DHCPv4, DHCPv6 stateful, gateway is another
"""

import contextlib
import json
import pathlib
import socket
import struct
import subprocess
import tempfile
import time

import pytest

pytestmark = pytest.mark.functional

ROUTER_LLA = "fe80::1"  # sorts before, so is older than, the metadata address fe80::a9fe:a9fe
BLUE_V6, RED_V6 = "2001:db8:0:b::", "2001:db8:0:d::"


class Cloud:
    """The picture above, and a name server outside."""

    def __init__(self, host):
        self.host = host
        self.nics = {name: host.plug(name) for name in ("blue", "red", "ext")}
        blue, red, ext = (self.nics[name].segment for name in ("blue", "red", "ext"))
        self.vm1, self.vm2 = blue.add_host("vm1"), blue.add_host("vm2")
        self.vm3 = red.add_host("vm3")
        self.outside = ext.add_host("outside", ["203.0.113.1/24"])
        for vm in (self.vm1, self.vm2, self.vm3):
            # Take what is advertised at once, and no other.
            vm.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
        host.start_agent()

    def allocation(self, vm, name, addresses, **keys):
        return {
            "mac_address": vm.mac,
            "ip_addresses": dict.fromkeys(addresses, True),
            "hostname": name,
            "device_id": name,
        } | keys

    def document(self, blue=None, red=None, **keys):
        network, nics = self.host.network, self.nics
        blue_v4 = {
            "cidr": "192.168.0.0/24",
            "gateway_ip": "192.168.0.1",
            "dhcp_enabled": True,
            "host_routes": [{"destination": "10.7.0.0/16", "nexthop": "192.168.0.77"}],
        }
        blue_v6 = {
            "cidr": f"{BLUE_V6}/64",
            "gateway_ip": f"{BLUE_V6}1",
            "ipv6_ra_mode": "slaac",
            "ipv6_address_mode": "slaac",
        }
        red_v4 = {"cidr": "192.168.1.0/24", "gateway_ip": "192.168.1.1"}
        red_v6 = {
            "cidr": f"{RED_V6}/64",
            "gateway_ip": f"{RED_V6}99",
            "dhcp_enabled": True,
            "ipv6_ra_mode": "dhcpv6-stateful",
            "ipv6_address_mode": "dhcpv6-stateful",
            "dns_nameservers": ["2001:db8:ffff::53"],
        }
        blue, red = blue or {}, red or {}
        allocations = [
            self.allocation(self.vm1, "one", ["192.168.0.11", f"{BLUE_V6}11"]),
            self.allocation(self.vm2, "two", ["192.168.0.12"]),
        ]
        networks = [
            network("external", nics["ext"], ["203.0.113.2/24"], ["203.0.113.0/24"]),
            network(
                "internal",
                nics["blue"],
                ["192.168.0.1/24", f"{BLUE_V6}1/64", f"{ROUTER_LLA}/64"],
                [blue_v4 | blue.get("v4", {}), blue_v6 | blue.get("v6", {})],
                mtu=1450,
                allocations=blue.get("allocations", allocations),
            ),
            network(
                "internal",
                nics["red"],
                ["192.168.1.1/24", f"{RED_V6}1/64", "fe80::d/64"],
                [red_v4 | red.get("v4", {}), red_v6 | red.get("v6", {})],
                allocations=[self.allocation(self.vm3, "three", ["192.168.1.13", f"{RED_V6}13"])],
            ),
        ]
        return (
            self.host.document(
                networks, dns_domain="cloud.example.", dns_forwarders=["203.0.113.1"]
            )
            | keys
        )

    def push(self, *parts, **keys):
        self.host.push(self.document(*parts, **keys))

    def leases(self):
        return (self.host.root / "var/lib/astara/dnsmasq.leases").read_text()

    def dnsmasq_pid(self):
        return (self.host.root / "run/astara/dnsmasq.pid").read_text().split()[0]


@pytest.fixture(scope="module")
def cloud(shared_appliance_host):
    return Cloud(shared_appliance_host)


@pytest.fixture
def udhcpc(tmp_path):
    """A function that asks for a lease and returns what came with it, None if nobody answered."""
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n[ $1 = bound ] && env > {tmp_path}/lease\nexit 0\n")
    script.chmod(0o755)

    def ask(machine, *options, tries=5):
        (tmp_path / "lease").unlink(missing_ok=True)
        wanted = [word for number in (26, 121, 249, *options) for word in ("-O", str(number))]
        machine.run(
            "udhcpc", "-n", "-q", "-f", "-i", "eth0", "-s", str(script), "-t", str(tries),
            "-T", "1", "-A", "1", *wanted, check=False,
        )  # fmt: skip
        if not (tmp_path / "lease").exists():
            return None
        lines = (tmp_path / "lease").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    return ask


class Advertisement:
    """What a router said when it was asked (RFC 4861, 8106)."""

    def __init__(self, data, source):
        self.source = source
        _, flags, self.lifetime = struct.unpack_from("!BBH", data, 4)
        self.managed, self.other = bool(flags & 0x80), bool(flags & 0x40)
        self.prefixes, self.servers, self.mtu = {}, [], None
        rest = data[16:]
        while rest:
            kind, length = rest[0], rest[1] * 8
            self._take(kind, rest[:length])
            rest = rest[length:]

    def _take(self, kind, option):
        if kind == 3:
            prefix = socket.inet_ntop(socket.AF_INET6, option[16:32])
            self.prefixes[prefix] = "A" if option[3] & 0x40 else ""
        elif kind == 5:
            self.mtu = int.from_bytes(option[4:8], "big")
        elif kind == 25:
            self.servers = [
                socket.inet_ntop(socket.AF_INET6, option[at : at + 16])
                for at in range(8, len(option), 16)
            ]


def solicit(machine, timeout_s=5.0):
    """Ask for an advertisement; None if there is none."""
    index = int(machine.run("cat", "/sys/class/net/eth0/ifindex"))
    with machine.inside(
        lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    ) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            raw.settimeout(0.5)
            with contextlib.suppress(OSError):  # no answer yet, or no address to ask from yet
                raw.sendto(struct.pack("!BBHI", 133, 0, 0, 0), ("ff02::2", 0, 0, index))
                while True:
                    data, peer = raw.recvfrom(2048)
                    if data[0] == 134:
                        return Advertisement(data, peer[0].partition("%")[0])
            time.sleep(0.05)
    return None


def look_up(machine, name, kind="A", server="192.168.0.1", source=None):
    bind = ["-b", source] if source else []
    answer = machine.run(
        "dig", "+short", "+time=1", "+tries=2", *bind, f"@{server}", name, kind, check=False
    )
    return sorted(line for line in answer.split("\n") if line and not line.startswith(";"))


def configure(machine, lease):
    machine.run("ip", "addr", "flush", "dev", "eth0", "scope", "global")
    machine.run("ip", "addr", "add", f"{lease['ip']}/24", "dev", "eth0")


@contextlib.contextmanager
def address(machine, text):
    machine.run("ip", "addr", "add", text, "dev", "eth0")
    try:
        yield
    finally:
        machine.run("ip", "addr", "del", text, "dev", "eth0")


def test_lease_tells_all_of_the_network(cloud, udhcpc):
    cloud.push()
    lease = udhcpc(cloud.vm1)
    assert lease["ip"] == "192.168.0.11"
    assert lease["subnet"] == "255.255.255.0"
    assert lease["router"] == "192.168.0.1"
    assert lease["dns"] == "192.168.0.1"
    assert lease["mtu"] == "1450"
    assert lease["domain"] == "cloud.example"
    assert lease["lease"] == "86400"
    assert lease["staticroutes"].split() == [
        "0.0.0.0/0", "192.168.0.1", "169.254.169.254/32", "192.168.0.1",
        "10.7.0.0/16", "192.168.0.77",
    ]  # fmt: skip
    assert lease["hostname"] == "one"
    assert udhcpc(cloud.vm2)["ip"] == "192.168.0.12"


def test_name_servers_and_gateway_are_the_subnets_own(cloud, udhcpc):
    cloud.push(
        {"v4": {"dns_nameservers": ["192.0.2.53", "192.0.2.54"], "gateway_ip": "192.168.0.254"}}
    )
    lease = udhcpc(cloud.vm1)
    assert lease["dns"] == "192.0.2.53 192.0.2.54"
    assert lease["router"] == "192.168.0.254"
    # Metadata is ours, whoever is the gateway.
    routes = lease["staticroutes"].split()
    assert routes[:4] == ["0.0.0.0/0", "192.168.0.254", "169.254.169.254/32", "192.168.0.1"]
    cloud.push({"v4": {"dns_nameservers": ["0.0.0.0"], "gateway_ip": ""}})
    lease = udhcpc(cloud.vm1)
    assert "dns" not in lease
    assert "router" not in lease
    assert lease["staticroutes"].split()[:2] == ["169.254.169.254/32", "192.168.0.1"]


def test_port_options_override_and_cannot_break_out(cloud, udhcpc):
    cloud.push()
    udhcpc(cloud.vm1)
    extra = [
        {"name": "mtu", "value": "1300"},
        {"name": "bootfile-name", "value": "http://boot.example/x?a=b,c"},
        {"name": "150", "value": "192.0.2.1"},
        {"name": "tftp-server", "value": "x#y"},
        {"name": "router", "value": "not-an-address"},
        {"name": "no-such-option", "value": "1"},
        {"name": "54", "value": "192.0.2.66"},
        {"name": "option6:dns-server", "value": "[::1]", "ip_version": 6},
    ]
    one = cloud.allocation(cloud.vm1, "one", ["192.168.0.11"], extra_dhcp_opts=extra)
    two = cloud.allocation(cloud.vm2, "two", ["192.168.0.12"])
    cloud.push({"allocations": [one, two]})
    lease = udhcpc(cloud.vm1, 67, 66, 150)
    assert lease["mtu"] == "1300"
    assert lease["bootfile"] == "http://boot.example/x?a=b,c"
    assert "tftp" not in lease
    assert lease["router"] == "192.168.0.1"
    assert lease["serverid"] == "192.168.0.1"
    assert udhcpc(cloud.vm2)["mtu"] == "1450"
    before = cloud.dnsmasq_pid()
    one = dict(one, extra_dhcp_opts=[{"name": "mtu", "value": "1310"}])
    cloud.push({"allocations": [one, two]})
    assert udhcpc(cloud.vm1)["mtu"] == "1310"
    assert cloud.dnsmasq_pid() == before


def test_subnet_without_dhcp_and_strangers_get_nothing(cloud, udhcpc):
    cloud.push()
    assert udhcpc(cloud.vm3, tries=2) is None
    cloud.push({"allocations": [cloud.allocation(cloud.vm2, "two", ["192.168.0.12"])]})
    assert udhcpc(cloud.vm1, tries=2) is None
    assert udhcpc(cloud.vm2)["ip"] == "192.168.0.12"


def test_changed_reservation_is_served_without_a_restart(cloud, udhcpc):
    cloud.push()
    assert udhcpc(cloud.vm1)["ip"] == "192.168.0.11"
    before = cloud.dnsmasq_pid()
    moved = cloud.allocation(cloud.vm1, "one", ["192.168.0.31"])
    cloud.push({"allocations": [moved]})
    assert udhcpc(cloud.vm1)["ip"] == "192.168.0.31"
    assert cloud.dnsmasq_pid() == before


def test_address_of_a_deleted_port_goes_to_its_next_owner(cloud, udhcpc):
    """dnsmasq would hold it back for the old MAC until its lease ends."""
    cloud.push()
    assert udhcpc(cloud.vm1)["ip"] == "192.168.0.11"
    before = cloud.dnsmasq_pid()
    cloud.push({"allocations": [cloud.allocation(cloud.vm2, "two", ["192.168.0.11"])]})
    assert udhcpc(cloud.vm2)["ip"] == "192.168.0.11"
    assert cloud.vm1.mac not in cloud.leases()
    cloud.push({"allocations": []})
    assert cloud.vm2.mac not in cloud.leases()
    assert cloud.dnsmasq_pid() == before


def test_stateful_lease_of_a_deleted_port_ends(cloud):
    cloud.push()
    dhclient6(cloud.vm3)
    assert f"{RED_V6}13" in cloud.leases()
    before = cloud.dnsmasq_pid()
    document = cloud.document()
    document["networks"][3]["allocations"] = []
    cloud.host.push(document)
    assert f"{RED_V6}13" not in cloud.leases()
    assert cloud.dnsmasq_pid() == before


def test_second_subnet_of_a_network_is_served(cloud, udhcpc):
    document = cloud.document()
    blue = document["networks"][2]
    blue["subnets"].append(
        {"cidr": "192.168.9.0/24", "gateway_ip": "192.168.9.1", "dhcp_enabled": True}
    )
    blue["interface"]["addresses"].append("192.168.9.1/24")
    blue["allocations"] = [cloud.allocation(cloud.vm1, "one", ["192.168.9.11"])]
    cloud.host.push(document)
    lease = udhcpc(cloud.vm1)
    assert lease["ip"] == "192.168.9.11"
    assert lease["router"] == "192.168.9.1"
    assert "192.168.0.0/24 0.0.0.0" in lease["staticroutes"]


def test_slaac_network_is_advertised(cloud):
    cloud.push()
    said = solicit(cloud.vm1)
    assert said.source == ROUTER_LLA
    assert said.prefixes == {BLUE_V6: "A"}
    assert said.lifetime > 0
    assert said.mtu == 1450
    assert said.servers == [f"{BLUE_V6}1"]
    assert (said.managed, said.other) == (False, False)
    interface = cloud.vm1.run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "global")
    assert f" {BLUE_V6.rstrip(':')}:" in interface
    assert cloud.vm1.pings(f"{BLUE_V6}1")
    assert f"via {ROUTER_LLA}" in cloud.vm1.run("ip", "-6", "route", "show", "default")


def test_stateful_network_is_advertised_without_a_default_router(cloud):
    """Its gateway is somebody else."""
    cloud.push()
    said = solicit(cloud.vm3)
    assert said.source == "fe80::d"
    assert said.prefixes == {RED_V6: ""}
    assert (said.managed, said.lifetime) == (True, 0)
    assert said.servers == ["2001:db8:ffff::53"]


def test_stateless_network_has_addresses_by_slaac_and_the_rest_by_dhcp(cloud):
    mode = dict.fromkeys(("ipv6_ra_mode", "ipv6_address_mode"), "dhcpv6-stateless")
    cloud.push({"v6": mode | {"dhcp_enabled": True}})
    said = solicit(cloud.vm1)
    assert said.prefixes == {BLUE_V6: "A"}
    assert (said.managed, said.other) == (False, True)
    options = dhclient6(cloud.vm1, "-S")
    assert options["new_dhcp6_name_servers"] == f"{BLUE_V6}1"
    assert options["new_dhcp6_domain_search"] == "cloud.example."


@pytest.mark.parametrize("mode", [None, "dhcpv6-stateful"], ids=["static", "dhcp-only"])
def test_network_that_another_router_advertises_hears_none_of_ours(cloud, mode):
    cloud.push(
        {"v6": {"ipv6_ra_mode": None, "ipv6_address_mode": mode, "dhcp_enabled": bool(mode)}}
    )
    assert solicit(cloud.vm1, timeout_s=1.2) is None


def test_stateful_address_is_the_reserved_one(cloud):
    cloud.push()
    leased = dhclient6(cloud.vm3)
    assert leased["new_ip6_address"] == f"{RED_V6}13"
    assert leased["new_dhcp6_name_servers"] == "2001:db8:ffff::53"


def dhclient6(machine, *options):
    """Run a DHCPv6 client and return what it handed to its script."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        script, said = directory / "script", directory / "said"
        script.write_text(f"#!/bin/sh\nenv | grep ^new_ >> {said}\nexit 0\n")
        script.chmod(0o755)
        files = ("-lf", f"{name}/leases", "-pf", f"{name}/pid", "-sf", str(script))
        with machine.popen(
            "dhclient", "-6", "-1", "-d", *options, *files, "eth0",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as client:  # fmt: skip
            try:
                deadline = time.monotonic() + 15
                while not (said.exists() and "new_dhcp6" in said.read_text()):
                    assert time.monotonic() < deadline, "no DHCPv6 answer"
                    time.sleep(0.05)
                return dict(line.split("=", 1) for line in said.read_text().splitlines())
            finally:
                for pid in children(client.pid):
                    subprocess.run(["kill", "-9", str(pid)], check=False)
                client.kill()


def children(pid):
    with contextlib.suppress(OSError):
        for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from children(int(child))
            yield int(child)


def test_names_inside_are_known_by_both_families(cloud):
    cloud.push()
    with address(cloud.vm2, "192.168.0.12/24"):
        assert look_up(cloud.vm2, "one.cloud.example") == ["192.168.0.11"]
        assert look_up(cloud.vm2, "one.cloud.example", "AAAA") == [f"{BLUE_V6}11"]
        assert look_up(cloud.vm2, "one") == ["192.168.0.11"]
        assert look_up(cloud.vm2, "three.cloud.example", "AAAA") == [f"{RED_V6}13"]
        found = cloud.vm2.run("dig", "+short", "@192.168.0.1", "-x", "192.168.0.11")
        assert found == "one.cloud.example.\n"
        cloud.push({"allocations": [cloud.allocation(cloud.vm1, "uno", ["192.168.0.11"])]})
        assert look_up(cloud.vm2, "uno") == ["192.168.0.11"]
        assert look_up(cloud.vm2, "one") == []


def test_names_outside_are_asked_for_at_the_forwarders(cloud):
    cloud.push()
    server = (
        "dnsmasq", "-k", "-C", "/dev/null", "--no-hosts", "--no-resolv", "--pid-file=",
        "--address=/world.example/198.51.100.7",
    )  # fmt: skip
    with address(cloud.vm2, "192.168.0.12/24"), cloud.outside.popen(*server) as outside:
        try:
            deadline = time.monotonic() + 10
            while look_up(cloud.vm2, "www.world.example") != ["198.51.100.7"]:
                assert time.monotonic() < deadline
        finally:
            for pid in children(outside.pid):
                subprocess.run(["kill", "-9", str(pid)], check=False)
            outside.kill()


def test_long_answers_come_by_tcp_and_by_edns(cloud):
    """What is over 512 bytes: truncated over plain UDP, whole by TCP and by EDNS (RFC 6891)."""
    cloud.push()
    words = [f"{at}{'x' * 60}" for at in range(20)]
    server = (
        "dnsmasq", "-k", "-C", "/dev/null", "--no-hosts", "--no-resolv", "--pid-file=",
        "--edns-packet-max=4096",
        *(f"--txt-record=long.world.example,{word}" for word in words[:15]),
    )  # fmt: skip

    def ask(*options):
        query = (
            "dig",
            "+tries=1",
            "+time=2",
            *options,
            "@192.168.0.1",
            "long.world.example",
            "TXT",
        )
        return cloud.vm2.run(*query, check=False)

    def whole(answer):
        return all(f'"{word}"' in answer for word in words[:15])

    with address(cloud.vm2, "192.168.0.12/24"), cloud.outside.popen(*server) as outside:
        try:
            deadline = time.monotonic() + 10
            while not whole(ask("+tcp")):
                assert time.monotonic() < deadline
            assert whole(ask("+notcp", "+bufsize=1232"))
            cut = ask("+notcp", "+noedns", "+ignore")
            assert "flags: qr" in cut
            assert " tc" in cut
            assert not whole(cut)
        finally:
            for pid in children(outside.pid):
                subprocess.run(["kill", "-9", str(pid)], check=False)
            outside.kill()


def test_agent_restart_and_repeated_push_leave_dnsmasq_alone(cloud):
    cloud.push()
    before = cloud.dnsmasq_pid()
    cloud.host.restart_agent()
    cloud.push()
    assert cloud.dnsmasq_pid() == before
    cloud.host.execute("kill", "-9", cloud.dnsmasq_pid(), check=False)
    cloud.push()
    assert cloud.dnsmasq_pid() != before


def test_hostile_words_are_refused_or_harmless(cloud):
    before = json.dumps(sorted(tree(cloud).items()))
    for hostile in ("a\ndhcp-script=/bin/sh", "x,192.168.0.1", 'a"b', "a b"):
        one = cloud.allocation(cloud.vm1, hostile, ["192.168.0.11"])
        status, _ = cloud.host.try_push(cloud.document({"allocations": [one]}))
        assert status == 400
    assert json.dumps(sorted(tree(cloud).items())) == before


def tree(cloud):
    return {
        str(path): path.read_text()
        for path in (cloud.host.root / "run/astara/dnsmasq").iterdir()
        if path.name != "loaded.json"
    }


def test_thousands_of_hosts_are_served(cloud, udhcpc, record_property):
    many = [
        {
            "mac_address": f"fa:16:00:00:{at // 250:02x}:{at % 250:02x}",
            "ip_addresses": {f"10.20.{at // 250}.{at % 250 + 1}": True},
            "hostname": f"host-{at}",
            "device_id": f"id-{at}",
        }
        for at in range(5000)
    ]
    many.append(cloud.allocation(cloud.vm1, "last", ["10.20.200.1"]))
    document = cloud.document({"v4": {"cidr": "10.20.0.0/16", "gateway_ip": "10.20.0.254"}})
    blue = document["networks"][2]
    blue["interface"]["addresses"][0] = "10.20.255.254/16"
    blue["subnets"][0]["host_routes"] = []
    blue["allocations"] = many[:-1]
    cloud.host.push(document)
    before = cloud.dnsmasq_pid()
    blue["allocations"] = many
    started = time.monotonic()
    cloud.host.push(document)
    record_property("push_one_more_of_5000_s", time.monotonic() - started)
    assert udhcpc(cloud.vm1)["ip"] == "10.20.200.1"
    assert cloud.dnsmasq_pid() == before
    with address(cloud.vm1, "10.20.200.1/16"):
        assert renews(cloud.vm1, "10.20.200.1", "10.20.255.254")
    running = shards(cloud)
    assert len(running) == 4
    # The lease is given back to its shard, through the firewall, without a restart.
    blue["allocations"] = many[:-1]
    cloud.host.push(document)
    state = cloud.host.root / "var/lib/astara"
    assert not any(cloud.vm1.mac in path.read_text() for path in state.glob("dnsmasq*.leases"))
    assert shards(cloud) == running
    cloud.push()
    assert shards(cloud) == {}
    assert udhcpc(cloud.vm1)["ip"] == "192.168.0.11"


def shards(cloud):
    """Return the pid files of those that share many hosts."""
    paths = (cloud.host.root / "run/astara").glob("dnsmasq-*of*.pid")
    return {path.name: path.read_text() for path in paths}


def renews(machine, own, server):
    """Tell whether the server acknowledges a renewal addressed to it alone."""
    hardware = bytes.fromhex(machine.mac.replace(":", ""))
    question = struct.pack(
        "!4BI2H4s12x16s192x4s3sB", 1, 1, 6, 0, 7, 0, 0, socket.inet_aton(own), hardware,
        b"\x63\x82\x53\x63", b"\x35\x01\x03", 255,
    )  # fmt: skip
    with machine.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as link:
        link.bind((own, 68))
        link.settimeout(5)
        link.sendto(question, (server, 67))
        return b"\x35\x01\x05" in link.recv(2048)
