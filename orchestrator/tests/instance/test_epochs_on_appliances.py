"""Two nodes that both believe to own a router: the later owner alone writes to the appliance."""

import pytest

from astara.machine import instance_port
from astara.machine.vocabulary import InstanceState


@pytest.fixture
def router(rig):
    return rig.cloud.add_router()


def change(rig, router, name):
    rig.cloud.routers[router]["enable_snat"] = name == "snat"


def push(rig, instance):
    instance.begin_walk()
    instance.update_state()
    return instance.configure()


def test_the_epoch_travels_with_every_push(rig, router):
    first = rig.instance(router, "node1")
    rig.drive(first)
    assert [a["epoch"] for a in rig.cloud.appliances.values()] == [1]
    second = rig.instance(router, "node2")
    change(rig, router, "no snat")
    assert push(rig, second) is InstanceState.CONFIGURED
    assert [a["epoch"] for a in rig.cloud.appliances.values()] == [2]


def test_a_node_that_lost_ownership_is_refused_and_changes_nothing(rig, router):
    first, second = rig.instance(router, "node1"), rig.instance(router, "node2")
    rig.drive(first)
    change(rig, router, "no snat")
    push(rig, second)
    change(rig, router, "snat")
    before = len(rig.cloud.pushes)
    with pytest.raises(instance_port.Fenced, match="node2"):
        push(rig, first)
    assert len(rig.cloud.pushes) == before


def test_a_push_that_was_prepared_before_the_other_took_over_is_refused(rig, router):
    first, second = rig.instance(router, "node1"), rig.instance(router, "node2")
    rig.drive(first)
    change(rig, router, "no snat")
    first.begin_walk()
    first.update_state()  # it has looked, and is stopped here for a while
    push(rig, second)
    before = len(rig.cloud.pushes)
    with pytest.raises(instance_port.Fenced):
        first.configure()
    assert len(rig.cloud.pushes) == before


def test_a_node_that_lost_ownership_boots_nothing(rig, router):
    first, second = rig.instance(router, "node1"), rig.instance(router, "node2")
    rig.drive(first)
    rig.drive(second)
    change(rig, router, "no snat")
    push(rig, second)
    rig.cloud.servers.clear()
    first.begin_walk()
    with pytest.raises(instance_port.Fenced):
        first.boot()
    assert not rig.cloud.servers


def test_a_restart_of_the_same_node_pushes_nothing_and_keeps_the_epoch(rig, router):
    rig.drive(rig.instance(router, "node1"))
    before = len(rig.cloud.pushes)
    assert push(rig, rig.instance(router, "node1")) is InstanceState.CONFIGURED
    assert len(rig.cloud.pushes) == before
    assert rig.epochs.get(router).epoch == 1


def test_a_database_that_was_lost_heals(rig, router):
    rig.drive(rig.instance(router, "node1"))
    for appliance in rig.cloud.appliances.values():
        appliance["epoch"] = 17
    rig.epochs.forget(router, "node1")
    change(rig, router, "no snat")
    rig.drive(rig.instance(router, "node1"))
    assert [a["epoch"] for a in rig.cloud.appliances.values()] == [18]


def test_a_router_that_is_gone_leaves_no_line_in_the_database(rig, router):
    instance = rig.instance(router, "node1")
    rig.drive(instance)
    del rig.cloud.routers[router]
    rig.end(instance)
    assert rig.epochs.get(router) is None


def test_what_is_let_go_is_claimed_anew(rig, router):
    instance = rig.instance(router, "node1")
    rig.drive(instance)
    push_by_other = rig.instance(router, "node2")
    change(rig, router, "no snat")
    push(rig, push_by_other)
    instance.let_go()
    change(rig, router, "snat")
    assert push(rig, instance) is InstanceState.CONFIGURED
    assert rig.epochs.get(router).epoch == 3
