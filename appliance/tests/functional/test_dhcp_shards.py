"""Many hosts shared out among several dnsmasq, with a limit of four hosts: what clients get.

One machine on the network speaks for all hosts, each with a hardware address of its own.
"""

import ipaddress
import os
import pathlib
import shutil
import socket
import struct
import tempfile
import threading
import time

import pytest

from astara_appliance.drivers import base, dhcp
from astara_appliance.drivers.dhcp import shards
from astara_appliance.system import paths
from astara_contract import document as contract

pytestmark = pytest.mark.functional

LIMIT = 4
SERVER, SERVER6, MACHINE6 = "10.0.0.1", "2001:db8::1", "2001:db8::9"
BOOTP = struct.Struct("!4B4s2H4s4s4s4s16s64s128s")
COOKIE = b"\x63\x82\x53\x63"
DISCOVER, OFFER, REQUEST, ACK, NAK, RELEASE = 1, 2, 3, 5, 6, 7
SOLICIT6, ADVERTISE6, REQUEST6, RENEW6, REPLY6 = 1, 2, 3, 5, 7
STRANGER = "fa:16:3e:99:99:99"


def mac(number):
    return f"fa:16:3f:00:00:{number:02x}"


def v4(number):
    return f"10.0.0.{number + 10}"


def wait_for_link_local(machine):
    """Wait until duplicate address detection is over."""
    deadline = time.monotonic() + 10
    while "tentative" in machine.run("ip", "-6", "addr", "show", "dev", "eth0"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Service:
    """The driver in the appliance's namespace, and one machine that speaks for all hosts."""

    def __init__(self, segment):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="astara-shards-", dir="/tmp"))
        self.root.chmod(0o755)
        self.where = paths.Paths.under(self.root)
        self.appliance = segment.add_host("appliance", [f"{SERVER}/24", f"{SERVER6}/64"])
        self.machine = segment.add_host("machine", ["10.0.0.9/24", f"{MACHINE6}/64"])
        for host in (self.appliance, self.machine):
            wait_for_link_local(host)
        self.driver = self.appliance.inside(lambda: dhcp.DhcpDriver(self.where, LIMIT))

    def document(self, hosts):
        allocations = [
            {
                "mac_address": mac(n),
                "ip_addresses": {v4(n): True},
                "hostname": f"host-{n}",
            }
            for n in hosts
        ]
        allocations.append(
            {
                "mac_address": self.machine.mac,
                "ip_addresses": {"2001:db8::66": True},
                "hostname": "six",
            }
        )
        modes = dict.fromkeys(("ipv6_ra_mode", "ipv6_address_mode"), "dhcpv6-stateful")
        network = {
            "network_id": "blue",
            "network_type": "internal",
            "interface": {
                "lladdr": self.appliance.mac,
                "addresses": [f"{SERVER}/24", f"{SERVER6}/64"],
            },
            "subnets": [
                {"cidr": "10.0.0.0/24", "gateway_ip": SERVER, "dhcp_enabled": True},
                {"cidr": "2001:db8::/64", "dhcp_enabled": True} | modes,
            ],
            "allocations": allocations,
        }
        return contract.parse({"networks": [network]})

    def desired(self, hosts):
        nic = base.Nic(self.appliance.mac, "eth0", "ge1")
        return self.driver.render(self.document(hosts), base.Facts({nic.mac: nic}))

    def push(self, hosts):
        """Apply and return the change."""
        desired = self.desired(hosts)

        def work():
            self.driver.check(desired)
            change = self.driver.diff(self.driver.observe(), desired)
            self.driver.apply(change)
            self.driver.verify(desired)
            return change

        return self.appliance.inside(work)

    def drift(self, hosts):
        desired = self.desired(hosts)
        observed = self.appliance.inside(self.driver.observe)
        return self.driver.explain(self.driver.diff(observed, desired))

    def pids(self):
        return {path.stem: path.read_text() for path in self.where.run_dir.glob("*.pid")}

    def leases(self):
        """Return the lease files by address, once two looks show the same: dnsmasq empties a file
        before it writes it anew.
        """
        deadline, before = time.monotonic() + 10, None
        while (found := self._leases()) != before:
            assert time.monotonic() < deadline
            before = found
            time.sleep(0.02)
        return found

    def _leases(self):
        return {
            words[2]: path.name
            for path in self.where.state_dir.glob("dnsmasq*.leases")
            for words in map(str.split, path.read_text().splitlines())
            if len(words) >= 5
        }

    def close(self):
        nothing = self.driver.render(contract.Document(), base.Facts({}))
        observed = self.appliance.inside(self.driver.observe)
        change = self.driver.diff(observed, nothing)
        self.appliance.inside(lambda: self.driver.apply(change))
        shutil.rmtree(self.root)


@pytest.fixture(scope="module")
def service(shared_appliance_host):
    shared_appliance_host.plug("shards")
    service = Service(shared_appliance_host.segments["shards"])
    yield service
    service.close()


@pytest.fixture
def client(service):
    link = service.machine.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        link.bind(("", 68))
        yield Client(link)


class Client:
    """Speaks DHCP for any hardware address."""

    def __init__(self, link):
        self.link = link

    def ask(self, kind, address, *options, to="255.255.255.255", ciaddr="0.0.0.0", patience_s=5.0):
        """Send one message; return the kinds and addresses of the answers: all within a moment of
        the first one, or none.
        """
        number, zero = os.urandom(4), bytes(4)
        flags = 0 if ciaddr != "0.0.0.0" else 0x8000
        head = BOOTP.pack(
            1, 1, 6, 0, number, 0, flags, packed(ciaddr), zero, zero, zero,
            bytes.fromhex(address.replace(":", "")), b"", b"",
        )  # fmt: skip
        body = b"".join(bytes((code, len(value))) + value for code, value in options)
        self.link.sendto(head + COOKIE + bytes((53, 1, kind)) + body + b"\xff", (to, 67))
        return self._answers(number, patience_s)

    def _answers(self, number, patience_s):
        answers, deadline = [], time.monotonic() + patience_s
        while time.monotonic() < deadline:
            self.link.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self.link.recv(2048)
            except TimeoutError:
                break
            if data[4:8] == number:
                if not answers:
                    deadline = time.monotonic() + 0.05  # others would be as quick
                kind = data[data.index(b"\x35\x01", 240) + 2]
                answers.append((kind, str(ipaddress.IPv4Address(data[16:20]))))
        return answers

    def hears_nothing(self, kind, address, *options):
        """Tell whether nobody answers for a while."""
        return self.ask(kind, address, *options, patience_s=0.4) == []

    def lease(self, number):
        """Get a lease as a machine that boots does."""
        address = mac(number)
        assert self.ask(DISCOVER, address) == [(OFFER, v4(number))]
        wanted = ((50, packed(v4(number))), (54, packed(SERVER)))
        assert self.ask(REQUEST, address, *wanted) == [(ACK, v4(number))]

    def reboots(self, address, wanted):
        """Ask as a machine that remembers its address."""
        return self.ask(REQUEST, address, (50, packed(wanted)))


def packed(address):
    return ipaddress.IPv4Address(address).packed


def renew(service, number):
    """Renew as a machine with its address does: addressed to the server alone."""
    own = f"{v4(number)}/24"
    service.machine.run("ip", "addr", "add", own, "dev", "eth0")
    try:
        link = service.machine.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            link.bind((v4(number), 68))
            return Client(link).ask(REQUEST, mac(number), to=SERVER, ciaddr=v4(number))
    finally:
        service.machine.run("ip", "addr", "del", own, "dev", "eth0")


def look_up(service, name, kind="A"):
    told = service.machine.run(
        "dig", "+short", "+time=2", "+tries=2", f"@{SERVER}", name, kind, check=False
    )
    return told.split()


def test_each_host_gets_its_lease_from_one_shard(service, client):
    service.push(range(12))
    assert set(service.pids()) == {
        "dnsmasq", "dnsmasq-v6", *(f"dnsmasq-{n}of4" for n in range(1, 5)),
    }  # fmt: skip
    for number in range(12):
        client.lease(number)
    assert {n: service.leases()[v4(n)] for n in range(12)} == {
        n: f"dnsmasq-{shards.shard_of(mac(n), 4) + 1}of4.leases" for n in range(12)
    }
    assert len(set(service.leases().values())) > 2
    assert look_up(service, "host-7") == [v4(7)]


def test_host_with_a_wrong_address_hears_no_from_one_and_a_stranger_nothing(service, client):
    service.push(range(12))
    assert [kind for kind, _ in client.reboots(mac(3), v4(5))] == [NAK]
    assert client.reboots(mac(3), v4(3)) == [(ACK, v4(3))]
    assert client.hears_nothing(DISCOVER, STRANGER)
    assert client.hears_nothing(REQUEST, STRANGER, (50, packed(v4(3))))


def test_renewal_to_the_server_alone_reaches_the_right_shard(service, client):
    service.push(range(12))
    for number in range(0, 12, 2):
        client.reboots(mac(number), v4(number))
        assert renew(service, number) == [(ACK, v4(number))]
    service.appliance.run("nft", "delete", "table", "ip", "astara_dhcp")
    assert "rules" in " ".join(service.drift(range(12)))
    service.push(range(12))
    assert service.drift(range(12)) == ()
    assert renew(service, 11) == [(ACK, v4(11))]


def test_one_more_host_concerns_its_shard_and_the_names(service, client):
    service.push(range(12))
    before = service.pids()
    change = service.push(range(13))
    shard = f"dnsmasq-{shards.shard_of(mac(12), 4) + 1}of4"
    assert [part.name for part in change.reload] == ["dnsmasq", shard]
    assert service.pids() == before
    client.lease(12)
    assert look_up(service, "host-12") == [v4(12)]


def test_lease_of_a_deleted_port_ends_without_a_restart(service, client):
    service.push(range(12))
    for number in (4, 5, 6):
        client.lease(number)
    before = service.pids()
    service.push([n for n in range(12) if n not in (4, 5)])
    assert not {v4(4), v4(5)} & set(service.leases())
    assert v4(6) in service.leases()
    assert service.pids() == before
    assert client.hears_nothing(DISCOVER, mac(4))


def test_killed_shard_comes_back_with_its_leases(service, client):
    service.push(range(12))
    client.lease(2)
    name = f"dnsmasq-{shards.shard_of(mac(2), 4) + 1}of4"
    service.appliance.run("kill", "-9", service.pids()[name].split()[0])
    deadline = time.monotonic() + 10
    while service.drift(range(12)) != (f"{name} does not run",):
        assert time.monotonic() < deadline, service.drift(range(12))
    others = {other: pid for other, pid in service.pids().items() if other != name}
    service.push(range(12))
    assert others.items() <= service.pids().items()
    assert v4(2) in service.leases()
    assert renew(service, 2) == [(ACK, v4(2))]


def test_lease_file_of_nobody_goes_and_its_leases_come_home(service, client):
    service.push(range(2))
    before = service.pids()
    stray = service.where.state_dir / "dnsmasq-3of8.leases"
    stray.write_text("")
    assert service.drift(range(2)) == ("1 lease files that nothing looks into",)
    service.push(range(2))
    assert not stray.exists()
    assert service.pids() == before
    stray.write_text(f"{int(time.time()) + 999} {mac(1)} {v4(1)} host-1 *\n")
    service.push(range(2))
    assert not stray.exists()
    assert service.leases()[v4(1)] == "dnsmasq.leases"


def test_leases_are_kept_while_hosts_are_shared_out_and_gathered(service, client):
    service.push(range(2))
    assert set(service.pids()) == {"dnsmasq"}
    for number in range(2):
        client.lease(number)
    six = Client6(service)
    first = six.ask(SOLICIT6, ADVERTISE6)
    assert six.ask(REQUEST6, REPLY6, first).address == "2001:db8::66"
    for hosts in (range(9), range(24), range(9), range(2)):
        service.push(hosts)
        leased = service.leases()
        assert {v4(0), v4(1), "2001:db8::66"} == set(leased)
        for number in range(2):
            assert renew(service, number) == [(ACK, v4(number))]
        assert six.ask(RENEW6, REPLY6, first).address == "2001:db8::66"
    assert set(service.pids()) == {"dnsmasq"}
    assert set(service.leases().values()) == {"dnsmasq.leases"}
    folder = service.where.run_dir / "dnsmasq"
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []
    assert "astara_dhcp" not in service.appliance.run("nft", "list", "tables")


@pytest.mark.parametrize("address", [SERVER, SERVER6], ids=["ipv4", "ipv6"])
def test_no_question_is_lost_while_dnsmasq_restarts(service, address):
    """Asked at a steady pace, each answered within its patience, without asking again."""
    service.push(range(2))
    with service.machine.inside(lambda: questioner(address)) as link:
        asking = Asking(link)
        asking.start()
        for hosts in (range(9), range(2), range(9)):
            service.push(hosts)
        asking.over.set()
        asking.join()
    assert asking.asked > 3
    assert asking.lost == 0


def questioner(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    link = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        link.bind((MACHINE6, 0))
    link.connect((address, 53))
    return link


class Asking(threading.Thread):
    """Asks for host-0 without a pause until it is over."""

    def __init__(self, link):
        super().__init__(daemon=True)
        self._link = link
        self.over = threading.Event()
        self.asked = self.lost = 0

    def run(self):
        name = b"\x06host-0\x00"
        while not self.over.wait(0.004):
            number = self.asked = self.asked + 1
            question = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + name + b"\0\x01\0\x01"
            self._link.settimeout(5)
            try:
                self._link.send(question)
                answered = self._link.recv(512)[:2] == struct.pack("!H", number)
            except OSError:  # nobody there, or no answer
                answered = False
            self.lost += not answered


class Said6:
    """An answer of a DHCPv6 server (RFC 8415)."""

    def __init__(self, data):
        options = dict(options6(data[4:]))
        self.server = options[2]
        self.address = None
        for code, value in options6(options.get(3, bytes(12))[12:]):
            if code == 5:
                self.address = str(ipaddress.IPv6Address(value[:16]))


def options6(data):
    while data:
        code, size = struct.unpack_from("!HH", data)
        yield code, data[4 : 4 + size]
        data = data[4 + size :]


class Client6:
    """Speaks DHCPv6 for the machine."""

    def __init__(self, service):
        self._service = service
        self._identity = b"\x00\x03\x00\x01" + bytes.fromhex(service.machine.mac.replace(":", ""))

    def ask(self, kind, expected, last=None, timeout_s=15.0):
        """Ask until an answer of the `expected` kind with an address comes."""
        return self._service.machine.inside(lambda: self._ask(kind, expected, last, timeout_s))

    def _ask(self, kind, expected, last, timeout_s):
        index = socket.if_nametoindex("eth0")
        deadline = time.monotonic() + timeout_s
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as link:
            link.bind(("::", 546))
            link.settimeout(0.5)
            while time.monotonic() < deadline:
                number = os.urandom(3)
                message = bytes((kind,)) + number + self._body(last)
                try:
                    link.sendto(message, ("ff02::1:2", 547, 0, index))
                    data = link.recv(2048)
                except TimeoutError:
                    continue
                if data[0] == expected and data[1:4] == number and Said6(data).address:
                    return Said6(data)
        raise AssertionError("no DHCPv6 answer")

    def _body(self, last):
        association = struct.pack("!III", 1, 0, 0)
        if last is not None:
            address = ipaddress.IPv6Address(last.address).packed + struct.pack("!II", 0, 0)
            association += option6(5, address)
        server = option6(2, last.server) if last is not None else b""
        return option6(1, self._identity) + server + option6(3, association)


def option6(code, value):
    return struct.pack("!HH", code, len(value)) + value
