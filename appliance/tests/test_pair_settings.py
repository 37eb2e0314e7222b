"""What the guard and keepalived of a pair are told, and what no longer is another driver's."""

import pytest

from astara_appliance.drivers import base
from astara_appliance.drivers.interfaces import plan as interfaces_plan
from astara_appliance.drivers.routes import plan as routes_plan
from astara_appliance.drivers.vrrp import config
from astara_appliance.pair import fence, settings
from astara_appliance.system.paths import Paths
from astara_contract import document as contract

OWN, PEER = "fdca::2/64", "fdca::3"
MACS = {name: f"fa:16:3e:00:00:0{at}" for at, name in enumerate(("eth0", "eth1", "eth2"))}
FACTS = base.Facts({mac: base.Nic(mac, device, f"ge{device[3]}") for device, mac in MACS.items()})
NETWORKS = [
    {"network_id": "m", "network_type": "management",
     "interface": {"lladdr": MACS["eth0"], "addresses": [OWN]}},
    {"network_id": "e", "network_type": "external",
     "interface": {"lladdr": MACS["eth1"], "addresses": ["203.0.113.2/24"]},
     "subnets": [{"cidr": "203.0.113.0/24", "gateway_ip": "203.0.113.1"}]},
    {"network_id": "i", "network_type": "internal",
     "interface": {"lladdr": MACS["eth2"], "addresses": ["10.0.0.1/24", "fe80::1/64"]}},
]  # fmt: skip
PLACES = settings.Places(Paths().run_dir)


def document(**pair):
    keys = {"ha_resource": True, "ha_config": {"peers": [PEER], **pair}} if pair else {}
    floating = [{"floating_ip": "203.0.113.9", "fixed_ip": "10.0.0.9"}]
    return contract.parse({"networks": NETWORKS, "floating_ips": floating, **keys})


def test_single_appliance_has_no_guard_and_its_own_addresses():
    assert config.configuration(document(), FACTS, (OWN,), PLACES) is None
    plans = {
        plan.device: plan for plan in interfaces_plan.plan_interfaces(document(), FACTS).links
    }
    assert plans["eth1"].addresses == {"203.0.113.2/24", "203.0.113.9/32"}


def test_all_of_the_router_follows_the_role():
    _, told = config.configuration(document(priority=7), FACTS, (OWN,), PLACES)
    assert {(item.device, item.address) for item in told.addresses} == {
        ("eth1", "203.0.113.2/24"),
        ("eth1", "203.0.113.9/32"),
        ("eth2", "10.0.0.1/24"),
        ("eth2", "fe80::1/64"),
        ("eth2", "fe80::a9fe:a9fe/128"),
    }
    assert [item.address for item in told.addresses if item.deprecated] == ["fe80::a9fe:a9fe/128"]
    assert [route.destination for route in told.routes] == ["0.0.0.0/0"]
    assert settings.decode(settings.encode(told)) == told


def test_other_drivers_leave_it_alone_in_a_pair():
    paired = document(priority=7)
    plans = {plan.device: plan for plan in interfaces_plan.plan_interfaces(paired, FACTS).links}
    assert plans["eth1"].up
    assert (plans["eth1"].addresses, plans["eth1"].keep_others) == (frozenset(), True)
    assert not routes_plan.change_routes((), routes_plan.plan_routes(paired, FACTS))


def test_keepalived_elects_and_has_no_address_of_the_router():
    text, _ = config.configuration(
        document(priority=7, virtual_router_id=3, advert_interval_ms=200), FACTS, (OWN,), PLACES
    )
    lines = [line.strip() for line in text.splitlines()]
    for line in ("nopreempt", "priority 7", "virtual_router_id 3", "advert_int 0.2",
                 "unicast_src_ip fdca::2", PEER, "eth1", "eth2", "interface eth0"):  # fmt: skip
        assert line in lines
    assert "10.0.0.1" not in text
    assert "203.0.113" not in text


def test_peer_without_an_address_of_our_own_is_refused():
    with pytest.raises(base.CheckFailed, match="no management address"):
        config.configuration(document(priority=7), FACTS, ("192.0.2.1/24",), PLACES)


@pytest.mark.parametrize(("interval", "lease_s"), [(50, 1.0), (100, 1.0), (1000, 10.0)])
def test_lease_outlives_ten_adverts(interval, lease_s):
    _, told = config.configuration(document(advert_interval_ms=interval), FACTS, (OWN,), PLACES)
    assert told.lease_s == lease_s


def test_fence_changes_only_the_carriers_that_changed():
    commands = fence.changed({"eth1": 2, "eth2": 3}, {"eth1": 2, "eth2": 5})
    assert "delete chain netdev astara_pair c3" in commands
    assert 'device "eth2"' in commands
    assert "c2" not in commands
    assert not fence.changed({"eth1": 2}, {"eth1": 2})
