"""A worker's control socket: views, commands, and peers that misbehave."""

import socket
import threading
import time

import pytest
from scripted_cloud import Cloud, Factory

from astara import clock, events
from astara.machine import automaton, patience
from astara.machine.vocabulary import Action
from astara.worker import control, pool, registry
from astara.worker import control_protocol as protocol

POLICY = patience.Policy(retry_delay_s=0.01, watch_interval_s=0.01)


class Worker:
    def __init__(self, root):
        self.cloud = Cloud(root / "cloud")
        self.slots = registry.Registry(self.make, clock.SYSTEM, lambda _event: None)
        self.pool = pool.Pool(self.slots, 2, lambda: False)
        desk = control.Desk("node-a", 3, self.slots, self.pool, None)
        self.path = protocol.path_of(str(root), 3)
        self.server = control.Server(self.path, desk.answer)
        self.pool.start()
        self.server.start()

    def make(self, resource):
        return automaton.Automaton(Factory(self.cloud).create(resource), POLICY, clock.SYSTEM)

    def serve(self, *names):
        for name in names:
            self.cloud.router(name)
            self.slots.handle(events.Event(events.Resource("router", name, "t1"), Action.CREATE))
        self.settle(len(names))

    def settle(self, count):
        deadline = time.monotonic() + 20
        while self.slots.census()["idle"] < count:
            assert time.monotonic() < deadline, self.slots.census()
            time.sleep(0.01)

    def ask(self, question, timeout_s=5.0):
        return protocol.ask(self.path, question, timeout_s)

    def close(self):
        self.server.close()
        self.slots.close()
        assert self.pool.join(10)


@pytest.fixture
def worker(tmp_path):
    one = Worker(tmp_path)
    yield one
    one.close()
    assert not one.path.exists()


def test_lists_are_paged_in_the_order_of_ids(worker):
    worker.serve("c", "a", "b")
    first = worker.ask(protocol.ListResources(limit=2))
    assert [line.id for line in first.resources] == ["a", "b"]
    assert first.more
    rest = worker.ask(protocol.ListResources(after="b", limit=2))
    assert [line.id for line in rest.resources] == ["c"]
    assert not rest.more
    line = rest.resources[0]
    assert (line.node, line.worker, line.instance, line.phase) == (
        "node-a",
        3,
        "configured",
        "idle",
    )
    assert line.name == "name-of-c"
    assert line.applied_generation == line.generation == "g1"
    assert abs(line.since - time.time()) < 60


def test_the_detail_tells_the_way_with_its_reasons(worker):
    worker.serve("a")
    detail = worker.ask(protocol.ShowResource("a"))
    ways = [(move.state, move.next) for move in detail.moves]
    assert ("CreateVM", "CheckBoot") in ways
    assert all(move.reason for move in detail.moves)
    assert detail.networks == ("n1",)
    assert detail.ports[0].use == "carrier"
    assert detail.resource.error == ""


def test_what_went_wrong_is_told_while_it_lasts(worker):
    worker.cloud.router("bad")
    worker.cloud.write("faults", "bad", boot="operator")
    worker.slots.handle(events.Event(events.Resource("router", "bad", "t1"), Action.CREATE))
    deadline = time.monotonic() + 10
    while not (line := worker.ask(protocol.ListResources()).resources[0]).error:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert line.error == "boot needs an operator"
    assert line.error_at is not None
    detail = worker.ask(protocol.ShowResource("bad"))
    assert detail.moves[-1].error == "boot needs an operator"


def test_a_rebuild_is_taken_with_its_image(worker):
    worker.serve("a")
    done = worker.ask(protocol.Submit("a", Action.REBUILD, "image-7"))
    assert done.count == 1
    assert done.resource.id == "a"
    deadline = time.monotonic() + 10
    while len(worker.cloud.calls("a", "boot")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker.settle(1)
    assert worker.slots.slot("a").automaton.instance.image_id == "image-7"


def test_an_unknown_resource_is_named_not_ignored(worker):
    assert worker.ask(protocol.ShowResource("nobody")) == protocol.Unknown("nobody")
    assert worker.ask(protocol.Submit("nobody", Action.UPDATE)) == protocol.Unknown("nobody")


def test_polling_all_says_how_many(worker):
    worker.serve("a", "b")
    assert worker.ask(protocol.PollAll()).count == 2


def test_a_worker_tells_its_threads(worker):
    view = worker.ask(protocol.ShowWorker(log=True))
    assert [thread.alive for thread in view.threads] == [True, True]
    assert view.memory_kib > 1000


def test_mute_and_babbling_peers_hold_up_nobody_for_long(worker, monkeypatch):
    monkeypatch.setattr(control, "DEADLINE_S", 0.3)
    links = []
    for _ in range(4):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.connect(str(worker.path))
        links.append(link)
    links[1].sendall(b"\xff\xff\xff\xff")  # a message of 4 GiB
    links[2].sendall(b"\x00\x00\x00\x02{]")
    try:
        assert worker.ask(protocol.ShowWorker(), 10.0).number == 3
    finally:
        for link in links:
            link.close()


def test_a_worker_that_is_away_is_an_error_with_its_name(tmp_path):
    with pytest.raises(protocol.ControlError, match="worker-01 does not answer"):
        protocol.ask(protocol.path_of(str(tmp_path), 1), protocol.ShowWorker(), 1.0)


def test_a_worker_that_never_answers_costs_no_more_than_the_deadline(tmp_path):
    release = threading.Event()
    server = control.Server(
        protocol.path_of(str(tmp_path), 0), lambda _question: release.wait(20) and None
    )
    server.start()
    try:
        with pytest.raises(protocol.ControlError):
            protocol.ask(protocol.path_of(str(tmp_path), 0), protocol.PollAll(), 0.2)
    finally:
        release.set()
        server.close()
