"""Labels that count and helpers that open the way back: real packets, kernel and agent.

outside 203.0.113.1 --- ext --- [203.0.113.2  appliance] --- blue 192.168.0.0/24  vm1
(198.51.100.10 behind it)
"""

import socket

import pytest

pytestmark = pytest.mark.functional

OUTSIDE, FAR, VM1 = "203.0.113.1", "198.51.100.10", "192.168.0.11"
SIZE = 1000
PING = SIZE + 8 + 20
PATIENCE_S = 0.5


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    host = shared_appliance_host
    host.ext, host.blue = host.plug("ext"), host.plug("blue")
    host.outside = host.ext.segment.add_host("outside", [f"{OUTSIDE}/24"])
    host.outside.run("ip", "addr", "add", f"{FAR}/32", "dev", "lo")
    host.vm1 = host.blue.segment.add_host("vm1", [f"{VM1}/24"], gateway="192.168.0.1")
    host.start_agent()
    return host


def push(host, **keys):
    networks = [
        host.network("external", host.ext, ["203.0.113.2/24"], ["203.0.113.0/24"]),
        host.network("internal", host.blue, ["192.168.0.1/24"], ["192.168.0.0/24"]),
    ]
    host.push(host.document(networks, default_v4_gateway=OUTSIDE) | keys)


def label(name, *rules):
    keys = ("direction", "source", "destination", "excluded")
    return {"id": name, "rules": [dict(zip(keys, rule, strict=False)) for rule in rules]}


def counted(host):
    return {
        item["name"]: (item["in_packets"], item["in_bytes"], item["out_packets"])
        for item in host.get("/v1/system/stats")["counters"]
        if item["kind"] == "label"
    }


def ping(machine, address, times):
    size = ("-s", str(SIZE))
    assert machine.succeeds("ping", "-n", "-c", str(times), "-i", "0.05", *size, address)


def test_a_packet_counts_for_each_label_that_it_fits(host):
    push(
        host,
        metering_labels=[
            label("far", ("ingress", f"{FAR}/32"), ("egress", None, f"{FAR}/32")),
            label("sent", ("egress", "192.168.0.0/24")),
            label("others", ("egress", None, "0.0.0.0/0"), ("egress", None, f"{FAR}/32", True)),
        ],
    )
    ping(host.vm1, FAR, 3)
    ping(host.vm1, OUTSIDE, 2)
    assert counted(host) == {
        "far": (3, 3 * PING, 3),
        "sent": (0, 0, 5),
        "others": (0, 0, 2),
    }


def test_the_provider_counts_what_goes_to_its_networks(host):
    push(host, labels={"the world": [f"{FAR}/32"], "idle": ["198.18.0.0/15"]})
    ping(host.vm1, FAR, 2)
    ping(host.vm1, OUTSIDE, 1)
    assert counted(host) == {"the world": (2, 2 * PING, 2), "idle": (0, 0, 0)}


def test_a_label_keeps_its_count_while_others_change(host):
    kept = label("kept", ("egress", None, f"{FAR}/32"))
    push(host, metering_labels=[kept, label("goes", ("egress", None, "0.0.0.0/0"))])
    ping(host.vm1, FAR, 2)
    push(host, metering_labels=[kept, label("comes", ("egress", None, "0.0.0.0/0"))])
    host.restart_agent()
    assert counted(host) == {"kept": (0, 0, 2), "comes": (0, 0, 0)}
    push(host)
    assert counted(host) == {}
    assert "astara_services" not in host.execute("nft", "list", "tables")


def test_rules_that_somebody_removed_come_back_with_their_counts(host):
    push(host, metering_labels=[label("kept", ("egress", None, f"{FAR}/32"))])
    ping(host.vm1, FAR, 2)
    host.execute("nft", "flush", "chain", "inet", "astara_services", "count")
    ping(host.vm1, FAR, 1)
    number, answer = host.request("POST", "/v1/system/drift/repair")
    assert (number, answer["acted"]) == (200, ["services"])
    ping(host.vm1, FAR, 1)
    assert counted(host) == {"kept": (0, 0, 3)}


def transfer_starts(host):
    """Tell whether a TFTP client hears the server, which answers from another port (RFC 1350)."""
    with (
        host.outside.inside(lambda: socket.socket(type=socket.SOCK_DGRAM)) as server,
        host.outside.inside(lambda: socket.socket(type=socket.SOCK_DGRAM)) as worker,
        host.vm1.inside(lambda: socket.socket(type=socket.SOCK_DGRAM)) as client,
    ):
        server.bind(("", 69))
        server.settimeout(5)
        client.settimeout(PATIENCE_S)
        client.sendto(b"\0\1file\0octet\0", (OUTSIDE, 69))
        _, who = server.recvfrom(100)
        assert who[0] == "203.0.113.2"
        worker.bind((OUTSIDE, 0))
        worker.sendto(b"\0\3\0\1data", who)
        try:
            return client.recv(100) == b"\0\3\0\1data"
        except TimeoutError:
            return False


def test_a_helper_lets_a_server_answer_from_another_port(host):
    push(host)
    assert not transfer_starts(host)
    push(host, conntrack_helpers=[{"protocol": "udp", "port": 69, "helper": "tftp"}])
    assert transfer_starts(host)
    push(host)
    assert not transfer_starts(host)


@pytest.mark.parametrize(
    ("helper", "protocol"),
    [("ftp", "tcp"), ("sip", "udp"), ("pptp", "tcp"), ("h323", "tcp"), ("amanda", "udp")],
)
def test_the_kernel_takes_helpers(host, helper, protocol):
    push(host, conntrack_helpers=[{"protocol": protocol, "port": 2000, "helper": helper}])
    name = f"{helper}_{protocol}_2000"
    assert name in host.execute("nft", "list", "table", "inet", "astara_services")


def test_a_helper_that_the_kernel_lacks_is_named(host):
    push(host)
    networks = [host.network("internal", host.blue, ["192.168.0.1/24"], ["192.168.0.0/24"])]
    wanted = [("udp", 69, "tftp"), ("tcp", 6667, "irc"), ("udp", 137, "netbios-ns")]
    keys = ("protocol", "port", "helper")
    helpers = [dict(zip(keys, item, strict=True)) for item in wanted]
    number, answer = host.try_push(host.document(networks, conntrack_helpers=helpers))
    if number != 200:  # this kernel was built without one of them
        assert "no conntrack helper" in answer["error"]["reason"]
        assert "tftp" not in answer["error"]["reason"]
