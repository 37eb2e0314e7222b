"""What gets through the appliance, translated how, and what must not. Real kernel, real agent.

    outside 203.0.113.1 --- ext --- [203.0.113.2  appliance] --- blue 192.168.0.0/24  vm1, vm2
    (198.51.100.10 behind it)                             |----- red  192.168.1.0/24  vm3
                                                          `----- mgt  fdca:.../64     orch

Every connection is made of real sockets in the machines' namespaces; what each end believes the
other to be is compared. Packets no honest machine sends are written to raw sockets.
"""

import contextlib
import socket
import struct
import time
from concurrent import futures

import pytest

pytestmark = pytest.mark.functional

OUTSIDE, FAR, GATEWAY = "203.0.113.1", "198.51.100.10", "203.0.113.2"
VM1, VM2, VM3 = "192.168.0.11", "192.168.0.12", "192.168.1.13"
FLOATING1, FLOATING3 = "203.0.113.101", "203.0.113.103"
VM1_V6, OUTSIDE_V6 = "2001:db8:0:b::11", "2001:db8:0:e::1"
MANAGEMENT, ORCHESTRATOR = "fdca:3ba5:a17a:acda::2", "fdca:3ba5:a17a:acda::1"
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
PATIENCE_S = 0.3  # how long something that must not arrive is waited for


class Cloud:
    """The picture above."""

    def __init__(self, host):
        self.host = host
        self.nics = {name: host.plug(name) for name in ("ext", "blue", "red")}
        add = {name: nic.segment.add_host for name, nic in self.nics.items()}
        self.outside = add["ext"]("outside", [f"{OUTSIDE}/24", f"{OUTSIDE_V6}/64"])
        self.outside.run("ip", "addr", "add", f"{FAR}/32", "dev", "lo")
        # The world outside knows a way to the tenants; that it is of no use is what is tested.
        self.outside.run("ip", "route", "add", "192.168.0.0/16", "via", GATEWAY)
        self.outside.run("ip", "route", "add", "2001:db8::/56", "via", "2001:db8:0:e::2")
        self.vm1 = add["blue"]("vm1", [f"{VM1}/24"], gateway="192.168.0.1")
        self.vm2 = add["blue"]("vm2", [f"{VM2}/24"], gateway="192.168.0.1")
        self.vm3 = add["red"]("vm3", [f"{VM3}/24"], gateway="192.168.1.1")
        self.vm1.run("ip", "addr", "add", f"{VM1_V6}/64", "dev", "eth0", "nodad")
        self.vm1.run("ip", "-6", "route", "add", "default", "via", "2001:db8:0:b::1")
        host.start_agent()

    def document(self, floating=(), **keys):
        network, nics = self.host.network, self.nics
        networks = [
            network(
                "external",
                nics["ext"],
                [f"{GATEWAY}/24", "2001:db8:0:e::2/64"],
                [{"cidr": "203.0.113.0/24", "gateway_ip": OUTSIDE}],
            ),
            network(
                "internal",
                nics["blue"],
                ["192.168.0.1/24", "2001:db8:0:b::1/64", "fe80::b/64"],
                ["192.168.0.0/24", "2001:db8:0:b::/64"],
            ),
            network("internal", nics["red"], ["192.168.1.1/24"], ["192.168.1.0/24"]),
        ]
        pairs = [{"floating_ip": public, "fixed_ip": fixed} for public, fixed in floating]
        return self.host.document(networks, floating_ips=pairs, default_v4_gateway=OUTSIDE) | keys

    def push(self, *floating, **keys):
        self.host.push(self.document(floating, **keys))

    def dropped(self, chain):
        """How many packets the counters of a chain have seen."""
        words = self.host.execute("nft", "list", "chain", "inet", "astara", chain).split()
        return sum(int(words[at + 1]) for at, word in enumerate(words) if word == "packets")


@pytest.fixture(scope="module")
def cloud(shared_appliance_host):
    return Cloud(shared_appliance_host)


class Listener:
    """A listening TCP socket on a machine."""

    def __init__(self, machine, port, family=socket.AF_INET):
        self.socket = machine.inside(lambda: socket.socket(family, socket.SOCK_STREAM))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("", port))
        self.socket.listen()
        self.socket.settimeout(5)

    def __enter__(self):
        return self.socket

    def __exit__(self, *_):
        self.socket.close()


class Connection:
    """An established TCP connection and what its ends think of each other."""

    def __init__(self, client, server, address, port=8080, source=None, timeout_s=3):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with Listener(server, port, family) as listener:
            self.client = client.inside(lambda: socket.socket(family, socket.SOCK_STREAM))
            self.client.settimeout(timeout_s)
            try:
                if source:
                    self.client.bind((source, 0))
                self.client.connect((address, port))
                self.server, peer = listener.accept()
            except BaseException:
                self.client.close()
                raise
        self.server.settimeout(timeout_s)
        self.seen_by_server = peer[0]
        self.seen_by_client = self.client.getpeername()[0]

    def works(self):
        """Tell whether bytes still go both ways."""
        try:
            self.client.sendall(b"x")
            heard = self.server.recv(1)
            self.server.sendall(b"y")
            return heard == b"x" and self.client.recv(1) == b"y"
        except OSError:
            return False

    def close(self):
        self.client.close()
        self.server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def source_seen(client, server, address, **options):
    with Connection(client, server, address, **options) as connection:
        assert connection.works()
        assert connection.seen_by_client == address
        return connection.seen_by_server


def is_blocked(client, address, port=8080, source=None):
    """Tell whether a connection attempt ends without anybody answering."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with client.inside(lambda: socket.socket(family, socket.SOCK_STREAM)) as attempt:
        attempt.settimeout(PATIENCE_S)
        try:
            if source:
                attempt.bind((source, 0))
            attempt.connect((address, port))
        except (TimeoutError, ConnectionRefusedError):
            return True
        except OSError as error:
            return "unreachable" in str(error) or "No route" in str(error)
        return False


def all_blocked(*attempts):
    """Tell whether each attempt (arguments of is_blocked) is blocked; they are made at once."""
    with futures.ThreadPoolExecutor(len(attempts)) as pool:
        outcome = list(pool.map(lambda attempt: is_blocked(*attempt), attempts))
    return [
        attempt for attempt, blocked in zip(attempts, outcome, strict=True) if not blocked
    ] == []


def is_silent(machine, address, *options):
    """Tell whether nothing answers a ping."""
    return not machine.succeeds("ping", "-n", "-c1", "-W", str(PATIENCE_S), *options, address)


def packet(source, target, protocol, payload):
    """An IPv4 packet; the kernel fills in length and checksum of the header."""
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, protocol, 0)
    return head + addresses + payload


def udp(source, target, port, text):
    return packet(source, target, 17, struct.pack("!HHHH", 4444, port, 8 + len(text), 0) + text)


def tcp(source, target, port, flags):
    """A TCP segment that belongs to no connection."""
    body = struct.pack("!HHIIBBHHH", 4444, port, 7, 9, 5 << 4, flags, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", 6, len(body))
    total = sum(struct.unpack(f"!{len(pseudo + body) // 2}H", pseudo + body))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return packet(source, target, 6, body[:16] + struct.pack("!H", checksum) + body[18:])


def inject(machine, data):
    """Write a raw packet to the wire of a machine."""
    with machine.inside(
        lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    ) as raw:
        raw.sendto(data, (socket.inet_ntoa(data[16:20]), 0))


@contextlib.contextmanager
def wire(machine, kind=ETH_P_IP):
    """Yield a function that returns all IP packets that reached the machine so far."""
    number = socket.htons(kind)
    with machine.inside(
        lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, number)
    ) as sniffer:
        sniffer.bind(("eth0", kind))
        sniffer.settimeout(PATIENCE_S)

        def arrived():
            found = []
            with contextlib.suppress(TimeoutError):
                while True:
                    data, origin = sniffer.recvfrom(2048)
                    if origin[2] != socket.PACKET_OUTGOING:
                        found.append(data)
            return found

        yield arrived


def sources(packets):
    return {socket.inet_ntoa(data[12:16]) for data in packets}


def test_tenants_leave_under_the_gateway_address(cloud):
    cloud.push()
    assert source_seen(cloud.vm1, cloud.outside, FAR) == GATEWAY
    assert source_seen(cloud.vm3, cloud.outside, OUTSIDE) == GATEWAY
    assert cloud.vm1.pings(FAR)


def test_floating_ip_shows_each_end_the_other(cloud):
    cloud.push((FLOATING1, VM1))
    assert source_seen(cloud.outside, cloud.vm1, FLOATING1, source=FAR) == FAR
    assert source_seen(cloud.vm1, cloud.outside, FAR) == FLOATING1
    assert source_seen(cloud.vm2, cloud.outside, FAR) == GATEWAY
    assert cloud.outside.pings(FLOATING1)


def test_floating_ip_works_from_inside(cloud):
    cloud.push((FLOATING1, VM1), (FLOATING3, VM3))
    # From the same network, from another one under its own floating IP, and from the machine
    # itself.
    assert source_seen(cloud.vm2, cloud.vm1, FLOATING1) == GATEWAY
    assert source_seen(cloud.vm3, cloud.vm1, FLOATING1) == FLOATING3
    assert source_seen(cloud.vm1, cloud.vm1, FLOATING1) == FLOATING1


def test_traffic_between_tenant_networks_is_not_translated(cloud):
    cloud.push((FLOATING1, VM1))
    assert source_seen(cloud.vm1, cloud.vm3, VM3) == VM1
    assert source_seen(cloud.vm3, cloud.vm1, VM1) == VM3


def test_outside_reaches_no_fixed_address(cloud):
    cloud.push((FLOATING1, VM1))
    with Listener(cloud.vm1, 8080), Listener(cloud.vm2, 8080):
        assert is_blocked(cloud.outside, VM1)
        assert is_blocked(cloud.outside, VM2)
        assert not is_blocked(cloud.outside, FLOATING1)
    assert is_silent(cloud.outside, VM2)


def test_router_without_snat_routes_both_ways(cloud):
    cloud.push((FLOATING3, VM3), enable_snat=False)
    assert source_seen(cloud.vm1, cloud.outside, OUTSIDE) == VM1
    assert source_seen(cloud.outside, cloud.vm1, VM1) == OUTSIDE
    assert source_seen(cloud.vm3, cloud.outside, FAR) == FLOATING3
    assert source_seen(cloud.outside, cloud.vm3, FLOATING3, source=FAR) == FAR
    assert source_seen(cloud.vm2, cloud.vm3, FLOATING3) == GATEWAY


def test_snat_switched_on_lets_no_old_connection_leak(cloud):
    cloud.push(enable_snat=False)
    with Connection(cloud.vm1, cloud.outside, OUTSIDE) as connection:
        assert connection.works()
        with wire(cloud.outside) as arrived:
            cloud.push()
            connection.client.settimeout(PATIENCE_S)
            connection.server.settimeout(PATIENCE_S)
            assert not connection.works()
            assert sources(arrived()) <= {GATEWAY}
    assert source_seen(cloud.vm1, cloud.outside, OUTSIDE) == GATEWAY


def test_removed_floating_ip_ends_old_and_new_connections(cloud):
    cloud.push((FLOATING1, VM1), (FLOATING3, VM3))
    with (
        Connection(cloud.outside, cloud.vm1, FLOATING1, source=FAR) as inbound,
        Connection(cloud.vm1, cloud.outside, FAR, port=8081) as outbound,
        Connection(cloud.vm2, cloud.outside, FAR, port=8082) as other,
        Connection(cloud.outside, cloud.vm3, FLOATING3) as kept,
    ):
        cloud.push((FLOATING3, VM3))
        for ended in (inbound, outbound):
            ended.client.settimeout(PATIENCE_S)
            ended.server.settimeout(PATIENCE_S)
            assert not ended.works()
        assert other.works()
        assert kept.works()
    assert is_blocked(cloud.outside, FLOATING1)
    assert source_seen(cloud.vm1, cloud.outside, FAR) == GATEWAY


def test_moved_floating_ip_ends_connections_to_the_old_machine(cloud):
    cloud.push((FLOATING1, VM1))
    with Connection(cloud.outside, cloud.vm1, FLOATING1) as connection:
        cloud.push((FLOATING1, VM2))
        connection.client.settimeout(PATIENCE_S)
        connection.server.settimeout(PATIENCE_S)
        assert not connection.works()
    assert source_seen(cloud.outside, cloud.vm2, FLOATING1) == OUTSIDE


def test_nothing_private_leaves(cloud):
    """Neither packets of no connection nor those with somebody else's source."""
    cloud.push((FLOATING1, VM1))
    with wire(cloud.outside) as arrived:
        for flags in (0x04, 0x11, 0x12, 0x14, 0x00, 0x3F):  # RST, FIN, SYN+ACK ... of nothing
            inject(cloud.vm1, tcp(VM1, FAR, 80, flags))
            inject(cloud.vm2, tcp(VM2, FAR, 80, flags))
        for forged in (VM3, "10.9.9.9", FAR, OUTSIDE, GATEWAY, FLOATING3, "192.168.0.1"):
            inject(cloud.vm2, udp(forged, FAR, 9, b"forged"))
        inject(cloud.vm2, udp(VM2, FAR, 9, b"honest"))
        packets = arrived()
    assert any(data.endswith(b"honest") for data in packets)
    assert not any(data.endswith(b"forged") for data in packets)
    assert sources(packets) <= {GATEWAY, FLOATING1}


def test_tenant_cannot_speak_for_another_network(cloud):
    cloud.push()
    before = cloud.dropped("source_tenant")
    with wire(cloud.vm1) as arrived:
        inject(cloud.vm3, udp(VM2, VM1, 9, b"forged"))
        inject(cloud.vm3, udp(VM3, VM1, 9, b"honest"))
        packets = arrived()
    assert [data[-6:] for data in packets if data[9] == 17] == [b"honest"]
    assert cloud.dropped("source_tenant") == before + 1


def test_outside_cannot_speak_for_a_tenant(cloud):
    cloud.push((FLOATING1, VM1))
    before = cloud.dropped("source_external")
    with wire(cloud.vm1) as arrived:
        inject(cloud.outside, udp(VM3, FLOATING1, 9, b"forged"))
        inject(cloud.outside, udp(FAR, FLOATING1, 9, b"honest"))
        packets = arrived()
    assert [data[-6:] for data in packets if data[9] == 17] == [b"honest"]
    assert cloud.dropped("source_external") == before + 1


def test_networks_behind_a_route_may_send(cloud):
    """An extra route makes its destination a true source on the next hop's network alone."""
    behind = "10.50.0.5"
    for vm in (cloud.vm2, cloud.vm3):
        vm.run("ip", "addr", "add", f"{behind}/32", "dev", "lo")
    try:
        cloud.push(static_routes=[["10.50.0.0/16", VM2]])
        assert source_seen(cloud.vm2, cloud.outside, FAR, source=behind) == GATEWAY
        assert is_blocked(cloud.vm3, FAR, source=behind)
        # vm1 knows only its gateway, the answer comes straight from vm2: half of it is unseen
        # here.
        assert source_seen(cloud.vm1, cloud.vm2, behind) == VM1
        cloud.push()
        assert is_blocked(cloud.vm2, FAR, source=behind)
    finally:
        for vm in (cloud.vm2, cloud.vm3):
            vm.run("ip", "addr", "del", f"{behind}/32", "dev", "lo")


def test_ipv6_is_routed_both_ways_untranslated(cloud):
    cloud.push()
    assert source_seen(cloud.vm1, cloud.outside, OUTSIDE_V6) == VM1_V6
    assert source_seen(cloud.outside, cloud.vm1, VM1_V6) == OUTSIDE_V6


def test_forged_ipv6_sources_are_dropped(cloud):
    cloud.push()
    forgeries = (
        (cloud.vm1, "2001:db8:0:c::5", OUTSIDE_V6, cloud.outside),
        (cloud.vm1, OUTSIDE_V6, "2001:db8:0:e::7", cloud.outside),
        (cloud.outside, "2001:db8:0:b::99", VM1_V6, cloud.vm1),
    )
    for sender, forged, target, victim in forgeries:
        sender.run("ip", "addr", "add", f"{forged}/128", "dev", "lo", "nodad")
        try:
            with wire(victim, ETH_P_IPV6) as arrived:
                sender.succeeds("ping", "-n", "-c1", "-W", "0.1", "-I", forged, target)
                seen = {socket.inet_ntop(socket.AF_INET6, data[8:24]) for data in arrived()}
            assert forged not in seen
        finally:
            sender.run("ip", "addr", "del", f"{forged}/128", "dev", "lo")
    assert cloud.vm1.pings(OUTSIDE_V6)


@pytest.mark.parametrize("port", [22, 5000, 9600, 9697], ids=lambda port: f"port{port}")
def test_appliance_is_closed_to_tenants_and_world(cloud, port):
    """Also where something listens on all addresses, as sshd may."""
    cloud.push()
    inside = type(cloud.vm1)(cloud.host.netns, mac="")
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # the API and the metadata proxy have theirs already
            stack.enter_context(Listener(inside, port, socket.AF_INET6))
        assert all_blocked(
            (cloud.vm1, "192.168.0.1", port),
            (cloud.vm1, "192.168.1.1", port),
            (cloud.vm1, GATEWAY, port),
            (cloud.vm1, "2001:db8:0:b::1", port),
            (cloud.vm1, MANAGEMENT, port),
            (cloud.outside, GATEWAY, port),
            (cloud.outside, "2001:db8:0:e::2", port),
            (cloud.outside, MANAGEMENT, port),
        )
        assert is_blocked(cloud.host.orchestrator, MANAGEMENT, port) is (port not in (22, 5000))


def test_world_gets_echo_and_no_service(cloud):
    cloud.push()
    assert cloud.outside.pings(GATEWAY)
    assert cloud.outside.pings("2001:db8:0:e::2")
    assert all_blocked(*((cloud.outside, GATEWAY, port) for port in (53, 67, 80, 547)))
    dig = ("dig", "+time=1", "+tries=1", f"@{GATEWAY}", "vm1.")
    assert not cloud.outside.succeeds(*dig)


def test_management_network_is_an_island(cloud):
    cloud.push()
    orch = cloud.host.orchestrator
    cloud.vm1.run(
        "ip", "-6", "route", "replace", "fdca:3ba5:a17a:acda::/64", "via", "2001:db8:0:b::1"
    )
    orch.run("ip", "-6", "route", "replace", "2001:db8::/56", "via", MANAGEMENT)
    assert orch.pings(MANAGEMENT)
    assert is_silent(cloud.vm1, MANAGEMENT)
    assert is_silent(cloud.vm1, ORCHESTRATOR)
    assert is_silent(orch, VM1_V6)
    assert is_silent(orch, OUTSIDE_V6)
    assert is_blocked(orch, VM1_V6)


def test_isolated_network_is_not_routed(cloud):
    document = cloud.document()
    document["networks"][3]["network_type"] = "isolated"
    cloud.host.push(document)
    assert cloud.vm3.pings("192.168.1.1")
    assert is_silent(cloud.vm3, VM1)
    assert is_silent(cloud.vm3, FAR)
    assert is_silent(cloud.vm1, VM3)


def test_changed_rules_are_put_right_by_the_next_push(cloud):
    cloud.push((FLOATING1, VM1))
    wanted = cloud.host.execute("nft", "-s", "list", "ruleset")
    with Connection(cloud.outside, cloud.vm1, FLOATING1) as connection:
        for damage in (
            "flush chain inet astara forward",
            "delete element inet astara floating_to_fixed { 203.0.113.101 }",
            "add element inet astara public4 { 10.0.0.1 }",
        ):
            cloud.host.execute("nft", damage)
            cloud.push((FLOATING1, VM1))
            assert cloud.host.execute("nft", "-s", "list", "ruleset") == wanted
        assert connection.works()


def test_interrupted_cut_is_finished_by_the_next_life(cloud):
    """Rules changed, agent killed before the connections ended."""
    cloud.push((FLOATING1, VM1))
    with Connection(cloud.outside, cloud.vm1, FLOATING1) as connection:
        (cloud.host.root / "run/astara/firewall-cuts.json").write_text(
            f'{{"public": ["{FLOATING1}"], "sources": []}}'
        )
        cloud.push((FLOATING1, VM1))
        state = cloud.host.execute("conntrack", "-L", "--orig-dst", FLOATING1)
        assert "8080" not in state
        assert connection.seen_by_server == OUTSIDE


def test_thousand_floating_ips(cloud, record_property):
    """The time of one more does not follow the number of those that are there."""
    many = [(f"203.0.113.{100 + at % 100}", VM1) for at in range(1)]
    many += [
        (f"203.1.{at // 250}.{at % 250 + 1}", f"192.168.0.{at % 250 + 1}") for at in range(999)
    ]
    started = time.monotonic()
    cloud.push(*many)
    record_property("push_1000_s", time.monotonic() - started)
    started = time.monotonic()
    cloud.push(*many, (FLOATING3, VM3))
    record_property("push_one_more_s", time.monotonic() - started)
    assert source_seen(cloud.outside, cloud.vm3, FLOATING3) == OUTSIDE
    assert source_seen(cloud.vm3, cloud.outside, FAR) == FLOATING3
    cloud.push(*many)
    assert is_blocked(cloud.outside, FLOATING3)


def test_offloading_is_an_option_that_falls_back(cloud):
    cloud.push((FLOATING1, VM1), flow_offload=True)
    with_it = "flowtable established" in cloud.host.execute(
        "nft", "list", "table", "inet", "astara"
    )
    assert with_it != ("firewall.no_flowtables" in cloud.host.agent_log())
    out = Connection(cloud.vm1, cloud.outside, OUTSIDE)
    into = Connection(cloud.outside, cloud.vm1, FLOATING1)
    assert (out.seen_by_server, into.seen_by_client) == (FLOATING1, FLOATING1)
    assert all(connection.works() for connection in (out, into) for _ in range(3))
    cloud.push()
    assert not into.works()
