"""What this node may do: leases, changes of the ring, foreign members, namesakes."""

import pytest
from virtual_time import VirtualClock

from astara import events
from astara.cluster import members, node, placement
from astara.cluster.placement import Standing
from astara.cluster.ring import Ring

EXPONENT = 5
A = members.Member("a", "id-a", 32)
B = members.Member("b", "id-b", 32)


def ids_of(owner, hosts):
    ring = Ring(hosts, EXPONENT)
    return [each for each in map(str, range(200)) if ring.owner(each) == owner]


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def shared(clock):
    return placement.Shared("a", EXPONENT, grace_s=2, time=clock)


def news(clock, *hosts, lasts_s=10):
    return events.Membership(hosts, clock.monotonic() + lasts_s)


def test_a_lone_node_owns_all():
    assert placement.Alone().standing("r") is Standing.ACT


def test_nothing_is_ours_before_the_first_news(shared):
    assert shared.standing("r") is Standing.ELSEWHERE


def test_a_node_that_comes_waits_a_moment_for_the_others_to_let_go(shared, clock):
    shared.learn(news(clock, "a", "b"))
    mine = ids_of("a", "ab")[0]
    assert shared.standing(mine) is Standing.WAIT
    clock.now += 2
    assert shared.standing(mine) is Standing.ACT


def test_the_ring_decides(shared, clock):
    assert shared.learn(news(clock, "a", "b"))
    clock.now += 2
    assert not shared.learn(news(clock, "b", "a"))
    assert {shared.standing(each) for each in ids_of("a", "ab")} == {Standing.ACT}
    assert {shared.standing(each) for each in ids_of("b", "ab")} == {Standing.ELSEWHERE}


def test_a_lease_that_ran_out_stops_all_acting_and_forgets_nothing(shared, clock):
    shared.learn(news(clock, "a"))
    clock.now += 10
    assert shared.standing("r") is Standing.WAIT
    assert not shared.learn(news(clock, "a"))
    assert shared.standing("r") is Standing.ACT


def test_old_news_move_nothing(shared, clock):
    shared.learn(news(clock, "a"))
    assert not shared.learn(news(clock, "b", lasts_s=-1))
    assert shared.standing("r") is not Standing.ELSEWHERE


def test_what_a_living_node_gives_up_is_taken_after_a_moment(shared, clock):
    shared.learn(news(clock, "b"))
    shared.learn(news(clock, "a", "b"))
    mine = ids_of("a", "ab")[0]
    assert shared.standing(mine) is Standing.WAIT
    clock.now += 2
    assert shared.standing(mine) is Standing.ACT


def test_what_a_dead_node_had_is_taken_at_once(shared, clock):
    shared.learn(news(clock, "a", "b"))
    theirs = ids_of("b", "ab")[0]
    assert shared.standing(theirs) is Standing.ELSEWHERE
    assert shared.learn(news(clock, "a"))
    assert shared.standing(theirs) is Standing.ACT


@pytest.mark.parametrize(
    "told",
    [
        None,
        b"",
        "text",
        {},
        {"host": "x", "node": "y", "points": 1},
        {members.MARK: 1, "host": 7, "node": "y", "points": 1},
    ],
)
def test_foreign_members_are_ignored(told):
    assert members.from_capabilities(told) is None


def test_a_member_is_read_as_it_was_written():
    assert members.from_capabilities(members.to_capabilities(A)) == A


def test_nodes_are_counted_once_however_many_processes_they_had():
    seen = members.census([A, A, B], A)
    assert seen.hosts == {"a", "b"}
    assert seen.counts
    assert seen.faults == ()


def test_of_two_namesakes_one_alone_counts_and_both_are_told():
    other = members.Member("a", "id-0", 32)
    first, second = members.census([A, other], A), members.census([A, other], other)
    assert [first.counts, second.counts] == [False, True]
    assert first.faults
    assert second.faults


def test_a_node_that_is_not_there_does_not_count():
    assert not members.census([B], A).counts


def test_a_different_number_of_points_is_told():
    assert (
        "hash_partition_exponent of b"
        in members.census([A, members.Member("b", "id-b", 256)], A).faults[0]
    )


class Conf:
    def __init__(self, path):
        self.host, self.state_path = "a", str(path)


def test_a_node_keeps_its_id_and_another_directory_has_another(tmp_path):
    first, again = node.this_node(Conf(tmp_path / "1")), node.this_node(Conf(tmp_path / "1"))
    other = node.this_node(Conf(tmp_path / "2"))
    assert first == again
    assert first.owner != other.owner
