"""One destination by several next hops: flows are spread over all, one flow keeps to its own."""

import socket

import pytest

pytestmark = pytest.mark.functional

FAR = {4: "10.8.0.1", 6: "fd00:99::1"}
PORT = 9000
FLOWS = 64


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    shared_appliance_host.blue = shared_appliance_host.plug("blue")
    shared_appliance_host.red = shared_appliance_host.plug("red")
    shared_appliance_host.start_agent()
    return shared_appliance_host


@pytest.fixture(scope="module")
def hops(host):
    """Two machines on blue that both have the far addresses."""
    return [
        host.segments["blue"].add_host(
            f"hop{at}",
            [f"192.168.0.{at}/24", f"fd00:b::{at}/64", f"{FAR[4]}/32", f"{FAR[6]}/128"],
            gateway="192.168.0.1",
        )
        for at in (20, 21)
    ]


def document(host, used):
    blue = host.network(
        "internal", host.blue, ["192.168.0.1/24", "fd00:b::1/64"], ["192.168.0.0/24"]
    )
    red = host.network(
        "internal", host.red, ["192.168.1.1/24", "fd00:c::1/64"], ["192.168.1.0/24"]
    )
    routes = [["10.8.0.0/16", f"192.168.0.{at}"] for at in used]
    routes += [["fd00:99::/48", f"fd00:b::{at}"] for at in used]
    return host.document([blue, red], static_routes=routes)


def arrivals(listeners):
    """Which source ports each hop has heard of, and how many datagrams of each."""
    found = []
    for listener in listeners:
        heard = []
        while True:
            try:
                heard.append(listener.recvfrom(100)[1][1])
            except BlockingIOError:
                break
        found.append(heard)
    return found


@pytest.mark.parametrize("version", [4, 6])
def test_flows_are_spread_and_each_keeps_its_way(host, hops, eventually, version):
    vm = host.segments["red"].hosts.get("vm") or host.segments["red"].add_host(
        "vm", ["192.168.1.10/24", "fd00:c::10/64"], gateway="192.168.1.1"
    )
    vm.run("ip", "-6", "route", "replace", "default", "via", "fd00:c::1")
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    host.push(document(host, (20, 21)))
    for at in (20, 21):
        # The neighbours are known before flows come: no queue of theirs overflows.
        host.execute("ping", "-n", "-c", "1", f"192.168.0.{at}", check=False)
        host.execute("ping", "-n", "-c", "1", f"fd00:b::{at}", check=False)

    def bound():
        listener = socket.socket(family, socket.SOCK_DGRAM)
        listener.bind((FAR[version], PORT))
        listener.setblocking(False)
        return listener

    listeners = [hop.inside(bound) for hop in hops]
    senders = vm.inside(lambda: [socket.socket(family, socket.SOCK_DGRAM) for _ in range(FLOWS)])
    try:
        heard = [[], []]

        def send(times):
            for sender in senders * times:
                sender.sendto(b"x", (FAR[version], PORT))

        def all_heard(count):
            for kept, new in zip(heard, arrivals(listeners), strict=True):
                kept.extend(new)
            return sum(len(kept) for kept in heard) >= count

        send(3)
        eventually(lambda: all_heard(3 * FLOWS), 10, "all datagrams")
        ways = [set(kept) for kept in heard]
        # Both are used: that a fair hash leaves one with less than 8 of 64 is one in 10^9.
        assert min(len(way) for way in ways) >= 8
        assert not ways[0] & ways[1]

        host.push(document(host, (21,)))
        heard = [[], []]
        send(1)
        eventually(lambda: all_heard(FLOWS), 10, "all datagrams by one hop")
        assert len(heard[0]) == 0
    finally:
        for item in (*listeners, *senders):
            item.close()
