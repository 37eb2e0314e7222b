"""What is in debug, or another node's, is left alone; what comes back is reconciled at once."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_cloud import Cloud, Factory
from virtual_time import VirtualClock

from astara import events, store
from astara.cluster import placement
from astara.cluster.placement import Standing
from astara.machine import automaton, patience, permit
from astara.machine.permit import Permit
from astara.machine.vocabulary import Action, InstanceState
from astara.worker import gate, registry, watch

SINCE = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
CHANGES = ("boot", "configure", "replug", "stop", "stopped")


def mode(scope, subject=""):
    return store.DebugMode(store.Scope(scope), subject, "because", "alice", SINCE)


class Places:
    """A placement that a test writes."""

    def __init__(self):
        self.default, self.standings = Standing.ACT, {}

    def standing(self, resource_id):
        return self.standings.get(resource_id, self.default)


class Bench:
    """A registry behind a real gate, with scripted instances."""

    def __init__(self, root):
        self.cloud, self.clock, self.places = Cloud(root), VirtualClock(), Places()
        self.gate = gate.Gate(self.places)
        self.slots = registry.Registry(self.make, self.clock, print, self.gate.ours)

    def make(self, resource):
        instance = Factory(self.cloud).create(resource)
        return automaton.Automaton(
            instance,
            patience.Policy(),
            self.clock,
            gate=lambda tenant: self.gate.ruling(resource.id, tenant),
        )

    def modes(self, *modes):
        if self.gate.learn(modes):
            self.slots.reconsider(everything=True)

    def event(self, name, action=Action.UPDATE):
        self.slots.handle(events.Event(events.Resource("router", name, "t1"), action))

    def work(self, seconds=0.0):
        end = self.clock.now + seconds
        while True:
            while self.slots.census()["ready"]:
                slot = self.slots.take()
                self.slots.give_back(slot, slot.automaton.run())
            with self.slots._changed:
                next_s = self.slots._fire_timers()
            if self.slots.census()["ready"]:
                continue
            if next_s is None or self.clock.now + next_s > end:
                self.clock.now = end
                return
            self.clock.now += next_s

    def changes(self):
        return [one["call"] for one in self.cloud.calls() if one["call"] in CHANGES]

    def state(self, name):
        return self.slots.slot(name).automaton.instance.state


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    bench.cloud.router("a", tenant="t1")
    return bench


@pytest.mark.parametrize(
    "holding", [mode("global"), mode("tenant", "t1"), mode("resource", "a")], ids=lambda m: m.scope
)
def test_nothing_is_done_to_what_is_in_debug_and_leaving_it_reconciles(bench, holding):
    bench.modes(holding)
    bench.event("a", Action.CREATE)
    bench.work(60)
    assert bench.changes() == []
    assert bench.slots.census()["held"] == 1
    assert "by alice: because" in bench.slots.slot("a").held
    bench.modes()
    bench.work(60)
    assert bench.state("a") is InstanceState.CONFIGURED


def test_others_go_on_while_one_is_in_debug(bench):
    bench.modes(mode("resource", "other"), mode("tenant", "t2"))
    bench.event("a")
    bench.work(60)
    assert bench.state("a") is InstanceState.CONFIGURED


def test_a_walk_that_is_under_way_stops_at_its_next_step_and_starts_afresh(bench):
    bench.modes()
    bench.event("a", Action.CREATE)
    bench.work()  # it has booted and waits
    assert bench.changes() == ["boot"]
    bench.modes(mode("global"))
    bench.work(10_000)  # much longer than any deadline
    assert bench.changes() == ["boot"]
    bench.modes()
    bench.work(60)
    assert bench.state("a") is InstanceState.CONFIGURED
    assert bench.changes().count("boot") == 1  # the deadline of the boot began anew


def test_a_deletion_during_debug_is_kept(bench):
    bench.modes()
    bench.event("a")
    bench.work(60)
    bench.modes(mode("resource", "a"))
    bench.cloud.remove("routers", "a")
    bench.event("a", Action.DELETE)
    bench.work(60)
    assert bench.cloud.names("servers") == ["a"]
    bench.modes()
    bench.work(60)
    assert bench.cloud.names("servers") == []


def test_what_idles_is_shown_as_held_and_polls_do_not_wake_it(bench):
    bench.modes()
    bench.event("a")
    bench.work(60)
    bench.modes(mode("tenant", "t1"))
    looks = len(bench.cloud.calls())
    bench.slots.handle(events.PollSlice(0, 1))
    bench.work(60)
    assert bench.slots.census()["held"] == 1
    assert len(bench.cloud.calls()) == looks


def test_nothing_is_done_before_the_debug_modes_are_known(bench):
    bench.event("a")
    bench.work(60)
    assert bench.cloud.calls() == []
    bench.modes()
    bench.work(60)
    assert bench.state("a") is InstanceState.CONFIGURED


def test_a_mode_that_ends_while_the_walk_is_standing_down_is_noticed(bench):
    bench.modes(mode("global"))
    bench.event("a")
    slot = bench.slots.take()
    ended = slot.automaton.run()
    bench.modes()  # between the ruling and the return of the slot
    bench.slots.give_back(slot, ended)
    assert bench.slots.census()["ready"] == 1


def test_what_another_node_owns_is_not_even_kept(bench):
    bench.modes()
    bench.places.default = Standing.ELSEWHERE
    bench.event("a")
    bench.work(60)
    assert bench.slots.slot("a") is None
    assert bench.cloud.calls() == []


def test_what_moves_to_another_node_is_let_go_with_all_that_was_asked(bench):
    bench.modes()
    bench.event("a")
    bench.work()  # booting
    bench.event("a", Action.REBUILD)
    bench.places.standings["a"] = Standing.ELSEWHERE
    bench.slots.reconsider(everything=True)
    bench.work(60)
    assert bench.slots.slot("a") is None
    assert bench.changes() == ["boot"]
    assert bench.cloud.calls("a", "let_go")


def test_a_running_walk_finds_out_before_its_next_step(bench):
    bench.modes()
    bench.event("a")
    slot = bench.slots.take()
    bench.places.standings["a"] = Standing.ELSEWHERE
    bench.slots.reconsider(everything=True)
    bench.slots.give_back(slot, slot.automaton.run())
    assert bench.slots.slot("a") is None
    assert bench.changes() == []


def test_uncertain_ownership_holds_and_certainty_frees(bench):
    bench.modes()
    bench.places.default = Standing.WAIT
    bench.event("a")
    bench.work(60)
    assert bench.changes() == []
    bench.places.default = Standing.ACT
    bench.slots.reconsider(everything=False)
    bench.work(60)
    assert bench.state("a") is InstanceState.CONFIGURED


def test_a_push_that_is_refused_as_stale_drops_the_resource(bench):
    bench.modes()
    bench.cloud.write("faults", "a", configure="fenced")
    bench.event("a")
    bench.work(60)
    assert bench.slots.slot("a") is None
    assert bench.cloud.calls("a", "let_go")


MODES = st.one_of(
    st.just(mode("global")),
    st.sampled_from(["t1", "t2"]).map(lambda tenant: mode("tenant", tenant)),
    st.sampled_from(["a", "b"]).map(lambda one: mode("resource", one)),
)


@given(st.sets(MODES), st.sampled_from(["a", "b", "c"]), st.sampled_from(["", "t1", "t2"]))
def test_a_resource_is_held_exactly_if_a_mode_covers_it(modes, resource_id, tenant_id):
    covered = {("global", ""), ("tenant", tenant_id), ("resource", resource_id)}
    expected = any((str(each.scope), each.subject) in covered for each in modes)
    held = gate.Flags(modes).ruling(resource_id, tenant_id).permit is Permit.HOLD
    assert held == expected


def test_a_lone_node_with_nothing_in_debug_may_do_all():
    entrance = gate.Gate(placement.Alone())
    assert entrance.ruling("a", "t") is gate.UNKNOWN
    assert entrance.learn([])
    assert not entrance.learn([])
    assert entrance.ruling("a", "t") is permit.GO


class OutOfReach:
    """A store whose database comes and goes."""

    def __init__(self):
        self.away, self.modes, self.debug = True, (), self

    def make_ready(self):
        if self.away:
            raise store.Unavailable("away")

    def all(self):
        if self.away:
            raise store.Unavailable("away")
        return self.modes


def test_the_last_known_modes_stay_while_the_database_is_away():
    opened, entrance, changes = OutOfReach(), gate.Gate(placement.Alone()), []
    watching = watch.DebugWatch(
        opened, entrance, lambda: changes.append(1), VirtualClock(), interval_s=1
    )
    watching.look()
    assert entrance.flags is None
    opened.away, opened.modes = False, (mode("global"),)
    watching.look()
    opened.away = True
    watching.look()
    assert entrance.ruling("a", "t").permit is Permit.HOLD
    assert len(changes) == 1
    opened.away, opened.modes = False, ()
    watching.look()
    assert entrance.ruling("a", "t") is permit.GO
    assert len(changes) == 2
