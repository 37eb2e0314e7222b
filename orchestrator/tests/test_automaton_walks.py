"""Walks of one automaton over a scripted cloud, in virtual time."""

import dataclasses

import pytest
from scripted_cloud import Cloud, Factory
from virtual_time import VirtualClock

from astara import events
from astara.machine import automaton, outcome, patience
from astara.machine.vocabulary import Action, InstanceState, WalkState

POLICY = patience.Policy(boot_timeout_s=60, stop_timeout_s=60, hotplug_timeout_s=10)


class Bench:
    """One automaton, its cloud and its clock."""

    def __init__(self, root, policy=POLICY, owns=lambda _tenant: True):
        self.cloud = Cloud(root)
        self.clock = VirtualClock()
        self.policy, self.owns = policy, owns
        self.cloud.router("r")
        self.steps = 0
        self.restart()

    def restart(self):
        instance = Factory(self.cloud).create(events.Resource("router", "r", "t1"))
        self.machine = automaton.Automaton(instance, self.policy, self.clock, self.owns)

    @property
    def instance(self):
        return self.machine.instance

    def ask(self, *actions):
        for action in actions:
            self.machine.submit(action)
        return self

    def run(self):
        self.steps += 1
        return self.machine.run()

    def settle(self, seconds=3600.0, runs=500):
        """Run, following every pause, until nothing is to be done or time is up."""
        deadline = self.clock.now + seconds
        for _ in range(runs):
            ended = self.run()
            match ended:
                case outcome.Wake(delay_s, _):
                    if self.clock.now + delay_s > deadline:
                        return ended
                    self.clock.now += delay_s
                case outcome.Idle():
                    if not self.machine.pending:
                        return ended
                case _:
                    return ended
        raise AssertionError(f"still busy after {runs} runs in {self.clock.now} s")

    def fault(self, **faults):
        self.cloud.write("faults", "r", **faults)

    def calls(self, name):
        return len(self.cloud.calls("r", name))

    @property
    def server(self):
        return self.cloud.read("servers", "r")


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def configured(bench):
    bench.ask(Action.CREATE).settle()
    assert bench.instance.state is InstanceState.CONFIGURED
    return bench


def test_a_new_router_is_booted_watched_and_configured_once(bench):
    assert bench.ask(Action.CREATE).settle() == outcome.Idle()
    assert bench.instance.state is InstanceState.CONFIGURED
    assert (bench.calls("boot"), bench.calls("push")) == (1, 1)
    assert bench.clock.now == pytest.approx(2 * POLICY.watch_interval_s, abs=1.01)


def test_waiting_for_a_boot_holds_no_thread(bench):
    ended = bench.ask(Action.CREATE).run()
    assert isinstance(ended, outcome.Wake)
    assert ended.delay_s > 0


def test_a_burst_costs_one_walk(configured):
    before = configured.calls("update_state")
    configured.cloud.router("r", generation="g2")
    configured.ask(*[Action.UPDATE] * 50, Action.POLL).settle()
    assert configured.calls("update_state") == before + 1
    assert configured.server["applied"] == "g2"


def test_an_unchanged_generation_is_not_pushed(configured):
    configured.ask(Action.UPDATE).settle()
    configured.ask(Action.POLL).settle()
    assert configured.calls("push") == 1


def test_a_poll_corrects_a_configuration_that_drifted(configured):
    configured.cloud.router("r", generation="g2")
    configured.ask(Action.POLL).settle()
    assert configured.server["applied"] == "g2"


def test_a_restarted_orchestrator_pushes_nothing_and_boots_nothing(configured):
    configured.restart()
    configured.ask(Action.UPDATE).settle()
    assert (configured.calls("push"), configured.calls("boot")) == (1, 1)
    assert configured.instance.state is InstanceState.CONFIGURED


def test_a_deleted_router_leaves_nothing(configured):
    configured.cloud.remove("routers", "r")
    assert configured.ask(Action.DELETE).settle() == outcome.Finished()
    assert configured.server is None
    assert configured.cloud.calls("r", "stopped")[-1]["final"] is True


def test_a_router_that_vanished_without_notice_is_found_by_a_poll(configured):
    configured.cloud.remove("routers", "r")
    assert configured.ask(Action.POLL).settle() == outcome.Finished()
    assert configured.server is None


def test_a_deletion_that_neutron_contradicts_only_looks(configured):
    assert configured.ask(Action.DELETE).settle() == outcome.Idle()
    assert configured.server is not None
    assert configured.calls("stop") == 0


def test_a_deletion_interrupts_a_boot(bench):
    bench.fault(never_answers=True)
    ended = bench.ask(Action.CREATE).run()
    assert Action.DELETE in ended.interrupts
    bench.cloud.remove("routers", "r")
    assert bench.ask(Action.DELETE).run() == outcome.Finished()
    assert bench.server is None


def test_a_server_deleted_behind_our_back_is_booted_again(configured):
    configured.cloud.remove("servers", "r")
    configured.ask(Action.POLL).settle()
    assert configured.instance.state is InstanceState.CONFIGURED
    assert configured.calls("boot") == 2


def test_one_missed_probe_is_forgiven(configured):
    configured.fault(silent=1)
    configured.ask(Action.POLL).settle()
    assert configured.calls("stop") == 0
    assert configured.instance.state is InstanceState.CONFIGURED


def test_a_short_silence_is_forgiven_even_with_many_probes(tmp_path):
    bench = Bench(tmp_path, dataclasses.replace(POLICY, silent_timeout_s=100, retry_delay_s=0.1))
    bench.ask(Action.CREATE).settle()
    bench.fault(silent=6)
    bench.ask(Action.POLL).settle()
    assert bench.calls("stop") == 0


def test_an_active_but_silent_server_is_replaced_after_its_budget(configured):
    configured.fault(silent=True)
    configured.ask(Action.POLL)
    start = configured.clock.now
    while configured.calls("stop") == 0:
        configured.clock.now += configured.run().delay_s
        assert configured.clock.now - start < 120
    assert configured.clock.now - start >= POLICY.silent_timeout_s
    configured.fault()
    configured.settle()
    assert configured.instance.state is InstanceState.CONFIGURED
    assert configured.calls("boot") == 2


def test_a_silent_server_stays_while_the_budget_of_rebuilds_is_spent(configured):
    refusals = ["too many are silent"]
    configured.machine._give_up = lambda: refusals[0] if refusals else ""
    configured.fault(silent=True)
    configured.ask(Action.POLL)
    while configured.clock.now < 600:
        configured.clock.now += configured.run().delay_s
    assert configured.calls("stop") == 0
    assert "not rebuilt: too many are silent" in configured.machine.history.error
    refusals.clear()
    while configured.calls("stop") == 0:
        configured.clock.now += configured.run().delay_s
        assert configured.clock.now < 900
    configured.fault()
    configured.settle()
    assert configured.instance.state is InstanceState.CONFIGURED


def test_servers_that_were_silent_before_we_started_are_budgeted_as_well(bench):
    bench.machine._give_up = lambda: "too many are silent"
    bench.cloud.write("servers", "r", nova="ACTIVE", boots=10**9, nics=["n1"], age=5000)
    bench.ask(Action.UPDATE)
    while bench.clock.now < 600:
        bench.clock.now += max(bench.run().delay_s, 0.1)
    assert bench.calls("stop") == 0


def test_a_server_that_never_answers_is_replaced_after_boot_timeout(bench):
    bench.fault(never_answers=1)
    bench.ask(Action.CREATE).settle()
    assert bench.instance.state is InstanceState.CONFIGURED
    assert (bench.calls("boot"), bench.calls("stop")) == (2, 1)
    assert POLICY.boot_timeout_s < bench.clock.now < POLICY.boot_timeout_s + 20


def test_a_server_that_was_silent_before_we_started_is_replaced_soon(bench):
    bench.cloud.write("servers", "r", nova="ACTIVE", boots=10**9, nics=["n1"], age=5000)
    bench.ask(Action.UPDATE).settle()
    assert bench.instance.state is InstanceState.CONFIGURED
    assert bench.clock.now < POLICY.silent_timeout_s + 20


def test_a_nova_error_is_a_failed_boot_and_pauses_before_the_next(bench):
    bench.fault(nova_error=2)
    bench.ask(Action.CREATE).settle()
    assert bench.instance.state is InstanceState.CONFIGURED
    assert (bench.calls("boot"), bench.calls("stop")) == (3, 2)
    assert bench.clock.now > 2 * POLICY.retry_delay_s


def test_refused_boots_end_in_error_which_retries_by_itself_with_growing_pauses(bench):
    bench.fault(refuse=True)
    bench.ask(Action.CREATE)
    moments = []
    while len(moments) < 3:
        before = bench.calls("set_error")
        ended = bench.run()
        if bench.calls("set_error") > before:
            moments.append((bench.clock.now, ended.delay_s))
        bench.clock.now += ended.delay_s
    assert [pause for _, pause in moments] == [30, 60, 120]
    bench.fault()
    bench.settle()
    assert bench.instance.state is InstanceState.CONFIGURED


def test_a_command_during_the_cool_down_is_kept(bench):
    bench.fault(refuse=POLICY.boot_attempts)
    bench.ask(Action.CREATE)
    while bench.instance.state is not InstanceState.ERROR:
        bench.clock.now += bench.run().delay_s
    bench.clock.now -= 20
    ended = bench.ask(Action.REBUILD).run()
    assert isinstance(ended, outcome.Wake)
    assert Action.REBUILD not in ended.interrupts
    bench.settle()
    assert bench.instance.state is InstanceState.CONFIGURED


def test_a_deletion_ends_the_cool_down(bench):
    bench.fault(refuse=True)
    bench.ask(Action.CREATE)
    while bench.instance.state is not InstanceState.ERROR:
        ended = bench.run()
    assert Action.DELETE in ended.interrupts
    bench.cloud.remove("routers", "r")
    assert bench.ask(Action.DELETE).run() == outcome.Finished()


def test_an_operator_fault_is_an_error_and_leaves_the_server_alone(configured):
    configured.fault(configure="operator")
    configured.cloud.router("r", generation="g2")
    configured.ask(Action.UPDATE).run()
    assert configured.instance.state is InstanceState.ERROR
    assert configured.calls("stop") == 0
    configured.fault()
    configured.settle()
    assert configured.server["applied"] == "g2"


def test_an_operator_fault_at_the_very_first_look_pauses_as_well(bench):
    bench.fault(update_state="operator")
    ended = bench.ask(Action.CREATE).run()
    assert ended.delay_s == POLICY.cooldown_s
    bench.fault()
    bench.settle()
    assert bench.instance.state is InstanceState.CONFIGURED


def test_a_refused_document_is_tried_again_and_never_costs_a_serving_appliance(configured):
    configured.fault(refuse_document=True)
    configured.cloud.router("r", generation="g2")
    configured.ask(Action.UPDATE).settle(seconds=25)
    assert configured.calls("configure") >= POLICY.tries
    assert configured.instance.state is InstanceState.ERROR
    assert configured.calls("stop") == 0


def test_a_fresh_appliance_that_takes_no_document_is_replaced(bench):
    bench.fault(refuse_document=POLICY.tries)
    bench.ask(Action.CREATE).settle()
    assert bench.instance.state is InstanceState.CONFIGURED
    assert bench.calls("boot") == 2


def test_a_new_network_is_plugged_into_the_same_server(configured):
    configured.cloud.router("r", generation="g2", networks=["n1", "n2"])
    configured.ask(Action.UPDATE).settle()
    assert configured.server["nics"] == ["n1", "n2"]
    assert configured.server["applied"] == "g2"
    assert configured.calls("stop") == 0


def test_a_nic_that_never_appears_costs_the_server_after_the_timeout(configured):
    configured.fault(no_hotplug=True)
    configured.cloud.router("r", generation="g2", networks=["n1", "n2"])
    start = configured.clock.now
    configured.ask(Action.UPDATE).settle()
    assert configured.calls("boot") == 2
    assert configured.clock.now - start > POLICY.hotplug_timeout_s


def test_a_rebuild_replaces_a_healthy_server_once(configured):
    configured.ask(Action.REBUILD).settle()
    assert (configured.calls("stop"), configured.calls("boot")) == (1, 2)
    assert configured.instance.state is InstanceState.CONFIGURED


def test_a_server_that_nova_does_not_delete_ends_in_error(configured):
    configured.fault(undeletable=True)
    configured.ask(Action.REBUILD)
    start = configured.clock.now
    while configured.instance.state is not InstanceState.ERROR:
        configured.clock.now += configured.run().delay_s
    assert configured.clock.now - start > POLICY.stop_timeout_s
    configured.fault()
    configured.settle()
    assert configured.instance.state is InstanceState.CONFIGURED


def test_the_removal_of_a_deleted_router_is_never_given_up(configured):
    configured.fault(undeletable=True)
    configured.cloud.remove("routers", "r")
    configured.ask(Action.DELETE).settle(seconds=4 * POLICY.stop_timeout_s)
    assert configured.calls("set_error") == 0
    configured.fault()
    assert configured.settle() == outcome.Finished()
    assert configured.server is None


def test_an_outage_costs_no_server_and_few_calls(configured):
    configured.fault(update_state="retry")
    before = configured.calls("update_state")
    ended = configured.ask(Action.UPDATE).settle(seconds=600)
    assert isinstance(ended, outcome.Wake)
    assert configured.calls("stop") == configured.calls("set_error") == 0
    assert configured.calls("update_state") - before < 30
    configured.cloud.router("r", generation="g2")
    configured.fault()
    configured.settle()
    assert configured.server["applied"] == "g2"


def test_a_stop_that_could_not_be_asked_for_does_not_count_as_done(bench):
    bench.cloud.remove("routers", "r")
    bench.cloud.write("servers", "r", nova="ACTIVE", boots=0, nics=["n1"])
    bench.fault(stop=3)
    assert bench.ask(Action.DELETE).settle() == outcome.Finished()
    assert bench.server is None


def test_a_boot_that_nobody_takes_for_long_is_an_error(bench):
    bench.fault(boot="retry")
    bench.ask(Action.CREATE)
    while bench.instance.state is not InstanceState.ERROR:
        bench.clock.now += bench.run().delay_s
        assert bench.clock.now < POLICY.boot_timeout_s + 60
    bench.fault()
    bench.settle()
    assert bench.instance.state is InstanceState.CONFIGURED


def test_a_bug_in_a_step_is_survived(configured):
    configured.fault(configure="crash")
    configured.cloud.router("r", generation="g2")
    configured.ask(Action.UPDATE).settle(seconds=60)
    configured.fault()
    configured.settle()
    assert configured.server["applied"] == "g2"


def test_what_dies_right_after_each_configuration_does_not_boot_for_ever(bench):
    bench.ask(Action.CREATE)
    for _ in range(2000):
        if bench.instance.state is InstanceState.ERROR:
            break
        match bench.run():
            case outcome.Wake(delay_s, _):
                bench.clock.now += delay_s
            case outcome.Idle():
                bench.cloud.remove("servers", "r")
                bench.ask(Action.POLL)
    assert bench.calls("boot") == POLICY.boot_attempts


def test_counters_are_read_when_asked(configured):
    assert configured.ask(Action.READ).settle() == outcome.Idle()
    assert configured.calls("read_stats") == 1


def test_reading_counters_is_not_lost_in_a_burst(configured):
    configured.ask(Action.READ, Action.UPDATE, Action.POLL).settle()
    assert configured.calls("read_stats") == 1


def test_a_resource_of_another_worker_is_handed_on_untouched(tmp_path):
    bench = Bench(tmp_path, owns=lambda tenant: tenant == "other")
    ended = bench.ask(Action.CREATE, Action.READ).run()
    assert ended == outcome.Misplaced("t1", frozenset({Action.CREATE, Action.READ}))
    assert bench.calls("boot") == 0


def test_halting_ends_the_turn_between_steps(bench):
    bench.ask(Action.CREATE)
    assert bench.machine.run(halt=lambda: True) == outcome.Wake(0.0)
    assert bench.machine.state is not WalkState.EXIT
    bench.settle()
    assert bench.instance.state is InstanceState.CONFIGURED
