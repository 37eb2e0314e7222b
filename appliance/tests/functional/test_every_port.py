"""Every port of every address of the appliance, from a tenant, another tenant and the world.

TCP: SYNs are written to raw sockets, so that 65,535 ports take a second or two; what answers with
a SYN and an ACK is open. UDP: what answers nothing may listen all the same, so the appliance's
kernel is asked how many datagrams came as far as a socket, or would have, had there been one. Only
DNS and DHCP take anything from tenants, nothing from the world.
"""

import contextlib
import select
import socket
import struct
import time

import pytest

pytestmark = pytest.mark.functional

OUTSIDE, GATEWAY, GATEWAY_V6 = "203.0.113.1", "203.0.113.2", "2001:db8:0:e::2"
MANAGEMENT = "fdca:3ba5:a17a:acda::2"
SETTLE_S = 1.0  # how long an answer that must not come is waited for
SOURCE_PORT = 61000
SO_RCVBUFFORCE = 33  # socket(7); Python has no name for it
DNS = {53}


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn(port, pseudo):
    plain = struct.pack("!HHIIBBHHH", SOURCE_PORT, port, port, 0, 5 << 4, 2, 8192, 0, 0)
    if pseudo is None:  # the kernel fills it in
        return plain
    return plain[:16] + struct.pack("!H", checksum(pseudo + plain)) + plain[18:]


def pseudo_header(source, target):
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    return ends + struct.pack("!BBH", 0, socket.IPPROTO_TCP, 20)


class Scan:
    """All TCP ports of one address."""

    def __init__(self, machine, target):
        self.target = target
        self.v6 = ":" in target
        self.open = set()
        family = socket.AF_INET6 if self.v6 else socket.AF_INET
        self.to = machine.inside(
            lambda: socket.getaddrinfo(target, 0, family, socket.SOCK_DGRAM)[0][4]
        )
        self.raw = machine.inside(
            lambda: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
        )
        self.raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 * 2**20)
        self.pseudo = None
        if self.v6:
            self.raw.setsockopt(socket.IPPROTO_IPV6, 7, 16)  # IPV6_CHECKSUM
        else:
            with machine.inside(lambda: socket.socket(family, socket.SOCK_DGRAM)) as probe:
                probe.connect((target, 9))
                self.pseudo = pseudo_header(probe.getsockname()[0], target)

    def run(self):
        """Return the open ports."""
        with contextlib.closing(self.raw):
            for port in range(1, 65536):
                try:
                    self._send(port)
                except OSError as error:
                    if "nreachable" in str(error):
                        return set()  # no way to it at all
                    raise
                if port % 256 == 0:
                    self._read(0)
            deadline = time.monotonic() + SETTLE_S
            while (left := deadline - time.monotonic()) > 0:
                self._read(left)
        return self.open

    def _send(self, port):
        packet = syn(port, self.pseudo)
        while True:
            try:
                self.raw.sendto(packet, (self.to[0], 0, *self.to[2:]))
                return
            except BlockingIOError:
                self._read(0.01)

    def _read(self, timeout_s):
        while select.select([self.raw], [], [], timeout_s)[0]:
            segment = self.raw.recv(2048)
            if not self.v6:
                segment = segment[4 * (segment[0] & 15) :]
            source, to = struct.unpack("!HH", segment[:4])
            if to == SOURCE_PORT and segment[13] & 0x12 == 0x12:
                self.open.add(source)
            timeout_s = 0


@pytest.fixture(scope="module")
def world(shared_appliance_host):
    """An appliance with an external and two tenants' networks, and a machine on each."""
    host = shared_appliance_host
    nics = {name: host.plug(name) for name in ("ext", "blue", "red")}
    add = {name: nic.segment.add_host for name, nic in nics.items()}
    machines = {
        "outside": add["ext"]("outside", [f"{OUTSIDE}/24", "2001:db8:0:e::1/64"]),
        "blue": add["blue"]("vm1", ["192.168.0.11/24"], gateway="192.168.0.1"),
        "red": add["red"]("vm3", ["192.168.1.13/24"], gateway="192.168.1.1"),
    }
    outside = machines["outside"]
    outside.run("ip", "route", "add", "192.168.0.0/16", "via", GATEWAY)
    outside.run("ip", "route", "add", "2001:db8::/56", "via", GATEWAY_V6)
    outside.run("ip", "route", "add", "fdca::/16", "via", GATEWAY_V6)
    for name, address, gateway in (
        ("blue", "2001:db8:0:b::11/64", "2001:db8:0:b::1"),
        ("red", "2001:db8:0:c::13/64", "2001:db8:0:c::1"),
    ):
        machines[name].run("ip", "addr", "add", address, "dev", "eth0", "nodad")
        machines[name].run("ip", "-6", "route", "add", "default", "via", gateway)
    host.start_agent()
    networks = [
        host.network(
            "external",
            nics["ext"],
            [f"{GATEWAY}/24", f"{GATEWAY_V6}/64", "fe80::e/64"],
            [{"cidr": "203.0.113.0/24", "gateway_ip": OUTSIDE}],
        ),
        host.network(
            "internal",
            nics["blue"],
            ["192.168.0.1/24", "2001:db8:0:b::1/64", "fe80::b/64"],
            ["192.168.0.0/24", "2001:db8:0:b::/64"],
        ),
        host.network(
            "internal",
            nics["red"],
            ["192.168.1.1/24", "2001:db8:0:c::1/64", "fe80::c/64"],
            ["192.168.1.0/24", "2001:db8:0:c::/64"],
        ),
    ]
    host.push(host.document(networks, default_v4_gateway=OUTSIDE))
    machines["appliance"] = host
    return machines


TARGETS = [
    ("blue", "192.168.0.1"),
    ("blue", "2001:db8:0:b::1"),
    ("blue", "fe80::b%eth0"),
    ("blue", "192.168.1.1"),
    ("blue", "2001:db8:0:c::1"),
    ("blue", GATEWAY),
    ("blue", GATEWAY_V6),
    ("blue", MANAGEMENT),
    ("red", "192.168.0.1"),
    ("red", MANAGEMENT),
    ("outside", GATEWAY),
    ("outside", GATEWAY_V6),
    ("outside", "fe80::e%eth0"),
    ("outside", "192.168.0.1"),
    ("outside", "2001:db8:0:b::1"),
    ("outside", MANAGEMENT),
]
SERVED = {"192.168.0.1", "2001:db8:0:b::1", "fe80::b%eth0", "192.168.1.1", "2001:db8:0:c::1"}


@pytest.mark.parametrize(("machine", "target"), TARGETS)
def test_no_tcp_port_answers_but_dns_to_tenants(world, machine, target):
    allowed = DNS if machine != "outside" and target in SERVED else set()
    assert Scan(world[machine], target).run() <= allowed


def test_scan_finds_what_is_open(world):
    for target in ("192.168.0.1", "fe80::b%eth0"):
        # Each SYN is sent once, and a busy machine may drop it.
        assert any(Scan(world["blue"], target).run() == DNS for _ in range(4)), target


def taken(host):
    """How many datagrams came as far as a socket of the appliance, or found none there."""
    words = host.execute("cat", "/proc/net/snmp").split()
    at = [place for place, word in enumerate(words) if word == "Udp:"][1]
    arrived, nobody, errors = (int(word) for word in words[at + 1 : at + 4])
    found = dict(line.split() for line in host.execute("cat", "/proc/net/snmp6").splitlines())
    six = ("Udp6InDatagrams", "Udp6NoPorts", "Udp6InErrors")
    return arrived + nobody + errors + sum(int(found[name]) for name in six)


def send_everywhere(machine, target, ports):
    """Send a datagram to each port; return how many could be sent."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    sender = machine.inside(lambda: socket.socket(family, socket.SOCK_DGRAM))
    place = machine.inside(lambda: socket.getaddrinfo(target, 1, family, socket.SOCK_DGRAM)[0][4])
    sent = 0
    with contextlib.closing(sender):
        for port in ports:
            try:
                sender.sendto(b"?", (place[0], port, *place[2:]))
                sent += 1
            except OSError as error:
                if "nreachable" in str(error):
                    return sent  # no way to it at all
                raise
    return sent


@pytest.mark.parametrize(("machine", "target"), TARGETS)
def test_no_udp_port_takes_anything_but_dns_and_dhcp_of_tenants(world, machine, target):
    # On an address of the router that is not on the tenant's own network nobody listens, either.
    served = {53, 67, 547} if machine != "outside" and target != MANAGEMENT else set()
    before = taken(world["appliance"])
    send_everywhere(world[machine], target, (p for p in range(1, 65536) if p not in served))
    assert taken(world["appliance"]) == before


def test_udp_scan_finds_what_is_open(world):
    before = taken(world["appliance"])
    assert send_everywhere(world["blue"], "192.168.0.1", [53]) == 1
    assert send_everywhere(world["blue"], "fe80::b%eth0", [53]) == 1
    deadline = time.monotonic() + 30
    while taken(world["appliance"]) < before + 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
