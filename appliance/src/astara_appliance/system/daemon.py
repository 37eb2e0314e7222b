"""Start, find again, reload and stop long-lived programs that must outlive the agent.

A daemon runs in its own session, so neither the agent's end nor its process group touches it. It
is found again by a pid file that holds pid and kernel start time: a recycled pid is never mistaken
for it, nor signalled. It never decides what a daemon's configuration says. Called by the drivers
of dnsmasq, the metadata proxy and the like.

The program must stay in the foreground (`dnsmasq --keep-in-foreground`, `bird -f`): the pid that
we start is the pid that we watch.
"""

import contextlib
import dataclasses
import itertools
import logging
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from . import files, process

LOG = logging.getLogger(__name__)

STOP_TIMEOUT_S = 5.0
LARGEST_LOG, LOG_KEPT = 2 * 1024 * 1024, 512 * 1024
_KILL_TIMEOUT_S = 5.0
_POLL_S = 0.02
_SETTLE_POLL_S = 0.005
_BOOT_FIELD = 19  # starttime, counted from the field after the command name (proc(5), field 22)


@dataclasses.dataclass(frozen=True, slots=True)
class DaemonSpec:
    """How to run one daemon."""

    name: str
    """Short and unique, names pid and log file: "dnsmasq"."""

    argv: tuple[str, ...]
    """Program and arguments, foreground mode."""

    launcher: tuple[str, ...] = ()
    """What executes the program in its own place: ("setpriv", "--pdeathsig", "TERM")."""

    reload_signal: signal.Signals = signal.SIGHUP
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Beside the plain one; a running daemon is not asked for it."""

    started_line: str = ""
    """Part of the line that its log has once it serves: then nobody waits longer."""


@dataclasses.dataclass(frozen=True, slots=True)
class RunningDaemon:
    """A live process that we started, now or in an earlier life of the agent."""

    pid: int
    start_ticks: int
    argv: tuple[str, ...]


class DaemonDied(Exception):
    """A daemon ended right after its start; `reason` has the end of its log."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name} ended at once: {reason}")


class Daemons:
    """The daemons of one appliance, by name; state is in `run_dir` only, so every agent life sees
    the same ones.
    """

    def __init__(self, run_dir: pathlib.Path, log_dir: pathlib.Path) -> None:
        self._run_dir = run_dir
        self._log_dir = log_dir

    def names(self) -> tuple[str, ...]:
        """Return the names of all daemons that were started and not stopped since."""
        return tuple(sorted(path.stem for path in self._run_dir.glob("*.pid")))

    def find(self, name: str) -> RunningDaemon | None:
        """Return the live process of daemon `name`, None if it does not run."""
        recorded = files.read_file(self._pid_file(name))
        parts = (recorded or "").split()
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            return None
        pid, start_ticks = int(parts[0]), int(parts[1])
        if _start_ticks(pid) != start_ticks:
            return None
        return RunningDaemon(pid, start_ticks, _argv(pid))

    def is_running(self, name: str) -> bool:
        """Tell whether daemon `name` lives."""
        return self.find(name) is not None

    def start(self, spec: DaemonSpec, *, settle_s: float = 0.1) -> RunningDaemon:
        """Start `spec` detached and return it once it has lived `settle_s`, or told that it has
        started; keep a running one as it is.

        A running one with *other arguments* is stopped first. Raises `DaemonDied` with the end of
        its log, or `process.CommandFailed` when the program cannot be executed. Readiness (a
        socket, a log line) is the caller's to wait for.
        """
        return self.start_all((spec,), settle_s=settle_s)[0]

    def start_all(
        self, specs: Sequence[DaemonSpec], *, settle_s: float = 0.1
    ) -> tuple[RunningDaemon, ...]:
        """Start several as `start` does, and let them settle together."""
        told = {spec.name: self._log_size(spec.name) for spec in specs}
        started = [(spec, *self._launched(spec)) for spec in specs]
        deadline = time.monotonic() + settle_s
        for spec, _, child in started:
            if child is not None:
                self._settle(spec, child, told[spec.name], deadline)
        return tuple(life for _, life, _ in started)

    def _launched(
        self, spec: DaemonSpec
    ) -> "tuple[RunningDaemon, subprocess.Popen[bytes] | None]":
        """Return the running process of `spec`, and the child if it is a new one."""
        running = self.find(spec.name)
        if running is not None and running.argv == spec.argv:
            return running, None
        if running is not None:
            self.stop(spec.name)
        self._end_strays(spec)
        self._log_dir.mkdir(parents=True, exist_ok=True)
        child = self._spawn(spec)
        start_ticks = _start_ticks(child.pid) or 0
        files.write_file(self._pid_file(spec.name), f"{child.pid} {start_ticks}\n", 0o644)
        return RunningDaemon(child.pid, start_ticks, spec.argv), child

    def _settle(
        self, spec: DaemonSpec, child: "subprocess.Popen[bytes]", log_from: int, deadline: float
    ) -> None:
        while (status := child.poll()) is None and time.monotonic() < deadline:
            if spec.started_line and spec.started_line in self._log_since(spec.name, log_from):
                break
            time.sleep(_SETTLE_POLL_S)
        if status is None:
            child.returncode = (
                0  # detached on purpose: the object must not warn that its process still lives
            )
            return
        files.remove_file(self._pid_file(spec.name))
        raise DaemonDied(spec.name, f"status {status}: {self.log_tail(spec.name)}")

    def reload(self, spec: DaemonSpec) -> bool:
        """Send the reload signal to a running daemon; return whether there was one."""
        return self.signal(spec.name, spec.reload_signal)

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send `number` to daemon `name`; return whether it lives."""
        running = self.find(name)
        if running is None:
            return False
        try:
            os.kill(running.pid, number)
        except ProcessLookupError:
            return False
        return True

    def stop(self, name: str, *, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """End daemon `name`: TERM, after `timeout_s` KILL. Return whether it was running;
        afterwards it is gone, and collected if it was a child of ours.
        """
        was_running = self.signal(name, signal.SIGTERM)
        if was_running and not self._gone(name, timeout_s):
            self.signal(name, signal.SIGKILL)
            self._gone(name, _KILL_TIMEOUT_S)
        files.remove_file(self._pid_file(name))
        return was_running

    def log_tail(self, name: str, characters: int = 600) -> str:
        """Return the end of what daemon `name` printed."""
        return (files.read_file(self._log_file(name)) or "")[-characters:].strip()

    def bound_logs(self) -> tuple[str, ...]:
        """Keep of each log that has grown too large its end, as NAME.log.1; return their names.

        Daemons append to what they have open, so the file stays and is emptied. What is written
        between the two is lost.
        """
        found = [path for path in self._log_dir.glob("*.log") if path.stat().st_size > LARGEST_LOG]
        for path in found:
            with path.open("rb+") as log:
                log.seek(-LOG_KEPT, os.SEEK_END)
                former = path.with_suffix(".log.1")
                former.write_bytes(log.read())
                former.chmod(0o600)
                log.truncate(0)
        return tuple(sorted(path.stem for path in found))

    def _end_strays(self, spec: DaemonSpec) -> None:
        """End processes of `spec` whose pid file is lost: the same program on files of ours."""
        others = (self.find(name) for name in self.names() if name != spec.name)
        known = {other.pid for other in others if other is not None}
        for pid in _pids():
            argv = _argv(pid)
            ours = pid not in known and any(str(self._run_dir) in word for word in argv[1:])
            if not ours or not _same_program(argv, spec.argv):
                continue
            LOG.warning("daemon.stray name=%s pid=%s", spec.name, pid)
            start_ticks = _start_ticks(pid) or 0
            files.write_file(self._pid_file(spec.name), f"{pid} {start_ticks}\n", 0o644)
            self.stop(spec.name)

    def _spawn(self, spec: DaemonSpec) -> subprocess.Popen[bytes]:
        with self._log_file(spec.name).open("ab") as log:
            try:
                return subprocess.Popen(
                    [*spec.launcher, *spec.argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=process.clean_environment() | dict(spec.environment),
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                raise process.CommandFailed(
                    spec.argv, f"cannot be started ({error.strerror})"
                ) from error

    def _gone(self, name: str, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self.is_running(name):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _pid_file(self, name: str) -> pathlib.Path:
        return self._run_dir / f"{name}.pid"

    def _log_file(self, name: str) -> pathlib.Path:
        return self._log_dir / f"{name}.log"

    def _log_size(self, name: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self._log_file(name).stat().st_size
        return 0

    def _log_since(self, name: str, offset: int) -> str:
        with self._log_file(name).open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")


def end_titled(beginning: str) -> None:
    """End at once the processes that call themselves so: what a daemon that was killed has left
    of its own kind. An appliance sees no processes but its own.
    """
    for pid in _pids():
        if " ".join(_argv(pid)).startswith(beginning):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _start_ticks(pid: int) -> int | None:
    """Return the start time of live process `pid` in clock ticks since boot, None if it is gone or
    a zombie.
    """
    with contextlib.suppress(ChildProcessError):
        os.waitpid(
            pid, os.WNOHANG
        )  # a child of ours that ended is collected, so that it counts as gone
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[_BOOT_FIELD])


def _pids() -> tuple[int, ...]:
    return tuple(int(path.name) for path in pathlib.Path("/proc").glob("[0-9]*"))


def _same_program(argv: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Tell whether two command lines start the same program: options and files may differ."""
    options = itertools.takewhile(lambda word: "/" not in word, wanted[1:])
    head = (wanted[0], *options)
    return argv[: len(head)] == head


def _argv(pid: int) -> tuple[str, ...]:
    try:
        raw = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return tuple(part.decode(errors="replace") for part in raw.split(b"\0")[:-1])
