"""Epochs of a worker: claimed once, raised above what an appliance has seen, lost to others."""

import pytest
from sqlalchemy.engine import make_url

from astara.cluster import fence
from astara.machine import instance_port
from astara.store import database, ownership, schema


@pytest.fixture
def epochs(tmp_path):
    base = database.open_database(make_url(f"sqlite:///{tmp_path}/astara.db"), 5)
    schema.upgrade(base)
    yield ownership.Epochs(base)
    base.close()


@pytest.fixture
def ours(epochs):
    return fence.Fence(epochs, "a")


def test_a_restart_keeps_epochs(epochs, ours):
    assert ours.epoch("r") == 1
    again = fence.Fence(epochs, "a")
    assert again.epoch("r") == 1


def test_another_node_that_takes_over_gets_a_higher_epoch(epochs, ours):
    ours.epoch("r")
    assert fence.Fence(epochs, "b").epoch("r") == 2
    assert ours.epoch("r") == 1  # stale, and the appliance will say so
    with pytest.raises(instance_port.Fenced):
        ours.refused("r")
    with pytest.raises(instance_port.Fenced):
        ours.confirm("r")  # before a server is booted


def test_a_resource_that_came_back_is_claimed_anew(epochs, ours):
    ours.epoch("r")
    fence.Fence(epochs, "b").epoch("r")
    ours.drop("r")
    assert ours.epoch("r") == 3


def test_an_appliance_that_saw_more_means_that_the_resource_was_lost(epochs, ours):
    ours.epoch("r")
    theirs = fence.Fence(epochs, "b").epoch("r")
    with pytest.raises(instance_port.Fenced):
        ours.epoch("r", above=theirs)


@pytest.mark.parametrize("known", [True, False])
def test_a_database_that_was_lost_is_raised_above_what_the_appliance_saw(ours, known):
    if known:
        ours.epoch("r")
    assert ours.epoch("r", above=7) == 8
    assert ours.epoch("r", above=8) == 8


def test_known_epochs_need_no_database_and_unknown_ones_do():
    away = database.open_database(make_url("mysql+pymysql://root@127.0.0.1:9/x"), 1)
    cut_off = fence.Fence(ownership.Epochs(away), "a")
    cut_off._known["r"] = 4
    assert cut_off.epoch("r") == 4
    cut_off.confirm("r")
    with pytest.raises(instance_port.Retry):
        cut_off.epoch("r2")
    with pytest.raises(instance_port.Retry):
        cut_off.confirm("r2")
    with pytest.raises(instance_port.Fenced):
        cut_off.refused("r")  # the appliance is sure, and we are not


def test_what_is_gone_for_good_leaves_the_database(epochs, ours):
    ours.epoch("r")
    ours.end("r")
    assert epochs.all() == ()
