"""Real threads on one registry: one thread per resource, nothing lost, nobody starved."""

import random
import threading
import time

import pytest
from scripted_cloud import Cloud, Factory

from astara import clock, events
from astara.machine import automaton, patience
from astara.machine.vocabulary import Action, InstanceState
from astara.worker import pool, registry

POLICY = patience.Policy(retry_delay_s=0.01, watch_interval_s=0.01)


class Guarded:
    """An instance that notices when two threads are on it."""

    def __init__(self, inner, alarms):
        self._inner, self._alarms, self._busy = inner, alarms, threading.Lock()

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args, **kwargs):
            if not self._busy.acquire(blocking=False):
                self._alarms.append(name)
                return found(*args, **kwargs)
            try:
                return found(*args, **kwargs)
            finally:
                self._busy.release()

        return call


class Worker:
    def __init__(self, root, threads=4):
        self.cloud, self.alarms, self.instances = Cloud(root), [], {}
        time_ = clock.SystemClock()
        self.slots = registry.Registry(self.make, time_, lambda _event: None)
        self.pool = pool.Pool(self.slots, threads, lambda: False)
        self.pool.start()

    def make(self, resource):
        instance = Guarded(Factory(self.cloud).create(resource), self.alarms)
        self.instances[resource.id] = instance
        return automaton.Automaton(instance, POLICY, clock.SystemClock())

    def event(self, name, action=Action.UPDATE):
        self.slots.handle(events.Event(events.Resource("router", name, "t1"), action))

    def wait(self, condition, timeout_s=30.0):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.slots.census()
            time.sleep(0.01)

    def configured(self):
        return {
            name
            for name, instance in self.instances.items()
            if instance.state is InstanceState.CONFIGURED
        }


@pytest.fixture
def worker(tmp_path):
    one = Worker(tmp_path)
    yield one
    one.slots.close()
    assert one.pool.join(20)


def test_a_storm_of_events_ends_with_everything_as_neutron_has_it(worker):
    names = [f"r{number}" for number in range(12)]
    for name in names:
        worker.cloud.router(name)

    def storm(seed):
        chance = random.Random(seed)
        for step in range(60):
            name = chance.choice(names)
            worker.cloud.router(name, generation=f"g{seed}-{step}")
            worker.event(name, chance.choice([Action.UPDATE, Action.POLL, Action.CREATE]))
            worker.slots.handle(events.Hint(Action.UPDATE, network_id="n1"))

    storms = [threading.Thread(target=storm, args=(seed,)) for seed in range(3)]
    for thread in storms:
        thread.start()
    for thread in storms:
        thread.join(30)
    for name in names:
        worker.event(name)

    def settled():
        return worker.slots.census()["idle"] == len(names) and all(
            (worker.cloud.read("servers", name) or {}).get("applied")
            == worker.cloud.read("routers", name)["generation"]
            for name in names
        )

    worker.wait(settled)
    assert worker.alarms == []
    assert len(worker.cloud.calls(call="boot")) == len(names)


def test_resources_that_wait_hold_no_thread(worker):
    """More resources boot for ever than there are threads; another one is served all the same."""
    for number in range(12):
        worker.cloud.router(f"stuck{number}")
        worker.cloud.write("faults", f"stuck{number}", never_answers=True)
        worker.event(f"stuck{number}", Action.CREATE)
    worker.cloud.router("fine")
    worker.event("fine", Action.CREATE)
    worker.wait(lambda: "fine" in worker.configured())


def test_a_walk_that_crashes_costs_no_thread(worker, monkeypatch):
    monkeypatch.setattr(pool, "CRASH_PAUSE_S", 0.01)
    crashed = []

    def crash(_halt):
        crashed.append(1)
        raise ZeroDivisionError

    worker.cloud.router("bad")
    worker.slots._slots["bad"] = slot = registry.Slot(
        events.Resource("router", "bad", "t1"), worker.make(events.Resource("router", "bad", "t1"))
    )
    slot.automaton.run = crash
    worker.event("bad")
    worker.wait(lambda: len(crashed) > 10)
    worker.cloud.router("fine")
    worker.event("fine", Action.CREATE)
    worker.wait(lambda: "fine" in worker.configured())
