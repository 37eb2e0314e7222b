"""Whatever goes wrong in whatever order: once faults end, the cloud is as it should be."""

import pathlib
import tempfile

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from scripted_cloud import Cloud, Factory
from virtual_time import VirtualClock

from astara import events
from astara.machine import automaton, outcome, patience
from astara.machine.vocabulary import Action, InstanceState

POLICY = patience.Policy(
    boot_timeout_s=40, stop_timeout_s=40, hotplug_timeout_s=10, cooldown_s=5, cooldown_max_s=60
)
FAULTS = {
    "update_state": ["retry", "crash", "operator", 2],
    "boot": ["retry", "crash", "operator", 2],
    "check_boot": ["retry", 2],
    "configure": ["retry", "crash", "operator", 2],
    "replug": ["retry", "operator"],
    "stop": ["retry", "operator", 2],
    "clear_error": ["retry", "operator", "crash"],
    "refuse": [True, 2],
    "nova_error": [True, 2],
    "never_answers": [True, 1],
    "silent": [True, 2],
    "refuse_document": [True, 2],
    "no_hotplug": [True, 2],
    "undeletable": [True, 3],
}
A_FAULT = st.sampled_from([(name, kind) for name, kinds in FAULTS.items() for kind in kinds])
RUNS_PER_SECOND = 10  # more would be spinning


class Resource(RuleBasedStateMachine):
    """One resource in a cloud in which things break."""

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="scripted-")
        self.cloud = Cloud(pathlib.Path(self.directory.name))
        self.clock = VirtualClock()
        self.generation = 0
        self.cloud.router("r", generation="g0")
        self.start()

    def teardown(self):
        try:
            self.mend_and_check()
        finally:
            self.directory.cleanup()

    def start(self):
        instance = Factory(self.cloud).create(events.Resource("router", "r", "t1"))
        self.machine = automaton.Automaton(instance, POLICY, self.clock)
        self.machine.submit(Action.UPDATE)
        self.wake_at, self.interrupts = self.clock.now, frozenset()

    @rule(action=st.sampled_from([a for a in Action if a is not Action.DELETE]))
    def ask(self, action):
        self.submit(action)

    @rule(networks=st.sets(st.sampled_from(["n1", "n2", "n3"])))
    def change(self, networks):
        if self.cloud.read("routers", "r"):
            self.generation += 1
            self.cloud.router("r", generation=f"g{self.generation}", networks=sorted(networks))
            self.submit(Action.UPDATE)

    @rule(announce=st.booleans())
    def delete(self, announce):
        self.cloud.remove("routers", "r")
        if announce:
            self.submit(Action.DELETE)

    @rule()
    def lose_server(self):
        self.cloud.remove("servers", "r")

    @rule(faults=st.lists(A_FAULT, max_size=3))
    def break_things(self, faults):
        self.cloud.write("faults", "r", **dict(faults))

    @rule()
    def mend(self):
        self.cloud.remove("faults", "r")

    @rule()
    def kill_orchestrator(self):
        self.start()

    @rule(seconds=st.sampled_from([0.5, 5, 60, 300]))
    def pass_time(self, seconds):
        self.let_pass(seconds)

    @invariant()
    def a_router_that_exists_never_loses_its_ports(self):
        assert self.cloud.read("routers", "violation") is None

    # -- what a worker would do ------------------------------------------------------------------

    def submit(self, action):
        if action is Action.POLL and self.wake_at is not None:
            return
        self.machine.submit(action)
        if self.wake_at is None or action in self.interrupts:
            self.wake_at = self.clock.now

    def let_pass(self, seconds):
        end, runs = self.clock.now + seconds, 0
        while self.wake_at is not None and self.wake_at <= end:
            self.clock.now = max(self.clock.now, self.wake_at)
            runs += 1
            assert runs < 50 + RUNS_PER_SECOND * seconds, "it spins"
            match self.machine.run():
                case outcome.Wake(delay_s, interrupts):
                    self.wake_at, self.interrupts = self.clock.now + delay_s, interrupts
                case outcome.Idle():
                    self.wake_at = self.clock.now if self.machine.pending else None
                case outcome.Finished():
                    assert self.cloud.read("servers", "r") is None
                    self.start()
                    self.machine._take_pending()  # a worker would have dropped it
                    self.machine.action = None
                    self.wake_at = None
        self.clock.now = end

    def mend_and_check(self):
        self.cloud.remove("faults", "r")
        self.let_pass(400)
        self.submit(Action.POLL)  # the next health tick
        self.let_pass(400)
        router, server = self.cloud.read("routers", "r"), self.cloud.read("servers", "r")
        if router is None:
            assert server is None
        else:
            assert self.machine.instance.state is InstanceState.CONFIGURED
            assert server["applied"] == router["generation"]
            assert server["nics"] == router["networks"]


Resource.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestResource = Resource.TestCase
