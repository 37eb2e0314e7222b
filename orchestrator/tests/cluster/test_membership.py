"""Real coordinator processes on a real ZooKeeper, and on tooz's file driver."""

import itertools
import os
import signal
import time

import pytest
from waiting import wait_until

from astara.cluster import group, members

GROUPS = itertools.count()


@pytest.fixture(params=["file", pytest.param("zookeeper", marks=pytest.mark.functional)])
def url(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path / 'group'}"
    return request.getfixturevalue("zookeeper").url


@pytest.fixture
def pair(member, url):
    """Two nodes that see each other."""
    name = f"group-{next(GROUPS)}"
    first, second = (member(host, url, group_id=name).start() for host in ("a", "b"))
    first.sees("a", "b")
    second.sees("a", "b")
    return first, second


def test_nodes_join_and_leave_at_once(pair):
    first, second = pair
    second.end(signal.SIGTERM)
    first.sees("a")
    assert first.certain
    second.start()
    first.sees("a", "b")


def test_a_node_that_is_killed_is_missed_after_its_lease_and_not_before(pair):
    first, second = pair
    second.end(signal.SIGKILL)
    lease = second.news[-1].lease_until
    wait_until(lambda: first.hosts == {"a"}, "the dead node is missed")
    assert time.monotonic() >= lease  # nobody takes over while the other might still act


def test_a_node_that_is_frozen_loses_its_lease_and_comes_back(pair):
    first, second = pair
    os.kill(second.process.pid, signal.SIGSTOP)
    wait_until(lambda: not second.certain, "the lease of the frozen node is over")
    first.sees("a")
    os.kill(second.process.pid, signal.SIGCONT)
    second.sees("a", "b")
    first.sees("a", "b")


def test_a_node_that_is_killed_and_restarted_at_once_is_never_missed(member, url):
    name = f"group-{next(GROUPS)}"
    patient = {"group_id": name, "member_timeout": 6}  # longer than a start takes
    first, second = (member(host, url, **patient).start() for host in ("a", "b"))
    first.sees("a", "b")
    second.sees("a", "b")
    seen = len(first.news)
    second.end(signal.SIGKILL)
    lease = second.news[-1].lease_until
    second.start()
    wait_until(lambda: second.news[-1].lease_until > lease, "it is back")
    wait_until(lambda: time.monotonic() > lease + 1, "its former run has been forgotten")
    assert {each.hosts for each in first.news[seen:]} == {("a", "b")}


ON_ZOOKEEPER = pytest.mark.parametrize(
    "url", [pytest.param("zookeeper", marks=pytest.mark.functional)], indirect=True
)


@ON_ZOOKEEPER
def test_a_service_that_dies_ends_all_leases_and_comes_back(pair, zookeeper):
    first, second = pair
    zookeeper.kill()
    try:
        wait_until(lambda: not first.certain and not second.certain, "the leases are over")
        wait_until(lambda: "group.lease_lost" in first.log(), "the loss is told")
    finally:
        zookeeper.start()
    first.sees("a", "b")
    second.sees("a", "b")


@ON_ZOOKEEPER
def test_a_service_that_freezes_ends_all_leases_and_comes_back(pair, zookeeper):
    first, second = pair
    with zookeeper.frozen():
        wait_until(lambda: not first.certain and not second.certain, "the leases are over")
    first.sees("a", "b")
    second.sees("a", "b")


def test_foreign_members_are_ignored(member, url):
    name = f"group-{next(GROUPS)}"
    ours = member("a", url, group_id=name).start()
    ours.sees("a")
    own = members.Member("c", "id", 256)
    foreign = group.Group(url, name, own, timeout_s=5)
    told = members.to_capabilities
    try:
        members.to_capabilities = lambda _member: {"somebody": "else"}
        foreign.beat()
    finally:
        members.to_capabilities = told
    wait_until(lambda: "group.foreign" in ours.log(), "the foreign member is seen")
    assert ours.hosts == {"a"}
    foreign.leave()


def test_of_two_nodes_with_one_name_one_acts(tmp_path, member, url):
    name = f"group-{next(GROUPS)}"
    first = member("a", url, group_id=name).start()
    first.sees("a")
    (tmp_path / "other").mkdir()
    second = type(first)(tmp_path / "other", "a", url, group_id=name).start()
    try:
        wait_until(lambda: "another node calls itself a" in first.log(), "the fault is told")
        wait_until(lambda: first.certain != second.certain, "one of them stands down")
    finally:
        second.close()
