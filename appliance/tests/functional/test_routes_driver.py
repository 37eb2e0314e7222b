"""Routes driver against the real kernel, through the agent."""

import pytest

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def host(shared_appliance_host):
    """An appliance between ext (203.0.113.0/24, 2001:db8:cafe::/64) and blue (192.168.0.0/24)."""
    shared_appliance_host.ext = shared_appliance_host.plug("ext")
    shared_appliance_host.blue = shared_appliance_host.plug("blue")
    shared_appliance_host.start_agent()
    return shared_appliance_host


def document(host, *, gateways=("203.0.113.1", "2001:db8:cafe::1"), host_routes=(), **keys):
    external = host.network(
        "external",
        host.ext,
        ["203.0.113.9/24", "2001:db8:cafe::9/64"],
        [
            {"cidr": "203.0.113.0/24", "gateway_ip": gateways[0]},
            {"cidr": "2001:db8:cafe::/64", "gateway_ip": gateways[1]},
        ],
    )
    internal = host.network(
        "internal",
        host.blue,
        ["192.168.0.1/24", "fd00:b::1/64"],
        [{"cidr": "192.168.0.0/24", "host_routes": list(host_routes)}],
    )
    return host.document([external, internal], **keys)


def ours(host):
    """The routes that carry our protocol number, as `ip route` shows them."""
    shown = []
    for family in ("-4", "-6"):
        text = host.execute("ip", family, "route", "show", "proto", "172")
        shown += [" ".join(line.split()) for line in text.splitlines()]
    return shown


def test_default_gateways_of_both_versions(host):
    host.push(document(host))
    device = host.ext.device
    assert ours(host) == [
        f"default via 203.0.113.1 dev {device} src 203.0.113.9 metric 10",
        f"default via 2001:db8:cafe::1 dev {device} src 2001:db8:cafe::9 metric 10 pref medium",
    ]


def test_outside_is_reached_through_the_gateway(host):
    outside = host.segments["ext"].add_host("gw", ["203.0.113.1/24", "198.51.100.10/32"])
    outside.run("ip", "route", "add", "192.168.0.0/24", "via", "203.0.113.9")
    vm = host.segments["blue"].add_host("vm1", ["192.168.0.10/24"], gateway="192.168.0.1")
    host.push(document(host))
    assert vm.pings("198.51.100.10")


def test_gateway_outside_the_subnet_is_taken_as_on_link(host):
    gateway = host.segments["ext"].add_host("far-gw", ["100.64.0.1/32"])
    gateway.run("ip", "route", "add", "203.0.113.9/32", "dev", "eth0")
    host.push(document(host, gateways=("100.64.0.1", "fe80::1")))
    shown = ours(host)
    assert "default via 100.64.0.1" in shown[0]
    assert "onlink" in shown[0]
    assert "default via fe80::1" in shown[1]
    assert host.execute("ping", "-n", "-c", "1", "-W", "2", "100.64.0.1")


def test_a_neighbouring_subnet_is_left_to_an_address_in_it(host):
    subnets = [{"cidr": "203.0.113.0/24", "gateway_ip": "203.0.113.1"}, {"cidr": "203.0.114.0/24"}]
    first, both = ["203.0.113.9/24"], ["203.0.113.9/24", "203.0.114.9/24"]
    for addresses, wanted in ((first, 2), (both, 1), (first, 2)):
        external = host.network("external", host.ext, addresses, subnets)
        host.push(host.document([external]))
        assert len(ours(host)) == wanted
    device = host.ext.device
    assert f"203.0.114.0/24 dev {device} scope link src 203.0.113.9 metric 10" in ours(host)
    host.push(host.document([host.network("external", host.ext, first, subnets[:1])]))
    assert len(ours(host)) == 1


def test_extra_routes_come_change_and_go(host):
    extra = [["10.8.0.0/16", "192.168.0.20"], ["fd00:99::/48", "fd00:b::20"]]
    host.push(document(host, static_routes=extra))
    device = host.blue.device
    assert f"10.8.0.0/16 via 192.168.0.20 dev {device} metric 10" in ours(host)
    assert f"fd00:99::/48 via fd00:b::20 dev {device} metric 10 pref medium" in ours(host)
    host.push(document(host, static_routes=[["10.8.0.0/16", "192.168.0.21"]]))
    assert f"10.8.0.0/16 via 192.168.0.21 dev {device} metric 10" in ours(host)
    assert len(ours(host)) == 3
    host.push(document(host))
    assert len(ours(host)) == 2


def test_same_destination_by_two_next_hops_shares_the_load(host):
    hops = ["192.168.0.20", "192.168.0.21"]
    six = ["fd00:b::20", "fd00:b::21"]
    routes = [["10.8.0.0/16", hop] for hop in hops] + [["fd00:99::/48", hop] for hop in six]
    host.push(document(host, static_routes=routes))
    host.push(document(host, static_routes=routes, hostname="other"))
    text = host.execute("ip", "route", "show", "10.8.0.0/16")
    text += host.execute("ip", "-6", "route", "show", "fd00:99::/48")
    assert all(hop in text for hop in hops + six)
    host.push(document(host, static_routes=[routes[0], routes[2]]))
    text = host.execute("ip", "route", "show", "10.8.0.0/16")
    text += host.execute("ip", "-6", "route", "show", "fd00:99::/48")
    assert hops[0] in text
    assert six[0] in text
    assert hops[1] not in text
    assert six[1] not in text


def test_host_routes_of_subnets_are_the_routers_too(host):
    routes = [
        {"destination": "10.5.0.0/16", "nexthop": "192.168.0.30"},
        {"destination": "10.6.0.0/16", "nexthop": "10.99.99.99"},
        {"destination": "0.0.0.0/0", "nexthop": "192.168.0.30"},
        {"destination": "169.254.169.254/32", "nexthop": "192.168.0.2"},
    ]
    host.push(document(host, host_routes=routes))
    assert f"10.5.0.0/16 via 192.168.0.30 dev {host.blue.device} metric 10" in ours(host)
    assert len(ours(host)) == 3


def test_route_added_by_hand_goes_and_those_of_daemons_and_management_stay(host):
    host.push(document(host))
    for route in (
        "10.77.0.0/16 via 192.168.0.77 proto static",
        "10.78.0.0/16 via 192.168.0.77 proto bird",
        "fd00:77::/48 via fd00:b::77 proto boot",
        "blackhole 198.18.0.0/15",
        f"198.51.100.0/24 dev {host.management.device}",
    ):
        host.execute("ip", "route", "add", *route.split())
    host.push(document(host, static_routes=[["10.8.0.0/16", "192.168.0.20"]]))
    shown = host.execute("ip", "route") + host.execute("ip", "-6", "route")
    left = ["10.77", "10.78", "fd00:77", "198.18", "198.51.100", "10.8.0"]
    assert [word for word in left if word in shown] == ["10.78", "198.51.100", "10.8.0"]


def test_lost_route_is_put_back_by_the_same_document(host):
    host.push(document(host))
    before = ours(host)
    host.execute("ip", "route", "del", "default")
    host.push(document(host))
    assert ours(host) == before
