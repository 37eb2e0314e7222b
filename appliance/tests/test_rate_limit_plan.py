"""Which traffic classes a document's rate limits become, and how tc shows their rates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_appliance.drivers import base, limits, links
from astara_appliance.drivers.qos import plan
from astara_contract import document as contract

EXT, BLUE, RED = (f"fa:16:3e:00:00:0{at}" for at in (1, 2, 3))
FACTS = base.Facts(
    {mac: base.Nic(mac, f"eth{at}", f"ge{at}") for at, mac in enumerate((EXT, BLUE, RED), 1)}
)


def network(kind, mac, address, cidr):
    return {
        "network_id": mac.replace(":", ""),
        "network_type": kind,
        "interface": {"lladdr": mac, "addresses": [address]},
        "subnets": [{"cidr": cidr}],
    }


NETWORKS = [
    network("external", EXT, "203.0.113.2/24", "203.0.113.0/24"),
    network("internal", BLUE, "192.168.0.1/24", "192.168.0.0/24"),
    network("internal", RED, "192.168.1.1/24", "192.168.1.0/24"),
]
PAIR = {"floating_ip": "203.0.113.9", "fixed_ip": "192.168.1.7"}


def planned(*rate_limits):
    document = contract.parse(
        {"networks": NETWORKS, "floating_ips": [PAIR], "rate_limits": list(rate_limits)}
    )
    return plan.classes(document, links.links(document, FACTS))


def test_egress_is_held_back_outside_and_ingress_where_the_machine_is():
    rate = {"kbit": 1000, "burst_kbit": 100}
    found = planned({"address": "203.0.113.9", "ingress": rate, "egress": rate})
    assert found == {
        "eth1": {"7109": plan.Class(1000, 12500)},
        "eth3": {"7109": plan.Class(1000, 12500)},
    }


def test_what_comes_back_to_the_router_may_go_anywhere_inside():
    found = planned({"address": "203.0.113.2", "ingress": {"kbit": 8}})
    assert set(found) == {"eth2", "eth3"}
    assert found["eth2"]["7102"].burst >= 3200


@pytest.mark.parametrize(
    ("kbit", "shown"),
    [(1, "1Kbit"), (1000, "1Mbit"), (1500, "1500Kbit"), (1_234_567, "1234Mbit")],
)
def test_rates_are_spelled_as_tc_does(kbit, shown):
    assert plan.shown_rate(kbit) == shown


@given(st.lists(st.integers(0, 2**20), unique=True, max_size=50))
def test_each_address_has_a_class_of_its_own(addresses):
    document = contract.Document(
        rate_limits=tuple(
            contract.RateLimit(
                address=f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}", egress=contract.Rate(kbit=1)
            )
            for at in addresses
        )
    )
    found = limits.numbers(document, "egress")
    assert len(set(found.values())) == len(addresses)
    assert all(0 < number < limits.MOST for number in found.values())
