"""Ports of a floating IP that lead to machines: by real connections, real kernel, real agent.

outside 203.0.113.1 --- ext --- [203.0.113.2  appliance] --- blue 192.168.0.0/24  vm1, vm2
"""

import contextlib
import socket

import pytest

pytestmark = pytest.mark.functional

OUTSIDE, FLOATING = "203.0.113.1", "203.0.113.150"
VM1, VM2 = "192.168.0.11", "192.168.0.12"
PATIENCE_S = 0.3


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    host = shared_appliance_host
    host.ext, host.blue = host.plug("ext"), host.plug("blue")
    host.outside = host.ext.segment.add_host("outside", [f"{OUTSIDE}/24"])
    host.vm1 = host.blue.segment.add_host("vm1", [f"{VM1}/24"], gateway="192.168.0.1")
    host.vm2 = host.blue.segment.add_host("vm2", [f"{VM2}/24"], gateway="192.168.0.1")
    host.start_agent()
    return host


def forwarding(port, fixed_port, *, to=VM1, protocol="tcp", **ends):
    return {
        "floating_ip": FLOATING,
        "protocol": protocol,
        "port": port,
        "fixed_ip": to,
        "fixed_port": fixed_port,
    } | ends


def push(host, *forwardings, **keys):
    networks = [
        host.network("external", host.ext, ["203.0.113.2/24"], ["203.0.113.0/24"]),
        host.network("internal", host.blue, ["192.168.0.1/24"], ["192.168.0.0/24"]),
    ]
    host.push(host.document(networks, port_forwardings=list(forwardings)) | keys)


class Connection:
    """A TCP connection from `client` to a public port, accepted by `server` on `port`."""

    def __init__(self, client, public_port, server, port, timeout_s=5):
        with server.inside(lambda: socket.socket()) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", port))
            listener.listen()
            listener.settimeout(timeout_s)
            self.client = client.inside(lambda: socket.socket())
            self.client.settimeout(timeout_s)
            try:
                self.client.connect((FLOATING, public_port))
                self.server, self.peer = listener.accept()
            except BaseException:
                self.client.close()
                raise
        self.server.settimeout(timeout_s)

    def works(self):
        self.client.settimeout(PATIENCE_S if self.client.gettimeout() < 1 else 5)
        try:
            self.client.sendall(b"x")
            heard = self.server.recv(1)
            self.server.sendall(b"y")
            return heard == b"x" and self.client.recv(1) == b"y"
        except OSError:
            return False

    def hurry(self):
        self.client.settimeout(PATIENCE_S)
        self.server.settimeout(PATIENCE_S)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.close()


def leads(host, public_port, server, port, client=None):
    with Connection(client or host.outside, public_port, server, port) as connection:
        return connection.works()


def is_closed(machine, port):
    with machine.inside(lambda: socket.socket()) as attempt:
        attempt.settimeout(PATIENCE_S)
        with contextlib.suppress(TimeoutError, ConnectionRefusedError):
            attempt.connect((FLOATING, port))
            return False
    return True


def test_two_ports_of_one_address_lead_to_two_machines(host):
    push(host, forwarding(80, 8080), forwarding(81, 8080, to=VM2))
    assert leads(host, 80, host.vm1, 8080)
    assert leads(host, 81, host.vm2, 8080)
    assert is_closed(host.outside, 82)
    assert host.outside.pings(FLOATING)


def test_a_datagram_is_forwarded_and_answered_under_the_public_address(host):
    push(host, forwarding(53, 5353, protocol="udp"))
    with (
        host.vm1.inside(lambda: socket.socket(type=socket.SOCK_DGRAM)) as server,
        host.outside.inside(lambda: socket.socket(type=socket.SOCK_DGRAM)) as client,
    ):
        server.bind(("", 5353))
        server.settimeout(5)
        client.settimeout(5)
        client.sendto(b"question", (FLOATING, 53))
        asked, who = server.recvfrom(100)
        server.sendto(b"answer", who)
        assert (asked, client.recvfrom(100)) == (b"question", (b"answer", (FLOATING, 53)))
    assert is_closed(host.outside, 53)


def test_ranges_keep_shift_or_join_ports(host):
    push(
        host,
        forwarding(1000, 1000, port_end=1009, fixed_port_end=1009),
        forwarding(2000, 3000, port_end=2009, fixed_port_end=3009),
        forwarding(4000, 5000, port_end=4009),
    )
    assert leads(host, 1007, host.vm1, 1007)
    assert leads(host, 2009, host.vm1, 3009)
    assert leads(host, 4000, host.vm1, 5000)
    assert leads(host, 4009, host.vm1, 5000)
    assert is_closed(host.outside, 1010)
    assert is_closed(host.outside, 2010)


def test_a_forwarded_port_is_reached_from_inside_too(host):
    push(host, forwarding(80, 8080))
    assert leads(host, 80, host.vm1, 8080, client=host.vm2)


def test_a_removed_forwarding_ends_its_connections_and_no_others(host):
    several = forwarding(1000, 1000, port_end=1009, fixed_port_end=1009)
    push(host, forwarding(80, 8080), forwarding(81, 8081), several)
    with (
        Connection(host.outside, 80, host.vm1, 8080) as ended,
        Connection(host.outside, 1003, host.vm1, 1003) as ended_range,
        Connection(host.outside, 81, host.vm1, 8081) as kept,
    ):
        assert ended.works()
        assert ended_range.works()
        push(host, forwarding(81, 8081))
        assert not ended.hurry().works()
        assert not ended_range.hurry().works()
        assert kept.works()
    assert is_closed(host.outside, 80)


def test_one_more_forwarding_is_one_more_element(host):
    """Nothing else in the kernel changes, so that its cost does not grow with their number."""
    many = [forwarding(10_000 + at, 10_000 + at) for at in range(1000)]
    push(host, *many)
    before = host.execute("nft", "list", "table", "inet", "astara").splitlines()
    push(host, *many, forwarding(80, 8080))
    after = host.execute("nft", "list", "table", "inet", "astara").splitlines()
    assert len([line for line in after if "dnat" in line]) == len(
        [line for line in before if "dnat" in line]
    )
    assert leads(host, 80, host.vm1, 8080)
    assert leads(host, 10_999, host.vm1, 10_999)


def test_an_address_is_forwarded_as_a_whole_or_by_ports(host):
    pair = {"floating_ip": FLOATING, "fixed_ip": VM2}
    networks = [host.network("external", host.ext, ["203.0.113.2/24"], ["203.0.113.0/24"])]
    document = host.document(
        networks, floating_ips=[pair], port_forwardings=[forwarding(80, 8080)]
    )
    number, answer = host.try_push(document)
    assert number == 400
    assert answer["error"]["path"] == "$.port_forwardings[0].floating_ip"
