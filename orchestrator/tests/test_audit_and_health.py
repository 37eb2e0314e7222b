"""The audit and the passing of time, against an inventory that a test can bend."""

import threading

import pytest
from scripted_cloud import Cloud, Inventory
from virtual_time import VirtualClock

from astara import events
from astara.machine import instance_port
from astara.machine.vocabulary import Action
from astara.sources import audit, health


class Bench:
    def __init__(self, root):
        self.cloud, self.clock, self.sent = Cloud(root), VirtualClock(), []
        self.room = 10**9
        self.inventory = Inventory(self.cloud)
        self.auditor = audit.Auditor(
            lambda: self.inventory, self.send, self.clock, interval_s=100, orphan_grace_s=60
        )

    def send(self, message):
        if len(self.sent) >= self.room:
            return False
        self.sent.append(message)
        return True

    def audit(self):
        self.sent.clear()
        self.auditor.audit(self.inventory)
        return self.sent

    def of(self, action):
        return [m for m in self.sent if isinstance(m, events.Event) and m.action is action]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_an_audit_names_everything_with_its_generation_and_ends(bench):
    bench.cloud.router("a", tenant="t1", generation="g7")
    bench.cloud.router("b", tenant="t2", generation="g8")
    *lines, end = bench.audit()
    assert [(one.resource.id, one.generation, one.action) for one in lines] == [
        ("a", "g7", Action.UPDATE),
        ("b", "g8", Action.UPDATE),
    ]
    assert {one.source for one in lines} == {end.audit_id}
    assert isinstance(end, events.AuditEnd)


def test_an_audit_that_could_not_name_everything_does_not_end(bench):
    bench.cloud.router("a")
    bench.room = 0
    bench.audit()
    bench.room = 10**9
    assert bench.sent == []


def test_an_audit_that_breaks_does_not_end(bench):
    def broken():
        yield [instance_port.Listed(events.Resource("router", "a", "t"), "g")]
        raise instance_port.Retry("Neutron is away")

    bench.inventory.pages = broken
    with pytest.raises(instance_port.Retry):
        bench.audit()
    assert not [m for m in bench.sent if isinstance(m, events.AuditEnd)]


def test_a_leftover_is_removed_only_after_its_grace(bench):
    bench.cloud.write("servers", "lost")
    bench.audit()
    assert bench.of(Action.DELETE) == []
    bench.clock.now += 61
    bench.audit()
    [event] = bench.of(Action.DELETE)
    assert event.resource == events.Resource("router", "lost")
    assert event.generation is None


def test_a_server_of_a_router_that_appeared_meanwhile_is_left_alone(bench):
    bench.cloud.write("servers", "a")
    bench.audit()
    bench.cloud.router("a")
    bench.clock.now += 61
    bench.audit()
    assert bench.of(Action.DELETE) == []
    bench.cloud.remove("routers", "a")
    bench.audit()
    assert bench.of(Action.DELETE) == []  # its grace begins anew


def test_what_is_there_twice_is_told_to_its_worker_after_a_grace(bench):
    bench.cloud.router("a", tenant="t1")
    bench.cloud.write("servers", "a", doubled=True)
    bench.cloud.write("servers", "lost", doubled=True)

    def told():
        bench.audit()
        return [one for one in bench.of(Action.UPDATE) if one.recount]

    assert told() == []
    bench.clock.now += 61
    [event] = told()
    assert event.resource == events.Resource("router", "a", "t1")
    assert event.generation is None
    bench.cloud.write("servers", "a", doubled=False)
    assert told() == []
    bench.cloud.write("servers", "a", doubled=True)
    assert told() == [], "its grace begins anew"


def test_failing_audits_are_repeated_and_survived(bench):
    stop, attempts = threading.Event(), []

    def pages():
        attempts.append(1)
        if len(attempts) == 1:
            raise instance_port.Retry("away")
        if len(attempts) == 2:
            raise ZeroDivisionError
        stop.set()
        return iter([])

    bench.inventory.pages = pages
    bench.clock.jitter = lambda _seconds: 0.001
    thread = threading.Thread(target=bench.auditor.run, args=(stop,))
    thread.start()
    thread.join(20)
    assert len(attempts) == 3


def test_a_request_does_not_wait_for_the_interval(bench):
    stop, passes = threading.Event(), threading.Semaphore(0)
    bench.inventory.pages = lambda: passes.release() or iter([])
    thread = threading.Thread(target=bench.auditor.run, args=(stop,))
    thread.start()
    assert passes.acquire(timeout=20)
    bench.auditor.request("test")
    assert passes.acquire(timeout=20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_a_request_during_an_audit_causes_another(bench):
    stop, passes = threading.Event(), []

    def pages():
        passes.append(1)
        if len(passes) == 1:
            bench.auditor.request("while it runs")
        else:
            stop.set()
        return iter([])

    bench.inventory.pages = pages
    thread = threading.Thread(target=bench.auditor.run, args=(stop,))
    thread.start()
    thread.join(20)
    assert len(passes) == 2


@pytest.mark.parametrize(("period_s", "slices"), [(0.2, 1), (1, 1), (60, 60), (3600, 600)])
def test_a_period_is_cut_into_slices(period_s, slices):
    assert health.slices_of(period_s) == slices


def test_ticks_name_one_slice_after_the_other():
    stop, sent = threading.Event(), []

    class Quick(VirtualClock):
        def jitter(self, seconds):
            return 0.0

    def send(message):
        sent.append(message)
        if len(sent) == 7:
            stop.set()

    health.tick(send, 3.0, Quick(), stop)
    assert [one.index for one in sent] == [0, 1, 2, 0, 1, 2, 0]
    assert {one.of for one in sent} == {3}
