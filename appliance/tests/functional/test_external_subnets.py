"""An external network with several subnets: real kernel, real agent.

           gate  203.0.113.1, 198.51.100.10 behind it
outside -- near  203.0.114.9: of a subnet that the router has no address in
           |
          [203.0.113.2 and 203.0.112.2  appliance] --- blue 192.168.0.0/24  vm1
"""

import socket

import pytest

pytestmark = pytest.mark.functional

GATE, FAR, NEAR, VM1 = "203.0.113.1", "198.51.100.10", "203.0.114.9", "192.168.0.11"
FLOATING = "203.0.114.101"


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    host = shared_appliance_host
    host.ext, host.blue = host.plug("ext"), host.plug("blue")
    add = host.ext.segment.add_host
    host.gate = add("gate", [f"{GATE}/24", "203.0.112.1/24"])
    host.gate.run("ip", "addr", "add", f"{FAR}/32", "dev", "lo")
    host.gate.run("ip", "route", "add", "203.0.114.0/24", "dev", "eth0")
    host.near = add("near", [f"{NEAR}/24"])
    for cidr in ("203.0.112.0/24", "203.0.113.0/24"):
        host.near.run("ip", "route", "add", cidr, "dev", "eth0")
    host.vm1 = host.blue.segment.add_host("vm1", [f"{VM1}/24"], gateway="192.168.0.1")
    host.start_agent()
    return host


def push(host, *floating):
    subnets = [
        {"cidr": "203.0.112.0/24", "gateway_ip": "203.0.112.1"},
        {"cidr": "203.0.113.0/24", "gateway_ip": GATE},
        {"cidr": "203.0.114.0/24", "gateway_ip": "203.0.114.1"},
    ]
    networks = [
        host.network("external", host.ext, ["203.0.112.2/24", "203.0.113.2/24"], subnets),
        host.network("internal", host.blue, ["192.168.0.1/24"], ["192.168.0.0/24"]),
    ]
    pairs = [{"floating_ip": public, "fixed_ip": VM1} for public in floating]
    host.push(host.document(networks, floating_ips=pairs, default_v4_gateway=GATE))


def seen_from(host, server, address):
    """Under which address a machine at `address` sees vm1."""
    with (
        server.inside(lambda: socket.socket(type=socket.SOCK_DGRAM)) as listener,
        host.vm1.inside(lambda: socket.socket(type=socket.SOCK_DGRAM)) as client,
    ):
        listener.bind((address, 7777))
        listener.settimeout(5)
        client.settimeout(5)
        client.sendto(b"who am I", (address, 7777))
        _, who = listener.recvfrom(100)
        listener.sendto(b"you", who)
        assert client.recv(10) == b"you"
        return who[0]


def test_machines_leave_under_the_address_that_the_gateway_is_a_neighbour_of(host):
    push(host)
    assert seen_from(host, host.gate, FAR) == "203.0.113.2"


def test_hosts_of_a_subnet_without_an_address_of_ours_are_neighbours(host):
    push(host)
    assert seen_from(host, host.near, NEAR) == "203.0.113.2"
    assert host.near.pings("203.0.113.2")


def test_a_floating_ip_of_any_of_the_subnets_works(host):
    push(host, FLOATING, "203.0.112.77")
    assert host.near.pings(FLOATING)
    assert host.gate.pings("203.0.112.77")
    assert seen_from(host, host.near, NEAR) == "203.0.112.77"  # the lower of its two
    push(host, FLOATING)
    assert seen_from(host, host.gate, FAR) == FLOATING


def test_a_route_that_somebody_removed_comes_back(host):
    push(host)
    host.execute("ip", "route", "del", "203.0.114.0/24")
    number, answer = host.request("POST", "/v1/system/drift/repair")
    assert (number, answer["acted"], answer["clean"]) == (200, ["routes"], True)
    assert seen_from(host, host.near, NEAR) == "203.0.113.2"
