"""The pipeline with drivers that live in memory; the real ones are in functional/."""

import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astara_appliance import clock, errors, facts, ledger, pipeline, store, watch
from astara_appliance.drivers import base, hangs
from astara_appliance.pair import news, role
from astara_appliance.pair import settings as pair
from astara_appliance.system import paths
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
        self._verb("observe", None)
        return self.world

    def diff(self, observed, desired):
        return (desired,) if observed != desired else ()

    def explain(self, change):
        return (f"is not {change[0]}",)

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
        self.paths = paths.Paths.under(state_dir)
        self.now = clock.Moment("boot", 1000.0)
        self.drivers = [HostnameInMemory(name, self.log) for name in ("one", "two", "three")]
        self.restart()

    def restart(self, **options):
        names = facts.NicNames(self.state_dir, None)
        watch_over = hangs.Hangs(self.paths.run_dir)
        self.line = pipeline.Pipeline(
            self.drivers, names, store.Store(self.state_dir), watch=watch_over,
            moment=lambda: self.now, **options,
        )  # fmt: skip

    def put(self, hostname, epoch=None, **options):
        del self.log[:]
        return self.line.put(b'{"hostname": "%s"}' % hostname.encode(), epoch, **options)

    def later(self, seconds):
        self.now = self.now._replace(seconds=self.now.seconds + seconds)

    def reboot(self):
        """Restart with a clock that began anew and a kernel that forgot everything."""
        for driver in self.drivers:
            driver.world = ""
        self.now = clock.Moment(self.now.boot + "+", 1.0)
        self.restart()

    def hostnames(self):
        """What is committed, and what is in effect."""
        committed = self.line.committed
        confirmed = store.committed_document(committed)
        return confirmed and confirmed.hostname, store.document_in_effect(committed).hostname

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
    with pytest.raises(errors.PushFailed) as failed:
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
    with pytest.raises(errors.PushFailed) as failed:
        world.put("b")
    assert failed.value.driver == "two"
    assert failed.value.rolled_back
    assert world.worlds() == ["a", "a", "a"]
    assert world.line.committed == before


def test_incomplete_roll_back_is_told_and_the_others_go_back_all_the_same(world):
    world.put("a")
    world.drivers[1].fail[("apply", None)] = OSError("broken for good")
    with pytest.raises(errors.PushFailed) as failed:
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
    world.reboot()
    assert world.line.repair() == ("one", "two", "three")
    assert world.worlds() == ["a", "a", "a"]


def test_repair_goes_on_after_a_failing_driver(world):
    world.put("a")
    for driver in world.drivers:
        driver.world = ""
    world.drivers[0].fail[("apply", None)] = OSError("broken")
    with pytest.raises(errors.PushFailed, match="broken"):
        world.line.repair()
    assert world.worlds()[1:] == ["a", "a"]


def test_lower_epoch_is_refused_even_if_the_higher_push_failed(world):
    world.drivers[0].fail[("apply", "b")] = OSError("broken")
    with pytest.raises(errors.PushFailed):
        world.put("b", epoch=5)
    with pytest.raises(errors.StaleEpoch):
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
        with pytest.raises(errors.Busy):
            world.line.put(b'{"hostname": "b"}')
        assert world.line.repair() == ()
    finally:
        leave.set()
        first.join(10)
    assert store.document_in_effect(world.line.committed).hostname == "a"


def test_unreadable_state_leaves_what_runs_alone_until_the_next_push(world):
    world.put("a")
    (world.state_dir / store.STATE_FILE).write_text("{")
    world.restart()
    assert world.line.repair() == ()
    assert world.worlds() == ["a", "a", "a"]
    world.put("b")
    world.drivers[0].world = "drifted"
    assert world.line.repair() == ("one",)


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda _: "\0" * 300])
def test_damaged_state_file_is_replaced_by_the_generation_before(world, damage):
    world.put("a", epoch=1)
    world.put("b")
    state = world.state_dir / store.STATE_FILE
    for _ in range(2):
        state.write_text(damage(state.read_text()))
        world.restart()
        assert world.line.committed.epoch == 1
        world.line.repair()
        assert world.worlds() == ["a"] * 3
        assert world.hostnames() == ("a", "a")
    world.put("b")
    world.restart()
    assert world.hostnames() == ("b", "b")


def test_changed_byte_in_the_state_file_is_noticed(world):
    world.put("a")
    world.put("bbbb")
    state = world.state_dir / store.STATE_FILE
    state.write_text(state.read_text().replace("bbbb", "bbxb"))
    world.restart()
    assert world.hostnames() == ("a", "a")


def test_state_of_a_release_without_checksum_is_read(world):
    world.put("a")
    state = world.state_dir / store.STATE_FILE
    text, _, _ = state.read_text().partition(',"checksum"')
    state.write_text(text + "}")
    world.restart()
    assert world.hostnames() == ("a", "a")


def test_confirmed_trial_is_committed(world):
    world.put("a")
    trial = world.put("b", confirm_within_s=60).trial
    assert world.hostnames() == ("a", "b")
    assert world.line.trial_left_s() == 60
    world.later(59)
    world.line.confirm(trial.digest)
    world.later(600)
    assert world.line.repair() == ()
    assert world.hostnames() == ("b", "b")
    assert world.line.confirm(trial.digest).digest == trial.digest
    assert world.line.trial_left_s() is None


def test_unconfirmed_trial_ends_by_itself_and_cannot_be_confirmed_later(world):
    world.put("a")
    trial = world.put("b", confirm_within_s=60).trial
    world.later(60)
    with pytest.raises(errors.NotOnTrial):
        world.line.confirm(trial.digest)
    world.line.repair()
    assert world.worlds() == ["a"] * 3
    assert world.hostnames() == ("a", "a")
    with pytest.raises(errors.NotOnTrial):
        world.line.confirm(trial.digest)


def test_first_document_on_trial_ends_in_the_closed_appliance(world):
    world.put("a", confirm_within_s=60)
    world.later(60)
    world.line.repair()
    assert world.worlds() == [""] * 3
    assert world.line.committed.digest is None


def test_same_document_without_a_wish_confirms_and_with_one_starts_the_time_anew(world):
    world.put("a")
    world.put("b", confirm_within_s=60)
    world.later(50)
    world.put("b", confirm_within_s=60)
    world.later(50)
    assert world.hostnames() == ("a", "b")
    committed = world.put("b")
    assert world.hostnames() == ("b", "b")
    assert (committed.pushes_applied, committed.pushes_unchanged) == (2, 2)
    assert world.verbs("apply") == []


def test_trial_outlives_the_agent_and_ends_in_its_time(world):
    world.put("a")
    world.put("b", confirm_within_s=60)
    world.later(30)
    world.restart()
    assert world.line.repair() == ()
    assert world.hostnames() == ("a", "b")
    world.later(30)
    world.restart()
    world.line.repair()
    assert world.worlds() == ["a"] * 3


def test_nothing_of_a_trial_survives_a_reboot(world):
    world.put("a")
    world.put("b", confirm_within_s=3600)
    world.reboot()
    world.line.repair()
    assert world.worlds() == ["a"] * 3
    assert world.hostnames() == ("a", "a")


def test_other_push_ends_a_trial(world):
    world.put("a")
    world.put("b", confirm_within_s=60)
    world.put("c")
    assert world.hostnames() == ("c", "c")
    world.put("d", confirm_within_s=60)
    assert world.put("c", confirm_within_s=60).trial is None
    assert world.worlds() == ["c"] * 3


def test_failed_push_during_a_trial_leaves_the_trial_as_it_was(world):
    world.put("a")
    world.put("b", confirm_within_s=60)
    world.drivers[1].fail[("apply", "c")] = OSError("broken")
    with pytest.raises(errors.PushFailed):
        world.put("c", confirm_within_s=60)
    assert world.worlds() == ["b"] * 3
    assert world.hostnames() == ("a", "b")
    world.later(60)
    world.line.repair()
    assert world.worlds() == ["a"] * 3


def test_trial_ends_even_when_the_disk_is_full(world):
    world.put("a")
    world.put("b", confirm_within_s=60)
    world.later(60)
    world.line._store.save = _disk_full
    world.line.repair()
    assert world.worlds() == ["a"] * 3
    world.restart()
    world.line.repair()
    assert world.worlds() == ["a"] * 3


def test_confirmation_of_a_former_owner_is_refused(world):
    trial = world.put("b", epoch=5, confirm_within_s=60).trial
    with pytest.raises(errors.StaleEpoch):
        world.line.confirm(trial.digest, epoch=4)


def test_drift_is_put_right_on_a_period_and_counted(world, eventually):
    world.put("a")
    watching = watch.Watch(world.line, facts.NicNames(world.state_dir, None), world.paths, 0.05)
    watching.start()
    try:
        world.drivers[1].world = "drifted"
        eventually(lambda: world.worlds() == ["a"] * 3, what="repair")
        times = world.line.ledger.times
        eventually(lambda: times(ledger.Event.REPAIRED, "two") == 1, what="count")
        assert times(ledger.Event.REPAIRED, "one") == 0
        world.drivers[0].fail[("apply", None)] = OSError("broken")
        world.drivers[0].world = "drifted"
        eventually(lambda: times(ledger.Event.REPAIR_FAILED, "one") >= 1, what="failure")
    finally:
        watching.stop()


class FollowerInMemory(HostnameInMemory):
    """A driver whose world is whether this appliance is the active one."""

    section = msgspec.defstruct("Section", [])
    follows_role = True
    places = None

    def observe(self):
        return (self.world, role.holds(self.places))

    def diff(self, observed, desired):
        del desired
        seen, holds = observed
        return () if seen == str(holds) else (str(holds),)


def test_drivers_that_follow_the_role_act_when_it_changes(world, eventually):
    follower = world.drivers[1] = FollowerInMemory("two", world.log)
    follower.places = world.paths
    world.restart()
    world.line.put(b'{"hostname": "a", "functions": {"two": {}}}')
    assert world.worlds() == ["a", "True", "a"]
    watching = watch.Watch(world.line, facts.NicNames(world.state_dir, None), world.paths, 3600)
    places = pair.Places(world.paths.run_dir)
    world.drivers[0].world = "drifted"
    watching.start()
    try:
        eventually(places.news.exists, what="an ear")
        eventually(lambda: world.drivers[0].world == "a", what="the first repair")
        world.drivers[0].world = "drifted"  # no business of this
        for half, told in (("False", True), ("True", False)):
            # One of a pair whose guard is dead has nothing; a single one has all.
            places.settings.touch() if told else places.settings.unlink()
            news.tell(places)
            eventually(lambda half=half: follower.world == half, what="a driver that follows")
            assert world.drivers[0].world == "drifted"
    finally:
        watching.stop()


def test_trial_ends_in_its_time_without_being_asked(world, eventually):
    world.put("a")
    watching = watch.Watch(world.line, facts.NicNames(world.state_dir, None), world.paths, 3600)
    watching.start()
    try:
        world.put("b", confirm_within_s=1)
        watching.document_changed()
        assert world.hostnames() == ("a", "b")
        world.later(1)
        eventually(lambda: world.worlds() == ["a"] * 3, what="end of the trial")
    finally:
        watching.stop()


def test_drift_is_told_by_driver(world):
    world.put("a")
    assert world.line.drift() == {"one": (), "two": (), "three": ()}
    world.drivers[1].world = "drifted"
    world.drivers[2].fail[("observe", None)] = OSError("cannot look")
    assert world.line.drift() == {"one": (), "two": ("is not a",), "three": ("cannot look",)}
    assert world.worlds() == ["a", "drifted", "a"]


def _disk_full(committed):
    raise OSError(28, "No space left on device")


steps = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.none() | st.integers(0, 2),
        st.sampled_from(["apply", "verify", "check"]),
        st.none() | st.just(60),
        st.sampled_from(["", "confirm", "wait", "restart", "reboot"]),
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_any_history_leaves_exactly_the_last_accepted_document(tmp_path_factory, history):
    world = World(tmp_path_factory.mktemp("state"))
    confirmed, running = "", ""
    for hostname, broken, verb, confirm_within_s, then in history:
        for driver in world.drivers:
            driver.fail = {}
        if broken is not None and hostname not in (confirmed, running):
            world.drivers[broken].fail[(verb, hostname)] = OSError("told to fail")
        try:
            world.put(hostname, confirm_within_s=confirm_within_s)
            running = hostname
            confirmed = confirmed if confirm_within_s else hostname
        except errors.PushFailed:
            pass  # told to
        if then == "confirm" and running != confirmed:
            world.line.confirm(world.line.committed.trial.digest)
            confirmed = running
        elif then == "wait":
            world.later(60)
            running = confirmed
        elif then == "restart":
            world.restart()
        elif then == "reboot":
            world.reboot()
            running = confirmed
        world.line.repair()
        assert world.worlds() == [running] * 3
        assert world.hostnames() == (confirmed or None, running)
