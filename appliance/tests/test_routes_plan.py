"""Planning of routes; the kernel's part is tested in functional/."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.drivers import base
from astara_appliance.drivers.routes import plan
from astara_appliance.system.netlink import InstalledRoute, Nexthop, Route
from astara_contract import document as contract

MANAGEMENT = base.Nic("fa:16:3e:00:00:00", "eth0", "ge0")
BLUE = base.Nic("fa:16:3e:00:00:01", "ens5", "ge1")
EXT = base.Nic("fa:16:3e:00:00:02", "ens6", "ge2")
FACTS = base.Facts({nic.mac: nic for nic in (MANAGEMENT, BLUE, EXT)})


def network(kind, nic, addresses, subnets=()):
    return {
        "network_id": nic.device,
        "network_type": kind,
        "interface": {"lladdr": nic.mac, "addresses": list(addresses)},
        "subnets": list(subnets),
    }


BLUE_NET = network(
    "internal", BLUE, ["192.168.0.1/24", "fd00::1/64"], [{"cidr": "192.168.0.0/24"}]
)


def external(addresses=("203.0.113.9/24",), *gateways):
    subnets = [
        {"cidr": "2001:db8::/64" if ":" in gw else "203.0.113.0/24", "gateway_ip": gw}
        for gw in gateways
    ]
    return network("external", EXT, addresses, subnets)


def planned(*networks, **keys):
    return plan.plan_routes(contract.parse({"networks": list(networks)} | keys), FACTS)


def test_without_external_network_there_is_no_default_route():
    assert planned(BLUE_NET).routes == ()


def test_default_route_prefers_the_gateway_address_as_source():
    routes = planned(external(["203.0.113.9/24"], "203.0.113.1")).routes
    assert routes == (Route("0.0.0.0/0", (Nexthop("203.0.113.1", "ens6"),), "203.0.113.9"),)


def test_gateway_outside_every_subnet_is_on_link():
    routes = planned(external(["203.0.113.9/24"], "100.64.0.1")).routes
    assert routes[0].nexthops == (Nexthop("100.64.0.1", "ens6", onlink=True),)


def test_link_local_gateway_needs_no_on_link_flag():
    routes = planned(external(["2001:db8::9/64"], "fe80::1")).routes
    assert routes[0].nexthops == (Nexthop("fe80::1", "ens6", onlink=False),)
    assert routes[0].source == "2001:db8::9"


def test_no_default_route_of_a_version_that_the_interface_lacks():
    assert planned(external(["203.0.113.9/24"], "2001:db8::1")).routes == ()


def test_stated_default_gateway_wins_over_the_order_of_subnets():
    net = external(["203.0.113.9/24"], "203.0.113.1", "203.0.113.2")
    routes = planned(net, default_v4_gateway="203.0.113.2").routes
    assert routes[0].nexthops[0].gateway == "203.0.113.2"


def test_extra_default_route_wins_over_the_external_gateway():
    net = external(["203.0.113.9/24"], "203.0.113.1")
    routes = planned(net, BLUE_NET, static_routes=[["0.0.0.0/0", "192.168.0.5"]]).routes
    assert routes == (Route("0.0.0.0/0", (Nexthop("192.168.0.5", "ens5"),)),)


def test_next_hops_on_management_are_out_of_reach():
    management = network("management", MANAGEMENT, ["10.255.0.2/24"])
    made = planned(management, BLUE_NET, static_routes=[["10.8.0.0/16", "10.255.0.7"]])
    assert made.routes == ()
    assert made.skipped == ("10.8.0.0/16 via 10.255.0.7",)


def test_route_via_ourselves_is_skipped():
    made = planned(BLUE_NET, static_routes=[["10.8.0.0/16", "192.168.0.1"]])
    assert (made.routes, len(made.skipped)) == ((), 1)


def test_extra_route_wins_over_a_host_route_for_the_same_destination():
    hosts = [{"destination": "10.8.0.0/16", "nexthop": "192.168.0.9"}]
    blue = network(
        "internal", BLUE, ["192.168.0.1/24"], [{"cidr": "192.168.0.0/24", "host_routes": hosts}]
    )
    made = planned(blue, static_routes=[["10.8.0.0/16", "192.168.0.7"]])
    assert made.routes == (Route("10.8.0.0/16", (Nexthop("192.168.0.7", "ens5"),)),)
    assert planned(blue).routes[0].nexthops[0].gateway == "192.168.0.9"


hops = st.sampled_from([Nexthop(f"192.168.0.{n}", "ens5") for n in range(5, 9)])
routes = st.lists(
    st.builds(
        Route,
        destination=st.sampled_from(["0.0.0.0/0", "10.1.0.0/16", "10.2.0.0/16", "fd00:9::/48"]),
        nexthops=st.sets(hops, min_size=1, max_size=2).map(lambda found: tuple(sorted(found))),
        source=st.none() | st.just("192.168.0.1"),
    ),
    unique_by=lambda route: route.destination,
)


def ours(route):
    return InstalledRoute(route, plan.PROTOCOL, plan.METRIC, kind=1)


@given(routes, routes)
def test_one_change_leads_to_the_desired_routes(observed, wanted):
    desired = plan.Desired(tuple(wanted))
    change = plan.change_routes([ours(route) for route in observed], desired)
    table = {route.destination: route for route in observed}
    table.update({route.destination: route for route in change.replace})
    for item in change.remove:
        del table[item.route.destination]
    assert set(table.values()) == set(wanted)
    assert not plan.change_routes([ours(route) for route in wanted], desired)


@pytest.mark.parametrize(
    ("protocol", "metric", "device", "is_removed"),
    [
        (3, 0, "ens5", True),
        (4, 7, "ens5", True),
        (plan.PROTOCOL, 7, "ens5", True),
        (3, 0, "", True),
        (3, 2000, "eth0", False),
        (2, 0, "ens5", False),
        (12, 32, "ens5", False),
    ],
    ids=["by-hand", "static", "our-number", "blackhole", "management", "kernel", "bird"],
)
def test_routes_added_by_hand_are_foreign(protocol, metric, device, is_removed):
    found = InstalledRoute(
        Route("10.1.0.0/16", (Nexthop("192.168.0.9", device),)), protocol, metric, kind=1
    )
    change = plan.change_routes([found], plan.Desired((), management="eth0"))
    assert change.remove == ((found,) if is_removed else ())
