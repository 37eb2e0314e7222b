"""What the appliance counts, against what was really sent. Real kernel, real agent.

outside 203.0.113.1 --- ext --- [203.0.113.2  appliance] --- blue 192.168.0.0/24  vm1
"""

import pytest

pytestmark = pytest.mark.functional

OUTSIDE, FLOATING, VM1 = "203.0.113.1", "203.0.113.101", "192.168.0.11"
SIZE = 1000  # bytes of a ping's payload: nothing else on the wire is as large
PING = SIZE + 8 + 20


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    host = shared_appliance_host
    host.ext, host.blue = host.plug("ext"), host.plug("blue")
    host.outside = host.ext.segment.add_host("outside", [f"{OUTSIDE}/24"])
    host.vm1 = host.blue.segment.add_host("vm1", [f"{VM1}/24"], gateway="192.168.0.1")
    host.start_agent()
    return host


def document(host, *floating, **keys):
    networks = [
        host.network("external", host.ext, ["203.0.113.2/24"], ["203.0.113.0/24"]),
        host.network("internal", host.blue, ["192.168.0.1/24"], ["192.168.0.0/24"]),
    ]
    pairs = [{"floating_ip": public, "fixed_ip": VM1} for public in floating]
    return host.document(networks, floating_ips=pairs) | keys


def counters(host):
    told = host.get("/v1/system/stats")
    assert told["since"] <= told["at"]
    return {(item["kind"], item["name"]): item for item in told["counters"]}


def ping(machine, address, times=5):
    size = str(SIZE)
    assert machine.succeeds("ping", "-n", "-c", str(times), "-i", "0.05", "-s", size, address)


def test_a_floating_ip_counts_what_came_in_and_what_left(host):
    host.push(document(host, FLOATING))
    ping(host.outside, FLOATING, times=3)
    ping(host.vm1, OUTSIDE, times=2)
    seen = counters(host)["floating-ip", FLOATING]
    assert (seen["in_packets"], seen["out_packets"]) == (5, 5)
    assert (seen["in_bytes"], seen["out_bytes"]) == (5 * PING, 5 * PING)


def test_a_change_of_others_leaves_a_counter_alone(host):
    host.push(document(host, FLOATING))
    before = counters(host)["floating-ip", FLOATING]
    host.push(document(host, FLOATING, "203.0.113.102"))
    host.restart_agent()
    after = counters(host)
    assert after["floating-ip", FLOATING] == before
    assert after["floating-ip", "203.0.113.102"]["in_packets"] == 0
    host.push(document(host, FLOATING))
    assert ("floating-ip", "203.0.113.102") not in counters(host)


def test_interfaces_count_by_network(host):
    host.push(document(host, FLOATING))
    before = counters(host)["interface", "blue"]
    ping(host.vm1, OUTSIDE, times=4)
    after = counters(host)["interface", "blue"]
    assert after["scope"] == "internal"
    assert after["in_packets"] - before["in_packets"] >= 4
    assert after["in_bytes"] - before["in_bytes"] >= 4 * PING
    assert after["out_bytes"] - before["out_bytes"] >= 4 * PING
    assert counters(host)["interface", "mgt"]["scope"] == "management"
