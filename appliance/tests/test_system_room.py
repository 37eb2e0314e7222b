"""Programs, files and daemons of the system room, for real."""

import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

import pytest

from astara_appliance.system import daemon, files, process

SLEEPER = """
import signal, time
signal.signal(signal.SIGHUP, lambda *_: print("again", flush=True))
print("up", flush=True)
while True:
    time.sleep(60)
"""


@pytest.fixture
def daemons(tmp_path):
    made = daemon.Daemons(tmp_path / "run", tmp_path / "log")
    yield made
    for name in ("sleeper", "stubborn"):
        made.stop(name, timeout_s=0.2)


def sleeper(*arguments):
    return daemon.DaemonSpec("sleeper", (sys.executable, "-c", SLEEPER, *arguments))


def wait_for(probe, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_output_and_input_of_a_program():
    assert process.run(["cat"], stdin="grüß").stdout == "grüß"


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["sh", "-c", "echo bad >&2; exit 3"], "status 3"),
        (["/nonexistent/program"], "cannot be started"),
        (["sleep", "5"], "no end after"),
    ],
    ids=["status", "missing", "late"],
)
def test_failures_of_a_program_name_it(argv, reason):
    with pytest.raises(process.CommandFailed, match=reason) as failed:
        process.run(argv, timeout_s=0.2)
    assert failed.value.argv == tuple(argv)
    assert argv[0] in str(failed.value)


def test_accepted_status_is_no_failure():
    assert process.run(["false"], accept=frozenset({1})).returncode == 1


def test_file_is_replaced_as_a_whole_with_its_mode(tmp_path):
    path = tmp_path / "new" / "file"
    assert files.write_file(path, "one\n", 0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    inode = path.stat().st_ino
    assert not files.write_file(path, "one\n", 0o600)
    assert path.stat().st_ino == inode
    assert files.write_file(path, "two\n", 0o644)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("two\n", 0o644)
    assert os.listdir(path.parent) == ["file"]
    assert files.remove_file(path)
    assert not files.remove_file(path)
    assert files.read_file(path) is None


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file"
    files.write_file(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write_file(path, "new \ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_what_killed_writers_left_is_removed_when_it_is_old(tmp_path):
    old, fresh, kept = (tmp_path / name for name in (".config.x1", ".config.x2", "config.json"))
    for path in (old, fresh, kept):
        path.write_text("half")
    for path in (old, kept):
        os.utime(path, (1, 1))
    assert files.remove_leftovers(tmp_path) == 1
    assert sorted(os.listdir(tmp_path)) == [".config.x2", "config.json"]


def test_a_log_that_grows_is_bounded_while_the_daemon_writes_on(daemons, tmp_path):
    log = tmp_path / "log/sleeper.log"
    daemons.start(sleeper())
    wait_for(lambda: "up" in daemons.log_tail("sleeper"))
    assert daemons.bound_logs() == ()
    with log.open("ab") as more:
        more.write(b"x" * daemon.LARGEST_LOG + b"end")
    assert daemons.bound_logs() == ("sleeper",)
    former = log.with_suffix(".log.1").read_bytes()
    assert (len(former), former[-4:]) == (daemon.LOG_KEPT, b"xend")
    daemons.reload(sleeper())
    wait_for(lambda: daemons.log_tail("sleeper") == "again")
    assert log.stat().st_size < 100


def test_daemon_is_kept_reloaded_found_again_and_stopped(daemons, tmp_path):
    first = daemons.start(sleeper())
    assert daemons.start(sleeper()) == first
    again = daemon.Daemons(tmp_path / "run", tmp_path / "log")
    assert again.find("sleeper") == first
    wait_for(lambda: "up" in again.log_tail("sleeper"))
    assert again.reload(sleeper())
    wait_for(lambda: "again" in again.log_tail("sleeper"))
    assert os.getsid(first.pid) == first.pid
    assert again.stop("sleeper")
    assert not again.is_running("sleeper")
    assert not again.stop("sleeper")
    assert not again.reload(sleeper())


def test_other_arguments_mean_another_process(daemons):
    first = daemons.start(sleeper("one"))
    second = daemons.start(sleeper("two"))
    assert first.pid != second.pid
    assert not pathlib.Path(f"/proc/{first.pid}").exists()


def test_daemon_that_ends_at_once_is_told_with_its_last_words(daemons):
    spec = daemon.DaemonSpec("sleeper", ("sh", "-c", "echo cannot bind; exit 2"))
    with pytest.raises(daemon.DaemonDied, match="cannot bind"):
        daemons.start(spec, settle_s=5)
    assert not daemons.is_running("sleeper")


def test_daemon_that_tells_its_start_is_not_waited_for(daemons):
    talk = "echo started, version 1; exec sleep 60"
    spec = daemon.DaemonSpec("sleeper", ("sh", "-c", talk), started_line="started, version")
    for _ in range(2):  # the second time its log has that line of the first life already
        daemons.start(spec, settle_s=3600)
        assert daemons.is_running("sleeper")
        daemons.stop("sleeper")


def test_daemon_that_died_is_not_running_although_nobody_waited_for_it(daemons):
    running = daemons.start(sleeper())
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not daemons.is_running("sleeper"))


def test_daemon_that_ignores_term_is_killed(daemons):
    spec = daemon.DaemonSpec("stubborn", ("sh", "-c", "trap '' TERM; while :; do sleep 1; done"))
    daemons.start(spec)
    assert daemons.stop("stubborn", timeout_s=0.3)
    assert not daemons.is_running("stubborn")


def test_killed_daemon_leaves_no_zombie_that_holds_its_number(daemons):
    spec = daemon.DaemonSpec("stubborn", ("sh", "-c", "trap '' TERM; while :; do sleep 1; done"))
    running = daemons.start(spec)
    assert daemons.stop("stubborn", timeout_s=0)
    assert not pathlib.Path(f"/proc/{running.pid}").exists()


def test_daemon_behind_a_launcher_is_found_by_its_own_arguments(daemons):
    program = sleeper()
    spec = daemon.DaemonSpec(program.name, program.argv, ("setpriv", "--pdeathsig", "TERM"))
    first = daemons.start(spec)
    wait_for(lambda: "up" in daemons.log_tail("sleeper"))
    assert daemons.start(spec) == first


def test_recycled_pid_is_not_taken_for_the_daemon(daemons, tmp_path):
    other = subprocess.Popen(["sleep", "30"])
    try:
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run/sleeper.pid").write_text(f"{other.pid} 1\n")
        assert daemons.find("sleeper") is None
        assert not daemons.stop("sleeper")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("left", ["", "1 2 3", None], ids=["empty", "garbage", "gone"])
def test_daemon_whose_pid_file_is_lost_is_ended_before_another_starts(daemons, tmp_path, left):
    argv = ("tail", "-f", str(tmp_path / "run/followed"))
    other = subprocess.Popen(["tail", "-f", "/dev/null"])
    files.write_file(tmp_path / "run/followed", "")
    first = daemons.start(daemon.DaemonSpec("sleeper", argv))
    pid_file = tmp_path / "run/sleeper.pid"
    pid_file.unlink()
    if left is not None:
        pid_file.write_text(left)
    try:
        assert not daemons.is_running("sleeper")
        second = daemons.start(daemon.DaemonSpec("sleeper", argv))
        assert second.pid != first.pid
        assert not pathlib.Path(f"/proc/{first.pid}").exists()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
