"""The orchestrator as it is started: supervisor, workers and health as real processes.

The cloud is the scripted one, in a directory; everything else is what production runs.
"""

import os
import signal
import sys
import time

import pytest
from scripted_node import Node, alive, wait_until

pytestmark = pytest.mark.functional


@pytest.fixture
def node(tmp_path):
    one = Node(tmp_path)
    try:
        yield one
    except BaseException:
        sys.stderr.write(one.log.read_text()[-8000:])
        raise
    finally:
        one.clean()


@pytest.fixture
def serving(node):
    """A node that serves eight routers of eight tenants."""
    for number in range(8):
        node.cloud.router(f"r{number}", tenant=f"tenant-{number}")
    node.start()
    wait_until(lambda: len(node.applied()) == 8, "eight routers are configured")
    return node


def test_everything_in_neutron_is_served_by_both_workers(serving):
    assert len({one["pid"] for one in serving.cloud.calls(call="boot")}) == 2
    assert len(serving.cloud.calls(call="push")) == 8


def test_a_killed_worker_is_started_again_and_takes_its_routers_up_without_a_push(serving):
    pushes = len(serving.cloud.calls(call="push"))
    victim = serving.children("worker")[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(serving.children("worker")) == 2, "the worker is back")
    new = max(serving.children("worker"))

    def looked():
        return {one["id"] for one in serving.cloud.calls() if one["pid"] == new}

    old = {one["id"] for one in serving.cloud.calls(call="push") if one["pid"] == victim}
    assert old
    wait_until(lambda: looked() >= old, "the new worker knows the routers of the old one")
    serving.cloud.router("r0", tenant="tenant-0", generation="g2")
    serving.cloud.router("r1", tenant="tenant-1", generation="g2")
    wait_until(lambda: len(serving.applied()) == 8, "changes are applied")
    assert len(serving.cloud.calls(call="push")) == pushes + 2


def test_a_hung_worker_holds_up_nobody_else(serving):
    victim, other = serving.children("worker")
    os.kill(victim, signal.SIGSTOP)
    try:
        served = {one["id"] for one in serving.cloud.calls(call="push") if one["pid"] == other}
        for name in served:
            serving.cloud.remove("servers", name)
        wait_until(lambda: served <= set(serving.cloud.names("servers")), "they are booted again")
    finally:
        os.kill(victim, signal.SIGCONT)


def test_a_worker_that_hangs_for_good_is_replaced_and_two_never_own_a_router(node):
    for number in range(8):
        node.cloud.router(f"r{number}", tenant=f"tenant-{number}")
    node.configure(process_heartbeat_timeout=4)
    node.start()
    wait_until(lambda: len(node.applied()) == 8, "eight routers are configured")
    victim, other = node.children("worker")
    os.kill(victim, signal.SIGSTOP)
    wait_until(lambda: not alive(victim), "it is ended")
    wait_until(lambda: len(set(node.children("worker")) - {victim}) == 2, "it is replaced")
    successor = max(set(node.children("worker")) - {other})
    for number in range(8):
        node.cloud.remove("servers", f"r{number}")
    wait_until(lambda: len(node.applied()) == 8, "all are booted again")
    calls = [one["pid"] for one in node.cloud.calls() if one["pid"] in (victim, successor)]
    assert victim not in calls[calls.index(successor) :], "the old one was gone before"
    assert "child.hung" in node.log.read_text()
    assert other in node.children("worker"), "the other one was left alone"


def test_a_node_that_slept_as_a_whole_loses_no_process(node):
    node.configure(process_heartbeat_timeout=4)
    node.cloud.router("r0", tenant="tenant-0")
    process = node.start()
    wait_until(lambda: len(node.applied()) == 1, "the router is configured")
    before = node.children()
    for pid in [process.pid, *before]:
        os.kill(pid, signal.SIGSTOP)
    woken = time.monotonic() + 6  # longer than their supervisor's patience
    wait_until(lambda: time.monotonic() > woken, "they have slept")
    for pid in [process.pid, *before]:
        os.kill(pid, signal.SIGCONT)
    node.cloud.remove("servers", "r0")
    wait_until(lambda: node.applied() == ["r0"], "it serves on")
    assert node.children() == before


def test_health_ticks_heal_a_server_that_vanished(serving):
    serving.cloud.remove("servers", "r3")
    wait_until(lambda: "r3" in serving.applied(), "r3 is booted again")


def test_a_router_that_vanished_and_a_leftover_are_removed_by_the_audit(serving):
    serving.cloud.remove("routers", "r5")
    serving.cloud.write("servers", "leftover", nova="ACTIVE", boots=0, nics=[])
    os.kill(serving.children("health")[0], signal.SIGKILL)  # its successor audits at once
    wait_until(lambda: "r5" not in serving.cloud.names("servers"), "r5 is removed")
    wait_until(lambda: "leftover" not in serving.cloud.names("servers"), "leftover is removed")


def test_sigterm_stops_all_children_and_leaves_the_instances(serving):
    [process] = serving.processes
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert serving.children() == []
    assert len(serving.cloud.names("servers")) == 8
    assert list((serving.root / "state" / "run").iterdir()) == []


def test_children_end_when_the_supervisor_is_killed_and_a_new_one_takes_over(serving):
    pushes, old = len(serving.cloud.calls(call="push")), serving.children()
    serving.processes[0].kill()
    serving.processes[0].wait(timeout=10)
    serving.start()
    wait_until(lambda: not any(alive(pid) for pid in old), "the old children are gone")
    wait_until(lambda: len(serving.children()) == 3, "the new children live")
    before = len(serving.cloud.calls(call="pages"))
    wait_until(lambda: len(serving.cloud.calls(call="pages")) > before, "it has looked around")
    serving.cloud.router("r7", tenant="tenant-7", generation="g2")
    wait_until(lambda: len(serving.applied()) == 8, "it serves")
    assert len(serving.cloud.calls(call="push")) == pushes + 1
    assert len(serving.cloud.calls(call="boot")) == 8


def test_a_second_orchestrator_on_the_same_state_is_refused(serving):
    second = serving.start()
    assert second.wait(timeout=30) == os.EX_TEMPFAIL
    assert "another orchestrator" in serving.log.read_text()
    assert len(serving.children()) == 3


def test_a_faulty_configuration_ends_the_start_with_its_faults(node):
    node.configure(enabled_processes="preflight,worker", boot_timeout=1, alive_timeout=2)
    assert node.start().wait(timeout=60) == os.EX_CONFIG
    log = node.log.read_text()
    assert "[router] image_uuid is required" in log
    assert "alive_timeout must be shorter than boot_timeout" in log


def test_an_absent_configuration_file_is_one_clear_line(node):
    node.config.unlink()
    assert node.start().wait(timeout=30) == os.EX_CONFIG
    assert str(node.config) in node.log.read_text()
