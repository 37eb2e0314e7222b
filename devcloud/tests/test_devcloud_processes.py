"""Whose process is it: records, tags, and signals that never hit a stranger."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import time

import pytest

from astara_devcloud import processes

STAT = "4711 ({name}) {state} 1 4711 4711 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 {ticks} 0 0"
TAGS = {processes.OWNER_VARIABLE: "owner-of-this-test", processes.SERVICE_VARIABLE: "sleeper"}


def tags(owner):
    return {**os.environ, **TAGS, processes.OWNER_VARIABLE: owner}


@pytest.fixture
def owner(tmp_path):
    """Give each test an owner of its own, and end whatever is left of it."""
    name = str(tmp_path)
    yield name
    for pid in processes.members(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start(owner, tmp_path, *argv):
    return processes.spawn(argv, tags(owner), tmp_path / "log", "fingerprint")


def until(condition, what):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["sleep", "two words", "half) Z (done", "))"])
def test_stat_is_parsed_whatever_the_program_is_called(name):
    stat = processes.parse_stat(STAT.format(name=name, state="S", ticks=12345))
    assert (stat.state, stat.start_ticks) == ("S", 12345)


RECORD = processes.Record(4711, 100, "boot", 0.0, "", 0)


@pytest.mark.parametrize(
    ("stat", "boot", "ours"),
    [
        (processes.Stat("S", 100), "boot", True),
        (processes.Stat("T", 100), "boot", True),
        (processes.Stat("Z", 100), "boot", False),
        (processes.Stat("S", 101), "boot", False),
        (processes.Stat("S", 100), "another boot", False),
        (None, "boot", False),
    ],
    ids=["alive", "stopped by a signal", "zombie", "pid reused", "rebooted", "gone"],
)
def test_ownership(stat, boot, ours):
    assert processes.owns(RECORD, stat, boot) is ours


def test_tags_are_whole_entries_of_the_environment():
    block = b"ASTARA_DEVCLOUD_OWNER=/a\0ASTARA_DEVCLOUD_SERVICE=nova-api\0"
    assert processes.environment_has(block, "/a", "nova-api")
    assert processes.environment_has(block, "/a", None)
    assert not processes.environment_has(block, "/a", "nova")
    assert not processes.environment_has(block, "/", "nova-api")
    assert not processes.environment_has(b"X" + block, "/a", None)


def test_a_started_process_is_ours_until_it_is_stopped(owner, tmp_path):
    record = start(owner, tmp_path, "sleep", "600")
    assert processes.is_alive(record)
    until(lambda: processes.members(owner, "sleeper") == [record.pid], "not found by its tags")
    processes.stop(record, owner, "sleeper", signal.SIGTERM, grace_s=20)
    assert not processes.is_alive(record)
    assert processes.members(owner) == []


def test_what_ignores_sigterm_is_killed_after_the_grace(owner, tmp_path):
    script = "trap '' TERM; while :; do sleep 600; done"
    record = start(owner, tmp_path, "sh", "-c", script)
    until(lambda: len(processes.members(owner)) == 2, "no child")
    processes.stop(record, owner, "sleeper", signal.SIGTERM, grace_s=0.2)
    assert processes.members(owner) == []


def test_a_child_that_left_the_session_is_ended_too(owner, tmp_path):
    record = start(owner, tmp_path, "sh", "-c", "setsid sleep 600 & exec sleep 600")
    until(lambda: len(processes.members(owner)) == 2, "no child")
    processes.kill(record, owner, "sleeper")
    assert processes.members(owner) == []


def test_a_child_without_our_tags_survives(owner, tmp_path):
    pid_file = tmp_path / "pid"
    script = f"env -i sleep 600 & echo $! >{pid_file}; exec sleep 600"
    record = start(owner, tmp_path, "sh", "-c", script)
    until(lambda: pid_file.exists() and pid_file.read_text().strip(), "no child")
    child = int(pid_file.read_text())
    try:
        until(lambda: not processes.environment_has(processes._environ(child), owner, None), "")
        processes.kill(record, owner, "sleeper")
        stat = processes.stat_of(child)
        assert stat is not None
        assert not stat.dead
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_reused_pid_is_never_signalled(owner, tmp_path):
    with subprocess.Popen(["sleep", "600"]) as stranger:
        stale = dataclasses.replace(
            start(owner, tmp_path, "true"), pid=stranger.pid, start_ticks=1
        )
        assert not processes.signal_main(stale, signal.SIGKILL)
        processes.stop(stale, owner, "sleeper", signal.SIGTERM, grace_s=0.1)
        assert not processes.signal_tagged(stranger.pid, owner, signal.SIGKILL)
        assert stranger.poll() is None
        stranger.kill()


def test_records_survive_a_round_trip(owner, tmp_path):
    path = tmp_path / "record.json"
    assert processes.load_record(path) is None
    record = start(owner, tmp_path, "true")
    processes.store_record(path, record)
    assert processes.load_record(path) == record


def test_output_goes_to_the_end_of_the_log(owner, tmp_path):
    (tmp_path / "log").write_text("before\n")
    record = start(owner, tmp_path, "echo", "after")
    assert record.log_offset == len("before\n")
    until(lambda: (tmp_path / "log").read_text() == "before\nafter\n", "no output")
