"""DHCP with thousands of hosts: one more host through the driver, and what clients feel meanwhile.

What our DHCP driver runs serves N reservations that all hold leases. While hosts are
added one after the other, a client asks for names and another renews leases, each at a steady
pace. A question counts as lost when no answer comes within a second; in the end every lease must
still be in dnsmasq's file and renewable.
"""

import ipaddress
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from astara_appliance.drivers import base, dhcp, interfaces
from astara_appliance.system import paths
from astara_contract import document as contract

from . import apply, arena, report, variants

COUNTS = (1000, 10000)
QUICK_COUNTS = (1000,)
_MAC, _GATEWAY, _CIDR = "fa:16:3e:00:00:01", "10.0.0.1", "10.0.0.0/16"
_FIRST = ipaddress.IPv4Address("10.0.64.1")
_DNS_EVERY_S, _RENEW_EVERY_S = 0.005, 0.1
_LOST_AFTER_S = 1.0
_PAUSE_S = 0.5
_COOKIE = b"\x63\x82\x53\x63"
_BOOTP = struct.Struct("!4B4s2H4s4s4s4s16s64s128s")


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Measure each number of hosts."""
    counts, rounds = (QUICK_COUNTS, 3) if quick else (COUNTS, 9)
    return {
        "machine": report.machine(),
        "unit": "ms, median of the rounds",
        "rounds": rounds,
        "figures": [_measure(count, rounds) for count in counts],
    }


def _measure(count: int, rounds: int) -> dict[str, Any]:
    print(f"{count} hosts", file=sys.stderr)
    server, client = arena.Room(f"dhcp-{count}"), arena.Room(f"host-{count}")
    arena.cable(server, "eth1", _MAC, client, "eth0")
    client.batch("addr add 10.0.0.10/16 dev eth0\n")
    where = variants.new_paths()
    driver = server.call(dhcp.DhcpDriver, where)  # it talks to the kernel of its thread
    _prepare(server, where, count)
    try:
        start = server.call(apply.milliseconds, lambda: _push(driver, count))
        return _under_load(server, client, where, driver, count, rounds) | {
            "start": report.rounded(start)
        }
    finally:
        server.call(_push, driver, 0)
        server.close()
        client.close()


def _under_load(
    server: arena.Room,
    client: arena.Room,
    where: paths.Paths,
    driver: dhcp.DhcpDriver,
    count: int,
    rounds: int,
) -> dict[str, Any]:
    _wait_for_dns(client)
    names = _Pace(
        "dns", _DNS_EVERY_S, client.call(_dns_socket), lambda s, n: _ask_name(s, n, count)
    )
    renewals = _Pace(
        "renew", _RENEW_EVERY_S, client.call(_dhcp_socket), lambda s, n: _renew(s, n, count)
    )
    more, seen = [], []
    for pace in (names, renewals):
        pace.start()
    for number in range(rounds):
        time.sleep(_PAUSE_S)
        begun = time.perf_counter()
        server.call(_push, driver, count + number + 1)
        more.append((time.perf_counter() - begun) * 1e3)
        client.call(_wait_for_name, count + number)
        seen.append((time.perf_counter() - begun) * 1e3)
    for pace in (names, renewals):
        pace.finish()
    files = where.state_dir.glob("dnsmasq*.leases")
    leases = sum(len(path.read_text().splitlines()) for path in files)
    return {
        "hosts": count,
        "one_more": report.summary(more),
        "one_more_until_answered": report.summary(seen),
        "dns": names.told(),
        "renewals": renewals.told(),
        "leases_before": count,
        "leases_after": leases,
    }


class _Pace(threading.Thread):
    """Sends questions at a steady pace and notes how long each answer takes."""

    def __init__(
        self,
        name: str,
        every_s: float,
        link: socket.socket,
        ask: Callable[[socket.socket, int], None],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._every_s, self._link, self._ask = every_s, link, ask
        self._sent: dict[int, float] = {}
        self._took: dict[int, float] = {}
        self._over = False

    def run(self) -> None:
        """Ask until told to finish, then listen on for what is late."""
        self._link.settimeout(0.001)
        due, number = time.perf_counter(), 1
        stop_at = None
        while stop_at is None or time.perf_counter() < stop_at:
            now = time.perf_counter()
            if self._over and stop_at is None:
                stop_at = now + _LOST_AFTER_S
            if now >= due and stop_at is None:
                self._sent[number] = now
                self._ask(self._link, number)
                due, number = due + self._every_s, number % 65000 + 1
            self._listen()

    def _listen(self) -> None:
        try:
            answer = self._link.recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            return  # what nobody answers is counted as lost in the end
        number = _number_of(answer)
        if number in self._sent:
            self._took.setdefault(number, time.perf_counter() - self._sent[number])

    def finish(self) -> None:
        """Stop asking and wait for late answers."""
        self._over = True
        self.join(30)
        self._link.close()

    def told(self) -> dict[str, Any]:
        """Return how many were asked and lost, and the times of the answers in ms."""
        times = [took * 1e3 for took in self._took.values()]
        slow = sum(1 for took in self._took.values() if took > _LOST_AFTER_S)
        return {
            "asked": len(self._sent),
            "lost": len(self._sent) - len(self._took) + slow,
            "median_ms": report.rounded(report.percentile(times, 0.5)),
            "p99_ms": report.rounded(report.percentile(times, 0.99)),
            "worst_ms": report.rounded(max(times)),
        }


def _prepare(server: arena.Room, where: paths.Paths, count: int) -> None:
    """Give the server its address and a lease file in which every host has its lease."""
    nics = interfaces.InterfacesDriver(where)
    document, facts = _document(0), _facts()
    server.call(lambda: nics.apply(nics.diff(nics.observe(), nics.render(document, facts))))
    expiry = int(time.time()) + 86400
    lines = (f"{expiry} {_mac(n)} {_address(n)} host-{n} *\n" for n in range(count))
    where.state_dir.mkdir(parents=True, exist_ok=True)
    (where.state_dir / "dnsmasq.leases").write_text("".join(lines))


def _push(driver: dhcp.DhcpDriver, count: int) -> None:
    desired = driver.render(_document(count), _facts())
    driver.check(desired)
    change = driver.diff(driver.observe(), desired)
    driver.apply(change)
    driver.verify(desired)


def _document(count: int) -> contract.Document:
    allocations = tuple(
        contract.Allocation(
            mac_address=_mac(n), ip_addresses={_address(n): True}, hostname=f"host-{n}.local"
        )
        for n in range(count)
    )
    network = contract.Network(
        network_id="inside",
        network_type="internal",
        interface=contract.Interface(lladdr=_MAC, addresses=(f"{_GATEWAY}/16",)),
        subnets=(contract.Subnet(cidr=_CIDR, gateway_ip=_GATEWAY, dhcp_enabled=True),),
        allocations=allocations,
    )
    return contract.Document(networks=(network,) if count >= 0 else ())


def _facts() -> base.Facts:
    nic = base.Nic(_MAC, "eth1", "ge1")
    return base.Facts({nic.mac: nic})


def _mac(number: int) -> str:
    return f"fa:16:3f:00:{number >> 8:02x}:{number & 255:02x}"


def _address(number: int) -> str:
    return str(_FIRST + number)


def _dns_socket() -> socket.socket:
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.connect((_GATEWAY, 53))
    return link


def _ask_name(link: socket.socket, number: int, count: int) -> None:
    link.send(_question(number, random.randrange(count)))


def _question(number: int, host: int) -> bytes:
    label = f"host-{host}".encode()
    name = bytes([len(label)]) + label + b"\x05local\x00"
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)


def _wait_for_dns(client: arena.Room) -> None:
    arena.wait_until(lambda: client.call(_knows, 0), "dnsmasq answers", 180)


def _wait_for_name(host: int) -> None:
    arena.wait_until(lambda: _knows(host), "the new host's name", 120)


def _knows(host: int) -> bool:
    with _dns_socket() as link:
        link.settimeout(1)
        try:
            link.send(_question(7, host))
            answer = link.recv(512)
        except OSError:
            return False
        (answers,) = struct.unpack_from("!H", answer, 6)
        return bool(answers)


def _dhcp_socket() -> socket.socket:
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    link.bind(("", 68))
    return link


def _renew(link: socket.socket, number: int, count: int) -> None:
    """Ask as a machine that has rebooted (RFC 2131 section 4.3.2, INIT-REBOOT), answer to all."""
    host = random.randrange(count)
    zero, mac = bytes(4), bytes.fromhex(_mac(host).replace(":", ""))
    head = _BOOTP.pack(
        1, 1, 6, 0, struct.pack("!I", number), 0, 0x8000, zero, zero, zero, zero, mac, b"", b""
    )
    wanted = bytes([53, 1, 3, 50, 4]) + ipaddress.IPv4Address(_address(host)).packed
    link.sendto(head + _COOKIE + wanted + b"\xff", ("255.255.255.255", 67))


def _number_of(answer: bytes) -> int:
    """Return the number of the question: of DHCPACK or of a DNS answer that knows the name."""
    if answer[236:240] == _COOKIE:
        acknowledged = b"\x35\x01\x05" in answer[240:]
        return int(struct.unpack_from("!I", answer, 4)[0]) if acknowledged else 0
    number, _, _, answers = struct.unpack_from("!4H", answer)
    return int(number) if answers else 0


def shown(result: dict[str, Any]) -> Sequence[str]:
    """Return one table: a column for each number of hosts."""
    rows = []
    for item in result["figures"]:
        row = {"hosts": item["hosts"], "start ms": item["start"]}
        row |= {"one more ms": item["one_more"]["median"]}
        row |= {"answered ms": item["one_more_until_answered"]["median"]}
        for name in ("dns", "renewals"):
            told = item[name]
            row |= {
                f"{name} lost": f"{told['lost']} of {told['asked']}",
                f"worst ms ({name})": told["worst_ms"],
            }
        row |= {"leases": f"{item['leases_after']} of {item['leases_before']}"}
        rows.append(row)
    return [report.table(rows)]
