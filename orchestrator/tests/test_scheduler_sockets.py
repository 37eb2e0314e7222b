"""Messages between processes: shards, sockets, outboxes."""

import collections
import threading
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara import events, inbox, scheduler
from astara.machine.vocabulary import Action

UPDATE = Action.UPDATE


def wait_until(condition, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "deadline passed"
        time.sleep(0.01)


def event(number=0, tenant="t"):
    return events.Event(events.Resource("router", f"r{number}", tenant), UPDATE)


@pytest.fixture
def opened():
    closing = []
    yield closing.append
    for one in reversed(closing):
        one()


@pytest.fixture
def listen(tmp_path, opened):
    def start(name="a"):
        got = []
        box = inbox.Inbox(tmp_path / "run" / f"{name}.sock", got.append)
        box.start()
        opened(box.close)
        return got, box

    return start


@pytest.fixture
def outbox(tmp_path, opened):
    def make(limit=1000, name="a"):
        box = scheduler.Outbox(name, tmp_path / "run" / f"{name}.sock", limit)
        opened(lambda: box.close(0.1))
        return box

    return make


messages = st.one_of(
    st.builds(
        events.Event,
        st.builds(events.Resource, st.text(max_size=9), st.text(max_size=40), st.text()),
        st.sampled_from(list(Action)),
        st.none() | st.text(max_size=64),
        st.text(max_size=40),
    ),
    st.builds(events.Hint, st.sampled_from(list(Action)), st.text(), st.text(), st.booleans()),
    st.builds(events.PollSlice, st.integers(0, 600), st.integers(1, 600)),
    st.builds(events.AuditEnd, st.text(max_size=40)),
    st.builds(events.AuditRequest, st.text(max_size=200)),
)


@given(messages)
def test_a_message_arrives_as_it_was_sent(message):
    assert events.decode(events.encode(message)) == message


@given(st.uuids(), st.lists(st.uuids(), min_size=1, max_size=20), st.integers(1, 16))
def test_all_resources_of_a_tenant_share_a_worker(tenant, names, count):
    shards = {
        scheduler.shard(events.Resource("router", str(name), str(tenant)), count, "tenant")
        for name in names
    }
    assert len(shards) == 1
    assert shards <= set(range(count))


@given(st.uuids(), st.integers(1, 16))
def test_a_tenant_id_with_and_without_dashes_is_the_same(tenant, count):
    dashed = events.Resource("router", "r", str(tenant))
    plain = events.Resource("router", "r", tenant.hex.upper())
    assert scheduler.shard(dashed, count, "tenant") == scheduler.shard(plain, count, "tenant")


def test_tenants_spread_over_workers():
    counts = collections.Counter(
        scheduler.shard(events.Resource("router", "r", str(uuid.UUID(int=n))), 4, "tenant")
        for n in range(4000)
    )
    assert min(counts.values()) > 800


def test_by_resource_spreads_one_tenant():
    shards = {
        scheduler.shard(events.Resource("router", str(n), "t"), 4, "resource") for n in range(100)
    }
    assert shards == {0, 1, 2, 3}


def test_messages_arrive_in_order(listen, outbox):
    got, _ = listen()
    box = outbox()
    for number in range(500):
        assert box.put(events.encode(event(number)))
    wait_until(lambda: len(got) == 500)
    assert [one.resource.id for one in got] == [f"r{number}" for number in range(500)]


def test_what_was_sent_before_the_receiver_lived_arrives(listen, outbox):
    box = outbox()
    box.put(events.encode(event(1)))
    got, _ = listen()
    wait_until(lambda: got == [event(1)])


def test_a_receiver_that_was_started_again_gets_the_rest(listen, outbox):
    got, first = listen()
    box = outbox()
    box.put(events.encode(event(1)))
    wait_until(lambda: got)
    first.close()
    for number in range(2, 20):
        box.put(events.encode(event(number)))
    again, _ = listen()
    wait_until(lambda: again and again[-1] == event(19))


def test_a_full_outbox_drops_counts_and_never_blocks(outbox):
    box = outbox(limit=10)
    taken = [box.put(events.encode(event(number))) for number in range(30)]
    assert taken == [True] * 10 + [False] * 20
    assert box.dropped == 20


def test_a_receiver_that_hangs_blocks_no_sender(tmp_path, opened, outbox):
    release = threading.Event()
    box = inbox.Inbox(tmp_path / "run" / "a.sock", lambda _message: release.wait(30))
    box.start()
    opened(box.close)
    opened(release.set)
    sender = outbox(limit=100)
    for number in range(5000):
        sender.put(events.encode(event(number)))
    assert sender.dropped > 0


def test_a_sender_that_speaks_nonsense_is_ignored(listen, outbox):
    got, _ = listen()
    box = outbox()
    box.put(b"not a message")
    box.put(events.encode(event(7)))
    wait_until(lambda: got == [event(7)])


def test_a_handler_that_fails_loses_its_message_only(tmp_path, opened, outbox):
    got = []

    def handle(message):
        if message == event(1):
            raise ZeroDivisionError
        got.append(message)

    box = inbox.Inbox(tmp_path / "run" / "a.sock", handle)
    box.start()
    opened(box.close)
    sender = outbox()
    sender.put(events.encode(event(1)))
    sender.put(events.encode(event(2)))
    wait_until(lambda: got == [event(2)])


def test_closing_leaves_the_socket_of_a_successor(tmp_path):
    path = tmp_path / "a.sock"
    old = inbox.Inbox(path, print)
    old.start()
    new = inbox.Inbox(path, print)
    new.start()
    old.close()
    assert path.exists()
    new.close()
    assert not path.exists()


def test_a_scheduler_sends_each_message_to_whom_it_concerns(tmp_path, listen, opened):
    class Conf:
        num_worker_processes, shard_by = 2, "tenant"
        state_path, worker_inbox_limit = str(tmp_path), 100

    workers = [listen(scheduler.worker_name(number))[0] for number in range(2)]
    health, _ = listen(scheduler.HEALTH)
    sending = scheduler.Scheduler(Conf)
    opened(sending.close)
    one = event(1, "some tenant")
    hint, request = events.Hint(UPDATE, network_id="n"), events.AuditRequest("test")
    assert all(sending.send(message) for message in (one, hint, request))
    owner = sending.owner(one.resource)
    wait_until(lambda: workers[owner] == [one, hint])
    wait_until(lambda: workers[1 - owner] == [hint])
    wait_until(lambda: health == [request])
