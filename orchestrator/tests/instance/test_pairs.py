"""Routers with ha=True: two appliances, one cared for at a time, told by the cloud around them."""

import pytest

from astara.machine.vocabulary import InstanceState


@pytest.fixture
def paired(rig):
    """A pair that is configured, and its router."""
    router_id = rig.cloud.add_router(ha=True)
    instance = rig.instance(router_id)
    rig.drive(instance)
    return router_id, instance


def roles(rig, **wanted):
    """Have the appliances of the members tell their roles: {server name suffix: role}."""
    for appliance in rig.cloud.appliances.values():
        name = rig.cloud.servers[appliance["server"]]["name"]
        appliance["role"] = wanted["m" + name.rpartition("_")[2]]


def server(rig, index):
    return next(s for s in rig.cloud.servers.values() if s["name"].endswith(f"_{index}"))


def appliance(rig, index):
    wanted = server(rig, index)["id"]
    return next(a for a in rig.cloud.appliances.values() if a["server"] == wanted)


def look(instance):
    instance.begin_walk()
    return instance.update_state()


def test_a_pair_gets_two_servers_apart_and_each_hears_of_the_other(rig, paired):
    router_id, instance = paired
    names = sorted(s["name"] for s in rig.cloud.servers.values())
    assert names == [f"ak-router-{router_id}_0", f"ak-router-{router_id}_1"]
    [group] = rig.cloud.groups.values()
    assert group["policy"] == "soft-anti-affinity"
    hints = [s["_hints"] for s in rig.cloud.servers.values()]
    assert hints == [{"group": group["id"]}] * 2
    told = dict(rig.cloud.pushes)
    assert len(told) == 2
    for address, document in told.items():
        [peer] = document.ha_config.peers
        assert peer in told
        assert peer != address
    assert {d.ha_config.priority for d in told.values()} == {150, 100}
    macs = [{n.interface.lladdr for n in d.networks} for d in told.values()]
    assert not macs[0] & macs[1]
    assert rig.cloud.routers[router_id]["status"] == "ACTIVE"
    assert instance.applied_generation == "g1"


def test_a_restarted_orchestrator_finds_both_and_changes_nothing(rig, paired):
    router_id, _ = paired
    pushes = len(rig.cloud.pushes)
    fresh = rig.instance(router_id)
    assert look(fresh) is InstanceState.CONFIGURED
    assert len(fresh.describe().members) == 2
    assert len(rig.cloud.pushes) == pushes


def test_a_poll_of_a_pair_asks_its_appliances_alone(rig, paired):
    _, instance = paired
    instance.end_walk()
    instance.begin_walk()
    before = len(rig.cloud.log)
    assert instance.glance() is InstanceState.CONFIGURED
    assert rig.cloud.log[before:] == ["GET /v1/status"] * 2


def test_the_tenant_sees_an_active_router_while_half_of_it_is_replaced(rig, paired):
    _, instance = paired
    survivor = server(rig, 1)["id"]
    rig.cloud._erase(server(rig, 0))
    puts = len(rig.cloud.status_puts)
    assert look(instance) is InstanceState.DOWN
    assert instance.boot() is InstanceState.BOOTING
    rig.drive(instance)
    assert survivor in rig.cloud.servers
    assert len(rig.cloud.servers) == 2
    assert rig.cloud.status_puts[puts:] == []


def test_a_change_reaches_the_half_that_serves_while_the_other_boots(rig, paired):
    router_id, instance = paired
    rig.cloud._erase(server(rig, 1))
    look(instance)
    instance.boot()
    server(rig, 1)["_held"] = True
    rig.cloud.routers[router_id]["routes"] = [
        {"destination": "10.9.0.0/16", "nexthop": "10.1.0.9"}
    ]
    instance.begin_walk()
    assert instance.check_boot() is InstanceState.UP
    assert instance.configure() is InstanceState.BOOTING
    assert rig.cloud.pushes[-1][1].static_routes == (("10.9.0.0/16", "10.1.0.9"),)


def test_of_two_silent_appliances_one_alone_is_replaced(rig, paired):
    _, instance = paired
    rig.cloud.silence()
    assert look(instance) is InstanceState.CONFIGURED
    assert not instance.answering
    chosen = instance.boot_age_s
    assert chosen is not None
    assert instance.stop(final=False) in (InstanceState.DOWN, InstanceState.RESTART_NEEDED)
    assert len(rig.cloud.servers) == 1
    instance.begin_walk()
    assert instance.boot() is InstanceState.BOOTING
    assert len(rig.cloud.servers) == 2


def test_a_half_that_cannot_boot_is_left_for_later_and_the_other_served(rig, paired):
    router_id, instance = paired
    rig.cloud._erase(server(rig, 1))
    assert look(instance) is InstanceState.DOWN
    assert instance.set_error("no host has room") is InstanceState.DEGRADED
    assert rig.cloud.routers[router_id]["status"] == "ACTIVE"
    rig.cloud.routers[router_id]["enable_snat"] = False
    assert look(instance) is InstanceState.UP
    assert instance.configure() is InstanceState.DEGRADED
    assert instance.describe().members[1].note


def test_a_rebuild_replaces_the_backup_first_and_has_the_master_hand_over(rig, paired):
    _, instance = paired
    roles(rig, m0="master", m1="backup")
    look(instance)
    old = {index: server(rig, index)["id"] for index in (0, 1)}
    instance.outdate()
    while instance.stop(final=False) is not InstanceState.DOWN:
        pass
    assert old[0] in rig.cloud.servers
    assert old[1] not in rig.cloud.servers
    for _ in range(40):
        if {old[0], old[1]}.isdisjoint(rig.cloud.servers) and len(rig.cloud.servers) == 2:
            break
        if len(rig.cloud.servers) == 2 and old[0] in rig.cloud.servers:
            roles(rig, m0=appliance(rig, 0).get("role", "master"), m1="backup")
        try:
            rig.drive(instance, steps=3)
        except AssertionError:
            continue
    assert {old[0], old[1]}.isdisjoint(rig.cloud.servers)
    assert rig.cloud.handed_over == [old[0]]


def test_a_switchover_has_the_master_hand_over_once(rig, paired):
    _, instance = paired
    roles(rig, m0="master", m1="backup")
    look(instance)
    assert instance.ask_to_switch() == ""
    assert look(instance) is InstanceState.CONFIGURED
    assert rig.cloud.handed_over == [server(rig, 0)["id"]]
    look(instance)
    assert len(rig.cloud.handed_over) == 1


def test_a_switchover_to_a_broken_half_is_refused(rig, paired):
    _, instance = paired
    roles(rig, m0="master", m1="fault")
    look(instance)
    assert instance.ask_to_switch() == ""
    look(instance)
    assert rig.cloud.handed_over == [], "found out by looking at it"
    rig.cloud.silence()
    look(instance)
    assert "silent" in instance.ask_to_switch()


def test_one_becomes_two_without_a_moment_of_two_masters(rig):
    router_id = rig.cloud.add_router()
    instance = rig.instance(router_id)
    rig.drive(instance)
    [first] = rig.cloud.servers
    rig.cloud.routers[router_id]["ha"] = True
    pushes = len(rig.cloud.pushes)
    rig.drive(instance)
    assert first in rig.cloud.servers
    assert len(rig.cloud.servers) == 2
    told = [document.ha_config is not None for _, document in rig.cloud.pushes[pushes:]]
    assert told == [True, True]
    address = rig.cloud.pushes[pushes][0]
    assert rig.cloud.appliances[address]["server"] == first, "who serves hears of it first"


def test_two_become_one_and_nothing_of_the_second_is_left(rig, paired):
    router_id, instance = paired
    roles(rig, m0="backup", m1="master")
    first, second = server(rig, 0)["id"], server(rig, 1)["id"]
    rig.cloud.routers[router_id]["ha"] = False
    assert look(instance) is InstanceState.RESTART_NEEDED
    rig.drive(instance)
    assert list(rig.cloud.servers) == [first]
    assert rig.cloud.handed_over == [second]
    assert rig.cloud.groups == {}
    assert {p["name"].count(":") for p in rig.cloud.ports_of(router_id)} == {2}
    assert rig.cloud.pushes[-1][1].ha_config is None
    assert instance.describe().members == ()


def test_two_become_one_in_the_steps_of_the_automaton(rig, paired):
    router_id, _ = paired
    instance = rig.instance(router_id)  # one that has read the ports of both
    roles(rig, m0="master", m1="backup")
    first = server(rig, 0)["id"]
    rig.cloud.routers[router_id]["ha"] = False
    assert look(instance) is InstanceState.RESTART_NEEDED
    for _ in range(5):
        if instance.stop(final=False) is InstanceState.DOWN:
            break
    assert instance.boot() in (InstanceState.UP, InstanceState.CONFIGURED)
    assert instance.configure() is InstanceState.CONFIGURED
    assert list(rig.cloud.servers) == [first]
    assert look(instance) is InstanceState.CONFIGURED
    assert instance.describe().members == ()


def test_the_end_of_a_pair_leaves_nothing(rig, paired):
    router_id, instance = paired
    del rig.cloud.routers[router_id]
    assert look(instance) is InstanceState.GONE
    rig.end(instance)
    assert rig.cloud.servers == {}
    assert rig.cloud.ports_of(router_id) == []
    assert rig.cloud.groups == {}


@pytest.mark.parametrize("call", range(1, 40, 3))
def test_whatever_call_is_cut_off_a_pair_is_made_once(rig, call):
    router_id = rig.cloud.add_router(ha=True)
    rig.cloud.break_at = rig.cloud.count + call
    rig.drive(rig.instance(router_id), steps=60)
    assert len(rig.cloud.servers) == 2
    assert len(rig.cloud.ports_of(router_id)) == 4
