"""The pipeline with drivers that live in memory; the real ones are in functional/."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astara_appliance import facts, pipeline, store
from astara_appliance.drivers import base
from astara_contract.errors import ContractError


class HostnameInMemory:
    """A driver whose world is one variable; it notes the verbs and can be told to fail."""

    def __init__(self, name, log):
        self.name = name
        self.world = ""
        self.log = log
        self.fail = {}

    def _verb(self, verb, value=""):
        self.log.append((self.name, verb))
        error = self.fail.get((verb, value)) or self.fail.get((verb, None))
        if error is not None:
            raise error

    def render(self, document, facts):
        del facts
        self._verb("render", document.hostname)
        return document.hostname

    def check(self, desired):
        self._verb("check", desired)

    def observe(self):
        self._verb("observe")
        return self.world

    def diff(self, observed, desired):
        return (desired,) if observed != desired else ()

    def apply(self, change):
        self.world = "half-" + change[0]
        self._verb("apply", change[0])
        self.world = change[0]

    def verify(self, desired):
        self._verb("verify", desired)


class World:
    def __init__(self, state_dir):
        self.log = []
        self.state_dir = state_dir
        self.drivers = [HostnameInMemory(name, self.log) for name in ("one", "two", "three")]
        self.restart()

    def restart(self, **options):
        names = facts.NicNames(self.state_dir, None)
        self.line = pipeline.Pipeline(self.drivers, names, store.Store(self.state_dir), **options)

    def put(self, hostname, epoch=None):
        del self.log[:]
        return self.line.put(b'{"hostname": "%s"}' % hostname.encode(), epoch)

    def worlds(self):
        return [driver.world for driver in self.drivers]

    def verbs(self, verb):
        return [name for name, done in self.log if done == verb]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_every_check_comes_before_the_first_apply(world):
    world.put("a")
    last_check = max(at for at, (_, verb) in enumerate(world.log) if verb == "check")
    first_apply = min(at for at, (_, verb) in enumerate(world.log) if verb == "apply")
    assert last_check < first_apply
    assert world.worlds() == ["a", "a", "a"]


def test_bad_document_is_not_even_rendered(world):
    world.put("a")
    del world.log[:]
    with pytest.raises(ContractError):
        world.line.put(b'{"hostname": 1}')
    assert world.log == []


def test_failed_check_changes_nothing(world):
    world.put("a")
    world.drivers[2].fail[("check", "b")] = base.CheckFailed("three", "no such thing")
    with pytest.raises(pipeline.PushFailed) as failed:
        world.put("b")
    assert (failed.value.driver, failed.value.reason) == ("three", "no such thing")
    assert failed.value.rolled_back
    assert world.verbs("apply") == []


@pytest.mark.parametrize("verb", ["apply", "verify"])
@pytest.mark.parametrize(
    "error",
    [base.ApplyFailed("two", "why"), OSError("why"), KeyError("why")],
    ids=["driver-error", "os-error", "bug"],
)
def test_failure_puts_back_what_ran_before(world, verb, error):
    before = world.put("a")
    world.drivers[1].fail[(verb, "b")] = error
    with pytest.raises(pipeline.PushFailed) as failed:
        world.put("b")
    assert failed.value.driver == "two"
    assert failed.value.rolled_back
    assert world.worlds() == ["a", "a", "a"]
    assert world.line.committed == before


def test_incomplete_roll_back_is_told_and_the_others_go_back_all_the_same(world):
    world.put("a")
    world.drivers[1].fail[("apply", None)] = OSError("broken for good")
    with pytest.raises(pipeline.PushFailed) as failed:
        world.put("b")
    assert not failed.value.rolled_back
    assert world.worlds() == ["a", "half-a", "a"]


def test_unchanged_plan_is_neither_checked_nor_applied(world):
    world.put("a")
    committed = world.put("a")
    assert (world.verbs("check"), world.verbs("apply"), world.verbs("verify")) == ([], [], [])
    assert (committed.pushes_applied, committed.pushes_unchanged) == (1, 1)


def test_same_document_mends_drift(world):
    world.put("a")
    world.drivers[1].world = "drifted"
    world.put("a")
    assert world.worlds() == ["a", "a", "a"]
    assert world.verbs("apply") == ["two"]


def test_restart_finds_document_counters_and_epoch_and_does_nothing(world):
    before = world.put("a", epoch=3)
    world.restart()
    del world.log[:]
    assert world.line.repair() == ()
    assert world.verbs("apply") == []
    assert world.line.committed == before


def test_reboot_applies_everything(world):
    world.put("a")
    for driver in world.drivers:
        driver.world = ""
    world.restart()
    assert world.line.repair() == ("one", "two", "three")
    assert world.worlds() == ["a", "a", "a"]


def test_repair_goes_on_after_a_failing_driver(world):
    world.put("a")
    for driver in world.drivers:
        driver.world = ""
    world.drivers[0].fail[("apply", None)] = OSError("broken")
    with pytest.raises(pipeline.PushFailed, match="broken"):
        world.line.repair()
    assert world.worlds()[1:] == ["a", "a"]


def test_lower_epoch_is_refused_even_if_the_higher_push_failed(world):
    world.drivers[0].fail[("apply", "b")] = OSError("broken")
    with pytest.raises(pipeline.PushFailed):
        world.put("b", epoch=5)
    with pytest.raises(pipeline.StaleEpoch):
        world.put("a", epoch=4)
    world.put("a", epoch=5)
    world.put("c")
    assert world.line.committed.epoch == 5


def test_second_push_waits_and_then_is_told_to_come_back(world):
    world.restart(lock_timeout_s=0.05)
    inside, leave = threading.Event(), threading.Event()

    def slow():
        inside.set()
        leave.wait(10)
        return ""

    world.drivers[0].observe = slow
    first = threading.Thread(target=world.put, args=("a",))
    first.start()
    try:
        assert inside.wait(10)
        with pytest.raises(pipeline.Busy):
            world.line.put(b'{"hostname": "b"}')
        assert world.line.repair() == ()
    finally:
        leave.set()
        first.join(10)
    assert world.line.committed.document.hostname == "a"


def test_unreadable_state_leaves_what_runs_alone_until_the_next_push(world):
    world.put("a")
    (world.state_dir / store.STATE_FILE).write_text("{")
    world.restart()
    assert world.line.repair() == ()
    assert world.worlds() == ["a", "a", "a"]
    world.put("b")
    world.drivers[0].world = "drifted"
    assert world.line.repair() == ("one",)


steps = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.none() | st.integers(0, 2),
        st.sampled_from(["apply", "verify", "check"]),
    ),
    max_size=8,
)


@settings(max_examples=40)
@given(steps)
def test_any_history_leaves_exactly_the_last_accepted_document(tmp_path_factory, history):
    world = World(tmp_path_factory.mktemp("state"))
    accepted = ""
    for hostname, broken, verb in history:
        for driver in world.drivers:
            driver.fail = {}
        if broken is not None and hostname != accepted:
            world.drivers[broken].fail[(verb, hostname)] = OSError("told to fail")
        try:
            world.put(hostname)
            accepted = hostname
        except pipeline.PushFailed:
            pass  # told to
        assert world.worlds() == [accepted] * 3
        committed = world.line.committed.document
        assert (committed.hostname if committed else "") == accepted
