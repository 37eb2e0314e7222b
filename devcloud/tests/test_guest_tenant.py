"""A tenant VM against a real router: leases, routes, name servers, SLAAC, DHCPv6, metadata."""

import contextlib
import json
import pathlib
import secrets
import subprocess
import sys
import time
import uuid as uuids
from collections.abc import Callable, Iterator

import pytest

from astara_devcloud.hypervisor import commands, enter, lifecycle, namespace
from astara_devcloud.hypervisor import store as servers

pytestmark = pytest.mark.functional

DHCP4 = """
port=0
no-ping
bind-dynamic
leasefile-ro
dhcp-authoritative
enable-ra
dhcp-range=10.7.0.10,10.7.0.20,1h
dhcp-option=option:router,10.7.0.254
dhcp-option=option:classless-static-route,169.254.169.254/32,10.7.0.1,0.0.0.0/0,10.7.0.1
dhcp-option=option:dns-server,10.7.0.1
dhcp-option=option:mtu,1340
dhcp-option=option6:dns-server,[2001:db8:7::1]
"""
METADATA = """
import http.server, json
class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"uuid": "11111111-aaaa", "name": "vm"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("169.254.169.254", 80), Metadata).serve_forever()
"""


class Lab:
    """A router in a namespace of its own and a tenant VM on its other end."""

    def __init__(self, path: pathlib.Path, undo: contextlib.ExitStack) -> None:
        self.path = path
        self.undo = undo
        self.store = servers.Store(path / "instances")
        self.uuid = str(uuids.uuid4())
        self.router = f"lab-{secrets.token_hex(4)}"
        self.nics: list[servers.Nic] = []
        commands.run(["ip", "netns", "add", self.router])
        undo.callback(commands.run, ["ip", "netns", "del", self.router])
        self.in_router("ip", "link", "set", "lo", "up")
        self.in_router("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
        self.in_router("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        self.store.create(servers.Server(self.uuid, "instance-1", "vm", "vm-host", "tenant"))
        undo.callback(self.clear)

    def in_router(self, *argv: str) -> str:
        return commands.run(["ip", "netns", "exec", self.router, *argv])

    def serve(self, *argv: str) -> None:
        command = ["ip", "netns", "exec", self.router, *argv]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.undo.callback(process.wait, 10)
        self.undo.callback(process.kill)

    def wire(self, number: int, *addresses: str) -> servers.Nic:
        """Make a NIC whose other end is in the router, with these addresses."""
        token = secrets.token_hex(4)
        mac = f"fa:16:3e:00:00:0{number}"
        nic = servers.Nic(f"tap{token}", f"eth{number}", mac, 1400, "br-int", token)
        pair = ["type", "veth", "peer", "name", nic.parked, "address", mac, "mtu", "1400"]
        commands.run(["ip", "link", "add", nic.tap, "mtu", "1400", *pair])
        commands.run(["ip", "link", "set", nic.tap, "netns", self.router])
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            self.in_router("ip", "address", "add", address, "dev", nic.tap, *nodad)
        self.in_router("ip", "link", "set", nic.tap, "up")
        self.nics.append(nic)
        self.store.save_nics(self.uuid, self.nics)
        return nic

    def dnsmasq(self, *lines: str) -> None:
        config = self.path / "dnsmasq.conf"
        config.write_text("\n".join((DHCP4, *lines)))
        self.serve("dnsmasq", "--keep-in-foreground", f"--conf-file={config}", "--user=root")

    def boot(self) -> None:
        lifecycle.start(self.store, self.uuid, [])

    def inside(self, command: str) -> str:
        return enter.enter(self.uuid, ["sh", "-c", command], 20, self.store).stdout

    def console(self) -> str:
        return self.store.console(self.uuid).decode()

    def until(self, truth: Callable[[], bool], within_s: float = 30.0) -> None:
        deadline = time.monotonic() + within_s
        while not truth():
            assert time.monotonic() < deadline, self.console()
            time.sleep(0.1)

    def says(self, text: str) -> None:
        self.until(lambda: text in self.console())

    def clear(self) -> None:
        lifecycle.stop(self.store, self.uuid, grace_s=0)
        for nic in self.nics:
            commands.run(["ip", "link", "del", nic.parked], check=False)
        self.store.delete(self.uuid)
        assert enter.wait_gone(self.uuid, 10, self.store) == []


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> Iterator[Lab]:
    with contextlib.ExitStack() as undo:
        yield Lab(tmp_path, undo)


def test_it_takes_what_the_router_offers(lab: Lab) -> None:
    lab.wire(0, "10.7.0.1/24", "2001:db8:7::1/64")
    lab.dnsmasq("dhcp-range=2001:db8:7::,ra-stateless,64")
    lab.serve(sys.executable, "-c", METADATA)
    lab.boot()
    lab.says("metadata: instance 11111111-aaaa")
    lab.says("dhcpv6 no address, dns 2001:db8:7::1")
    lab.until(lambda: "f816:3eff:fe00:0" in lab.inside("ip -6 address show scope global"))
    routes = lab.inside("ip -4 route").splitlines()
    assert "default via 10.7.0.1 dev eth0 proto dhcp onlink" in [r.strip() for r in routes]
    assert any(r.startswith("169.254.169.254 via 10.7.0.1") for r in routes)
    assert "10.7.0.254" not in "".join(routes)  # RFC 3442
    assert "default via fe80::" in lab.inside("ip -6 route")
    assert lab.inside("cat /sys/class/net/eth0/mtu").strip() == "1340"
    servers_named = lab.inside("cat /etc/resolv.conf").splitlines()
    assert servers_named == ["nameserver 10.7.0.1", "nameserver 2001:db8:7::1"]


def test_it_asks_for_an_address_where_the_router_manages_them(lab: Lab) -> None:
    lab.wire(0, "10.7.0.1/24", "2001:db8:7::1/64")
    lab.dnsmasq("dhcp-range=2001:db8:7::10,2001:db8:7::20,64,1h")
    lab.boot()
    lab.says("router advertisement, managed Yes")
    lab.says("dhcpv6 2001:db8:7::")
    lab.until(lambda: "2001:db8:7::" in lab.inside("ip -6 address show scope global"))
    assert "f816:3eff" not in lab.inside("ip -6 address show scope global")


def test_nics_may_come_and_go(lab: Lab) -> None:
    lab.wire(0, "10.7.0.1/24")
    lab.dnsmasq("dhcp-range=10.8.0.10,10.8.0.20,1h")
    lab.boot()
    lab.says("eth0: lease 10.7.0.")
    late = lab.wire(1, "10.8.0.1/24")
    namespace.move_in(lab.uuid, [late])
    lab.says("eth1: lease 10.8.0.")
    lab.in_router("ip", "link", "del", late.tap)
    lab.says("eth1: gone")
    clients = lab.inside("pgrep -af udhcpc")
    assert "eth0" in clients
    assert "eth1" not in clients


def test_it_answers_over_both_address_families(lab: Lab) -> None:
    nic = lab.wire(0, "10.7.0.1/24", "2001:db8:7::1/64")
    lab.dnsmasq("dhcp-range=2001:db8:7::,slaac")
    lab.boot()
    lab.says("eth0: lease 10.7.0.")
    lab.until(lambda: "tentative" not in lab.inside("ip address show dev eth0"))
    lab.until(lambda: "2001:db8:7" in lab.inside("ip -6 address show scope global"))
    addresses = json.loads(lab.inside("ip -j address show scope global dev eth0"))
    for info in filter(None, addresses[0]["addr_info"]):
        answer = json.loads(ask(lab, info["local"]))
        assert answer["hostname"] == "vm-host"
        assert answer["peer"] in {"10.7.0.1", "2001:db8:7::1"}
        assert answer["address"] == info["local"]
    assert nic.mac in lab.console()


def ask(lab: Lab, address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return lab.in_router("curl", "-sS", "--max-time", "10", f"http://{host}/")
