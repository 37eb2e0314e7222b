"""Who runs when: the registry of a worker, with scripted instances and virtual time."""

import collections

import pytest
from scripted_cloud import Cloud, Factory
from virtual_time import VirtualClock

from astara import events
from astara.machine import automaton, outcome, patience
from astara.machine.vocabulary import Action, InstanceState
from astara.worker import registry, turns


class Bench:
    def __init__(self, root, owns=lambda _tenant: True, settle_s=0.0):
        self.cloud, self.clock = Cloud(root), VirtualClock()
        self.forwarded, self.made = [], collections.Counter()
        self.owns = owns
        self.slots = registry.Registry(
            self.make, self.clock, self.forwarded.append, settle_s=settle_s
        )

    def make(self, resource):
        self.made[resource.id] += 1
        instance = Factory(self.cloud).create(resource)
        return automaton.Automaton(instance, patience.Policy(), self.clock, self.owns)

    def event(self, name, action=Action.UPDATE, generation=None, source="", tenant="t1"):
        resource = events.Resource("router", name, tenant)
        self.slots.handle(events.Event(resource, action, generation, source))

    def ready(self):
        return self.slots.census()["ready"]

    def work(self, seconds=0.0):
        """Do what threads would do, until nothing is ready, letting time pass."""
        end, ran = self.clock.now + seconds, []
        while True:
            while self.slots.census()["ready"] or self._due():
                slot = self.slots.take()
                ran.append(slot.resource.id)
                self.slots.give_back(slot, slot.automaton.run())
            next_s = self._next_timer_s()
            if next_s is None or self.clock.now + next_s > end:
                self.clock.now = end
                return ran
            self.clock.now += next_s

    def _next_timer_s(self):
        with self.slots._changed:
            return self.slots._fire_timers()

    def _due(self):
        self._next_timer_s()
        return self.ready()


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def serving(bench):
    """Three routers, configured: a and b on n1, c on n2."""
    for name, networks in (("a", ["n1"]), ("b", ["n1", "ext"]), ("c", ["n2", "ext"])):
        bench.cloud.router(name, tenant=f"t-{name}", networks=networks)
        bench.event(name, tenant=f"t-{name}")
    bench.work(30)
    assert bench.slots.census()["idle"] == 3
    return bench


def test_a_waiting_resource_is_in_a_timer_and_in_no_queue(bench):
    bench.cloud.router("a")
    bench.event("a")
    bench.work()
    assert {name: n for name, n in bench.slots.census().items() if n} == {"waiting": 1}
    bench.work(30)
    assert {name: n for name, n in bench.slots.census().items() if n} == {"idle": 1}


def test_a_resource_is_never_given_to_two_threads(bench):
    bench.cloud.router("a")
    bench.event("a")
    slot = bench.slots.take()
    bench.event("a", Action.REBUILD)
    assert bench.ready() == 0
    bench.slots.give_back(slot, outcome.Idle())
    assert bench.ready() == 1


def test_what_arrives_while_a_thread_works_is_walked_afterwards(serving):
    serving.event("a")
    slot = serving.slots.take()
    ended = slot.automaton.run()
    serving.cloud.router("a", tenant="t-a", generation="g2")
    serving.event("a")
    serving.slots.give_back(slot, ended)
    serving.work()
    assert serving.cloud.read("servers", "a")["applied"] == "g2"


def test_resources_take_turns(bench):
    for name in "abcd":
        bench.cloud.router(name)
        bench.event(name)
    bench.event("a", Action.REBUILD)
    assert bench.work()[:4] == list("abcd")


def test_a_resource_that_is_there_twice_is_counted_and_looked_at(serving):
    asked = events.Resource("router", "b", "t-b")
    sent = events.encode(events.Event(asked, Action.UPDATE, source="doubled", recount=True))
    serving.slots.handle(events.decode(sent))
    assert serving.work() == ["b"]
    assert [one["id"] for one in serving.cloud.calls(call="recount")] == ["b"]


def test_a_hint_by_network_reaches_the_resources_on_it(serving):
    serving.slots.handle(events.Hint(Action.UPDATE, network_id="n1"))
    assert sorted(set(serving.work())) == ["a", "b"]


def test_a_hint_about_a_port_reaches_only_those_whose_document_has_it(serving):
    for slot in serving.slots._slots.values():
        slot.automaton.instance.port_networks = slot.automaton.instance.networks - {"ext"}
        serving.slots._index(slot)
    serving.slots.handle(events.Hint(Action.UPDATE, network_id="ext", port=True))
    assert serving.ready() == 0
    serving.slots.handle(events.Hint(Action.UPDATE, network_id="ext"))
    assert serving.ready() == 2


def test_a_hint_by_tenant_reaches_its_resources(serving):
    serving.slots.handle(events.Hint(Action.UPDATE, tenant_id="t-c"))
    assert serving.work() == ["c"]


def test_a_hint_reaches_what_is_on_its_first_walk(bench):
    bench.cloud.router("a")
    bench.event("a")
    slot = bench.slots.take()
    bench.slots.handle(events.Hint(Action.UPDATE, network_id="n1"))
    assert Action.UPDATE in slot.automaton.pending


def test_a_network_that_was_unplugged_is_forgotten(serving):
    serving.cloud.router("a", tenant="t-a", generation="g2", networks=["n9"])
    serving.event("a")
    serving.work(30)
    serving.slots.handle(events.Hint(Action.UPDATE, network_id="n1"))
    assert serving.work() == ["b"]


def test_an_audit_line_of_the_generation_that_runs_costs_nothing(serving):
    serving.event("a", generation="g1", source="audit-1", tenant="t-a")
    assert serving.ready() == 0
    serving.event("a", generation="g2", source="audit-1", tenant="t-a")
    assert serving.ready() == 1


def test_what_an_audit_did_not_list_is_looked_at(serving):
    for name in "ab":
        serving.event(name, generation="g1", source="audit-1", tenant=f"t-{name}")
    serving.cloud.remove("routers", "c")
    serving.slots.handle(events.AuditEnd("audit-1"))
    assert serving.work() == ["c"]
    assert serving.cloud.read("servers", "c") is None
    assert sum(serving.slots.census().values()) == 2


def test_a_poll_slice_reaches_its_share_and_all_slices_reach_everybody_once(serving):
    ran = []
    for index in range(7):
        serving.slots.handle(events.PollSlice(index, 7))
        ran += serving.work()
    assert sorted(ran) == ["a", "b", "c"]


def test_a_poll_leaves_alone_what_waits_or_works(bench):
    bench.cloud.router("a")
    bench.event("a")
    bench.work()
    bench.slots.handle(events.PollSlice(0, 1))
    assert bench.slots._slots["a"].automaton.pending == frozenset()


def test_a_deletion_cuts_a_wait_short_and_the_stale_timer_does_nothing(bench):
    bench.cloud.router("a")
    bench.cloud.write("faults", "a", never_answers=True)
    bench.event("a")
    bench.work()
    bench.cloud.remove("routers", "a")
    bench.event("a", Action.DELETE)
    assert bench.work() == ["a"]
    assert sum(bench.slots.census().values()) == 0
    assert bench.work(60) == []


def test_a_finished_resource_is_dropped_and_may_come_again(serving):
    serving.cloud.remove("routers", "a")
    serving.event("a", Action.DELETE)
    serving.work()
    assert "a" not in serving.slots._slots
    serving.cloud.router("a", tenant="t-a")
    serving.event("a", Action.CREATE)
    serving.work(30)
    assert serving.made["a"] == 2
    assert serving.slots._slots["a"].automaton.instance.state is InstanceState.CONFIGURED


def test_what_arrives_in_the_last_moment_makes_a_new_automaton_look(serving):
    serving.cloud.remove("routers", "a")
    serving.event("a", Action.DELETE)
    slot = serving.slots.take()
    ended = slot.automaton.run()
    serving.cloud.router("a", tenant="t-a")
    serving.event("a", Action.CREATE)
    serving.slots.give_back(slot, ended)
    serving.work(30)
    assert serving.cloud.read("servers", "a") is not None


def test_a_resource_of_another_tenant_is_forwarded_with_its_tenant(tmp_path):
    bench = Bench(tmp_path, owns=lambda tenant: tenant != "t-theirs")
    bench.cloud.router("a", tenant="t-theirs")
    bench.event("a", Action.CREATE, tenant="t-admin")
    bench.work()
    [event] = bench.forwarded
    assert event.resource == events.Resource("router", "a", "t-theirs")
    assert event.action is Action.CREATE
    assert sum(bench.slots.census().values()) == 0


def test_what_is_forwarded_goes_on_with_the_traces_of_all_who_asked(tmp_path):
    bench = Bench(tmp_path, owns=lambda tenant: tenant != "t-theirs")
    bench.cloud.router("a", tenant="t-theirs")
    resource = events.Resource("router", "a", "t-admin")
    for trace in ("00-aa-01-01", "00-bb-02-01"):
        bench.slots.handle(events.Event(resource, Action.UPDATE, trace=trace))
    bench.work()
    assert [event.trace for event in bench.forwarded] == ["00-aa-01-01", "00-bb-02-01"]
    assert {event.action for event in bench.forwarded} == {Action.UPDATE}
    assert {event.resource.tenant_id for event in bench.forwarded} == {"t-theirs"}


def test_what_is_asked_of_a_resource_that_has_just_ended_keeps_its_trace(tmp_path):
    bench = Bench(tmp_path)
    bench.cloud.router("a")
    bench.event("a", Action.CREATE)
    slot = bench.slots.take()
    resource = events.Resource("router", "a", "t1")
    bench.slots.handle(events.Event(resource, Action.UPDATE, trace="00-cc-03-01"))
    bench.slots.give_back(slot, outcome.Finished())
    again = bench.slots.take()
    assert again is not slot
    assert [each.context for each in again.traces] == ["00-cc-03-01"]


def test_closing_lets_threads_go(bench):
    bench.slots.close()
    assert bench.slots.take() is None


class Reader:
    """A briefing that notes what it is asked, and may be interrupted while it reads."""

    def __init__(self):
        self.prepared, self.new, self.forgotten = [], [], []
        self.meanwhile = lambda: None

    def prepare(self, ids, new):
        self.prepared.append(list(ids))
        self.new.append(set(new))
        self.forgotten.clear()
        self.meanwhile()

    def forget(self, resource_id):
        self.forgotten.append(resource_id)


@pytest.fixture
def reading(bench):
    reader = Reader()
    bench.slots = registry.Registry(
        bench.make, bench.clock, bench.forwarded.append, briefing=reader
    )
    bench.names = [f"r{number}" for number in range(6)]
    for name in bench.names:
        bench.cloud.router(name)
    return bench, reader


def test_many_that_wait_are_read_for_together(reading):
    bench, reader = reading
    for name in bench.names:
        bench.event(name)

    first = bench.slots.take()

    assert first.resource.id == "r0"
    assert reader.prepared == [bench.names]
    assert reader.new == [set(bench.names)]
    assert bench.slots.take().resource.id == "r1"
    assert len(reader.prepared) == 1


def test_few_that_wait_read_for_themselves(reading):
    bench, reader = reading
    for name in bench.names[: registry.TOGETHER_MIN - 1]:
        bench.event(name)
    bench.work()

    assert reader.prepared == []


def test_polls_are_not_read_for(reading):
    bench, reader = reading
    for name in bench.names:
        bench.event(name)
    bench.work(60)
    reader.prepared.clear()

    bench.slots.handle(events.PollSlice(0, 1))
    bench.slots.take()

    assert reader.prepared == []


def test_what_was_read_before_an_event_came_is_not_used(reading):
    bench, reader = reading
    for name in bench.names:
        bench.event(name)
    reader.meanwhile = lambda: bench.event("r3", Action.UPDATE)

    bench.slots.take()
    assert reader.forgotten == ["r3", "r3"], "by the event, and after what was read was kept"

    bench.event("r4")
    assert reader.forgotten[2:] == ["r4"]


def test_one_that_is_left_while_it_is_read_for_is_not_walked_to_an_end(reading):
    bench, reader = reading
    for name in bench.names:
        bench.event(name)
    reader.meanwhile = lambda: bench.slots._remove(bench.slots.slot("r5"))
    bench.work(60)

    assert bench.slots.slot("r5") is None
    assert bench.slots.census()["idle"] == 5


def test_a_hint_about_a_network_looks_at_no_other_resources(bench):
    for name in ("a", "b"):
        bench.cloud.router(name)
        bench.event(name)
    bench.work(60)

    bench.slots.handle(events.Hint(Action.UPDATE, network_id="elsewhere"))

    assert bench.ready() == 0
    assert not bench.slots._blind


# -- what is in ERROR -----------------------------------------------------------------------------


@pytest.fixture
def failing(bench):
    """A router whose boots are refused, in a pause of ERROR that has grown to 120 seconds."""
    bench.cloud.router("a", networks=["n1"])
    bench.cloud.write("faults", "a", refuse=True)
    bench.event("a", Action.CREATE)
    while _left_s(bench) < 100:
        bench.work(1)
    return bench


def _left_s(bench):
    slot = bench.slots.slot("a")
    cooling = slot.phase.value == "waiting" and slot.automaton.instance.state == "error"
    return slot.wake_s - bench.clock.now if cooling else 0.0


def _tries(bench):
    return len(bench.cloud.calls("a", "boot"))


@pytest.mark.parametrize(
    "news",
    [
        lambda bench: bench.event("a"),
        lambda bench: bench.slots.handle(events.Hint(Action.UPDATE, network_id="n1")),
        lambda bench: bench.slots.submit("a", Action.UPDATE),
        lambda bench: bench.event("a", generation="another", source="audit"),
    ],
    ids=["notification", "hint", "command", "audit with another generation"],
)
def test_a_change_has_what_is_in_error_tried_at_once(failing, news):
    failing.cloud.remove("faults", "a")
    news(failing)
    failing.work(30)
    assert failing.slots.slot("a").automaton.instance.state is InstanceState.CONFIGURED


def test_polls_and_audits_without_news_do_not_shorten_the_pause(failing):
    before, wakes = _tries(failing), failing.slots.slot("a").wake_s
    generation = failing.slots.slot("a").automaton.instance.generation
    failing.slots.handle(events.PollSlice(0, 1))
    failing.event("a", generation=generation, source="audit")
    failing.work(30)
    assert (_tries(failing), failing.slots.slot("a").wake_s) == (before, wakes)


def test_however_often_something_changes_tries_are_no_denser_than_first_pauses(failing):
    """A tenant who clicks does not defeat the pauses that spare Nova."""
    policy, before = patience.Policy(), failing.cloud.calls("a", "set_error")
    for _ in range(300):
        failing.event("a")
        failing.work(1)
    hurried = len(failing.cloud.calls("a", "set_error")) - len(before)
    assert 2 <= hurried <= 300 / policy.cooldown_s


def test_a_change_during_the_walk_that_fails_is_not_forgotten(failing):
    while True:
        failing.clock.now = failing.slots.slot("a").wake_s
        taken = failing.slots.take()
        ended = taken.automaton.run()
        if ended.delay_s > 100:
            break
        failing.slots.give_back(taken, ended)
    failing.event("a")
    failing.slots.give_back(taken, ended)
    assert failing.ready() == 1, "tried at once, not after the pause"


@pytest.mark.parametrize("patient", [True, False], ids=["fresh polls", "old polls"])
def test_changes_go_before_polls_but_one_turn_of_a_few_is_an_old_polls(reading, patient):
    bench, _ = reading
    for name in bench.names:
        bench.event(name)
    bench.work(60)
    bench.slots.handle(events.PollSlice(0, 1))
    bench.clock.now += 0.0 if patient else turns.POLL_PATIENCE_S
    for name in ("new-1", "new-2", "new-3", "new-4"):
        bench.cloud.router(name)
        bench.event(name)

    order = [bench.slots.take().resource.id for _ in range(10)]

    assert sorted(order) == sorted([*bench.names, "new-1", "new-2", "new-3", "new-4"])
    changes = sum(name.startswith("new") for name in order[: turns.POLL_EVERY])
    assert changes == (4 if patient else 3)


def test_the_notifications_of_one_action_are_one_walk(tmp_path):
    bench = Bench(tmp_path, settle_s=0.05)
    bench.cloud.router("a")
    for _ in range(5):
        bench.event("a")
        assert bench.work(0.005) == []
    bench.work(30)
    walks = []
    for _ in range(5):
        bench.event("a")
        walks += bench.work(0.005)
    assert walks + bench.work(1) == ["a"]


def test_a_change_of_what_waits_for_a_poll_goes_with_the_changes(serving):
    serving.slots.handle(events.PollSlice(0, 1))
    serving.event("c")

    assert serving.slots.take().resource.id == "c"
    assert serving.ready() == 2
    assert {serving.slots.take().resource.id for _ in range(2)} == {"a", "b"}


def test_a_read_slice_reads_counters_of_what_is_idle_and_of_nothing_else(serving):
    serving.slots.handle(events.PollSlice(0, 1, Action.READ))
    [slot, *_] = [slot for slot in serving.slots.all_slots() if slot.automaton.pending]
    assert slot.automaton.pending == {Action.READ}
    assert not slot.full
    serving.slots.handle(events.PollSlice(0, 1, Action.READ))
    assert slot.automaton.pending == {Action.READ}
