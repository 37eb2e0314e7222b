"""A machine that wants to lead the router astray: redirects, source routes, advertisements.

What the appliance does with them is read from its routes and from what it forwards.
"""

import socket
import struct

import pytest

pytestmark = pytest.mark.functional

ROUTER, VM, THIEF = "192.168.0.1", "192.168.0.11", "192.168.0.66"
LINK_LOCAL = "fe80::b"


@pytest.fixture
def blue(appliance_host):
    """A tenant's network with the router and one machine on it."""
    nic = appliance_host.plug("blue")
    machine = nic.segment.add_host("vm", [f"{VM}/24"], gateway=ROUTER)
    appliance_host.start_agent()
    network = appliance_host.network(
        "internal", nic, [f"{ROUTER}/24", f"{LINK_LOCAL}/64"], ["192.168.0.0/24"]
    )
    appliance_host.push(appliance_host.document([network]))
    assert machine.pings(ROUTER)
    return machine


def routes(host):
    """All routes and neighbours' gateways that the kernel would use, caches included."""
    return [
        host.execute("ip", family, "route", "show", "table", "all", *cached)
        for family in ("-4", "-6")
        for cached in ((), ("cache",))
    ]


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def test_redirect_changes_no_route(appliance_host, blue):
    before = routes(appliance_host)
    inner = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0)
    inner += socket.inet_aton(ROUTER) + socket.inet_aton("198.51.100.1") + bytes(8)
    body = struct.pack("!BBH", 5, 1, 0) + socket.inet_aton(THIEF) + inner
    packet = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    with blue.inside(
        lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    ) as raw:
        for _ in range(5):
            raw.sendto(packet, (ROUTER, 0))
    assert blue.pings(ROUTER)
    assert routes(appliance_host) == before
    assert "via 192.168.0.66" not in "".join(before)


def test_rogue_advertisement_makes_no_address_and_no_route(appliance_host, blue):
    before = routes(appliance_host)
    blue.run("ip", "addr", "add", "fe80::66/64", "dev", "eth0", "nodad")
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0)
    prefix += socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
    advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
    with blue.inside(
        lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    ) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        scope = blue.inside(lambda: socket.if_nametoindex("eth0"))
        for _ in range(5):
            raw.sendto(advertisement, ("ff02::1", 0, 0, scope))
    assert blue.pings(ROUTER)
    assert routes(appliance_host) == before
    assert "2001:db8:bad" not in appliance_host.execute("ip", "-6", "address")


def test_source_routes_are_not_followed(appliance_host, blue):
    with (
        blue.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender,
        blue.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiver,
    ):
        receiver.bind((VM, 9999))
        receiver.settimeout(0.5)
        loose = bytes([131, 7, 4]) + socket.inet_aton(VM) + b"\0"
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, loose)
        for _ in range(3):
            sender.sendto(b"astray", (ROUTER, 9999))
        with pytest.raises(TimeoutError):
            receiver.recv(100)
