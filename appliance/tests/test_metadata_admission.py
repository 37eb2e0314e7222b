"""Whose metadata request runs, waits or is refused."""

import hypothesis
from hypothesis import strategies

from astara_appliance.metadata_proxy.admission import Admission, Entry


def test_more_than_a_clients_share_waits_and_then_runs_in_order():
    gate: Admission[int] = Admission(running=4, running_of_one=2, waiting=9, waiting_of_one=3)
    entries = [gate.enter("vm", number) for number in range(6)]
    assert entries == [Entry.RUN] * 2 + [Entry.WAIT] * 3 + [Entry.REFUSE]
    assert [gate.leave("vm") for _ in range(4)] == [("vm", 2), ("vm", 3), ("vm", 4), None]


def test_those_who_wait_take_turns():
    gate: Admission[int] = Admission(running=1, running_of_one=1, waiting=9, waiting_of_one=5)
    assert gate.enter("first", 0) is Entry.RUN
    for number, client in enumerate(("greedy", "greedy", "greedy", "modest"), start=1):
        assert gate.enter(client, number) is Entry.WAIT
    order, client = [], "first"
    while (left := gate.leave(client)) is not None:
        client = left[0]
        order.append(left)
    assert order == [("greedy", 1), ("modest", 4), ("greedy", 2), ("greedy", 3)]


def test_a_greedy_client_leaves_room_to_run():
    gate: Admission[int] = Admission(running=4, running_of_one=2, waiting=9, waiting_of_one=9)
    for number in range(9):
        gate.enter("greedy", number)
    assert gate.enter("modest", 99) is Entry.RUN


@hypothesis.given(
    strategies.lists(strategies.tuples(strategies.booleans(), strategies.sampled_from("abc")))
)
def test_bounds_hold_and_no_call_is_lost(steps):
    gate: Admission[int] = Admission(running=3, running_of_one=2, waiting=4, waiting_of_one=2)
    running: list[str] = []
    waiting: list[int] = []
    for number, (comes, client) in enumerate(steps):
        if comes:
            entry = gate.enter(client, number)
            running += [client] * (entry is Entry.RUN)
            waiting += [number] * (entry is Entry.WAIT)
        elif client in running:
            running.remove(client)
            if (left := gate.leave(client)) is not None:
                running.append(left[0])
                waiting.remove(left[1])
        assert len(running) <= 3
        assert all(running.count(one) <= 2 for one in "abc")
        assert len(waiting) <= 4
    while running:
        if (left := gate.leave(running.pop())) is not None:
            running.append(left[0])
            waiting.remove(left[1])
    assert waiting == []
