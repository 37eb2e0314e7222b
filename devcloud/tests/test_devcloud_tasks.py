"""Parallel start by dependency."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astara_devcloud import tasks


def nothing():
    """Do nothing, successfully."""


@st.composite
def graphs(draw):
    """Draw acyclic graphs: a task needs only tasks of a lower number."""
    size = draw(st.integers(0, 8))
    return [
        tasks.Task(
            f"t{n}",
            nothing,
            tuple(f"t{i}" for i in draw(st.sets(st.integers(0, n - 1))) if n) if n else (),
        )
        for n in range(size)
    ]


@given(graphs())
def test_every_task_follows_its_needs(graph):
    order = tasks.ordered(graph)
    assert sorted(order) == sorted(task.name for task in graph)
    for task in graph:
        assert all(order.index(need) < order.index(task.name) for need in task.needs)


@given(graphs())
def test_running_keeps_the_order_of_needs(graph):
    done, lock = [], threading.Lock()

    def logged(task):
        def run():
            with lock:
                assert set(task.needs) <= set(done)
                done.append(task.name)

        return tasks.Task(task.name, run, task.needs)

    outcome = tasks.run([logged(task) for task in graph], parallel=4)
    assert not outcome.failures
    assert sorted(done) == sorted(task.name for task in graph)


def test_a_circle_is_named():
    circle = [tasks.Task("a", nothing, ("b",)), tasks.Task("b", nothing, ("a",))]
    with pytest.raises(tasks.OrderError, match="a, b"):
        tasks.ordered(circle)


def test_an_unknown_need_is_named():
    with pytest.raises(tasks.OrderError, match="ghost"):
        tasks.ordered([tasks.Task("a", nothing, ("ghost",))])


def test_a_failure_skips_only_what_needs_it():
    ran = []

    def fail():
        raise OSError("broken")

    graph = [
        tasks.Task("broken", fail),
        tasks.Task("behind", lambda: ran.append("behind"), ("broken",)),
        tasks.Task("far behind", lambda: ran.append("far behind"), ("behind",)),
        tasks.Task("beside", lambda: ran.append("beside")),
    ]
    outcome = tasks.run(graph, parallel=2)
    assert list(outcome.failures) == ["broken"]
    assert outcome.skipped == ("behind", "far behind")
    assert ran == ["beside"]


def test_independent_tasks_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=30)
    graph = [tasks.Task("a", meeting.wait), tasks.Task("b", meeting.wait)]
    assert not tasks.run(graph, parallel=2).failures


def test_what_is_left_out_counts_as_there():
    graph = [tasks.Task("a", nothing), tasks.Task("b", nothing, ("a",))]
    assert tasks.ordered(tasks.restrict(graph, ["b"])) == ["b"]
