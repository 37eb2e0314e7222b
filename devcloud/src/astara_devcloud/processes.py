"""Starts and stops service processes, and tells ours from a stranger with the same pid.

A service's main process is known by a record: pid, kernel start time and boot id. All processes of
a service, also those that left its session, are known by two variables in their environment. Every
signal goes through a pidfd that is opened before ownership is checked, so a pid that is reused in
between is never hit. Called by ``supervise``, ``lifecycle`` and ``faults``.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

SERVICE_VARIABLE = "ASTARA_DEVCLOUD_SERVICE"
OWNER_VARIABLE = "ASTARA_DEVCLOUD_OWNER"
PROC = pathlib.Path("/proc")
POLL_S = 0.05
KILL_DEADLINE_S = 10.0
LEFTOVER_GRACE_S = 1.0


class ProcessError(Exception):
    """A process would not start or would not end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of a started main process; its output begins at ``log_offset``."""

    pid: int
    start_ticks: int
    boot_id: str
    started_at: float
    fingerprint: str
    log_offset: int


@dataclasses.dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/<pid>/stat that ownership needs (proc(5))."""

    state: str
    start_ticks: int

    @property
    def dead(self) -> bool:
        """Whether the process has ended, even if nobody has reaped it."""
        return self.state in "ZX"


def parse_stat(text: str) -> Stat:
    """Parse /proc/<pid>/stat; the program name may itself hold spaces and parentheses."""
    fields = text.rpartition(")")[2].split()
    return Stat(state=fields[0], start_ticks=int(fields[19]))


def stat_of(pid: int) -> Stat | None:
    """Read a process's state and start time; None if there is no such process."""
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def boot_id() -> str:
    """Return the kernel's boot id: a record from before a reboot names nobody."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def owns(record: Record, stat: Stat | None, current_boot: str) -> bool:
    """Decide whether the recorded process is the one that has the pid now, and lives."""
    return (
        stat is not None
        and not stat.dead
        and stat.start_ticks == record.start_ticks
        and record.boot_id == current_boot
    )


def is_alive(record: Record) -> bool:
    """Return whether the recorded main process still runs."""
    return owns(record, stat_of(record.pid), boot_id())


def environment_has(environ: bytes, owner: str, service: str | None) -> bool:
    """Decide whether an environment block carries our tags (of any service, if None)."""
    entries = environ.split(b"\0")
    if f"{OWNER_VARIABLE}={owner}".encode() not in entries:
        return False
    if service is None:
        return True
    return f"{SERVICE_VARIABLE}={service}".encode() in entries


def _environ(pid: int) -> bytes:
    try:
        return (PROC / str(pid) / "environ").read_bytes()
    except OSError:  # gone, or a kernel thread
        return b""


def members(owner: str, service: str | None = None) -> list[int]:
    """List the living processes that carry the tags of a service."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        if environment_has(_environ(pid), owner, service):
            stat = stat_of(pid)
            if stat is not None and not stat.dead:
                found.append(pid)
    return found


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int | None]:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _send(descriptor: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself: what we wanted
        signal.pidfd_send_signal(descriptor, number)


def signal_main(record: Record, number: signal.Signals) -> bool:
    """Signal the recorded main process; False if it is not there any more."""
    with _pidfd(record.pid) as descriptor:
        if descriptor is None or not is_alive(record):
            return False
        _send(descriptor, number)
        return True


def signal_tagged(
    pid: int, owner: str, number: signal.Signals, service: str | None = None
) -> bool:
    """Signal one process if it carries the tags; return whether it did."""
    with _pidfd(pid) as descriptor:
        if descriptor is None or not environment_has(_environ(pid), owner, service):
            return False
        _send(descriptor, number)
        return True


def signal_members(owner: str, service: str, number: signal.Signals) -> int:
    """Signal every process of a service; return how many there were."""
    pids = members(owner, service)
    return sum(signal_tagged(pid, owner, number, service) for pid in pids)


def spawn(
    argv: Sequence[str],
    environment: Mapping[str, str],
    log: pathlib.Path,
    fingerprint: str,
) -> Record:
    """Start a program in its own session with its output appended to a log."""
    program = shutil.which(argv[0], path=environment.get("PATH"))
    if program is None:
        raise ProcessError(f"{argv[0]}: program not found")
    with log.open("ab") as output:
        log_offset = output.tell()
        pid = os.posix_spawn(
            program,
            list(argv),
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
            ],
            setsid=True,
        )
    stat = stat_of(pid)
    if stat is None:
        raise ProcessError(f"{argv[0]} vanished at once")
    return Record(pid, stat.start_ticks, boot_id(), time.time(), fingerprint, log_offset)


def stop(
    record: Record | None, owner: str, service: str, first: signal.Signals, grace_s: float
) -> None:
    """End a service: the first signal to its main process, after the grace SIGKILL to all."""
    seen = _start_times(members(owner, service))
    if record is not None and signal_main(record, first):
        _await_end(record, owner, service, grace_s)
    _kill(record, owner, service, seen)


def kill(record: Record | None, owner: str, service: str) -> None:
    """SIGKILL every process of a service; ProcessError if one survives the deadline."""
    _kill(record, owner, service, {})


def _kill(record: Record | None, owner: str, service: str, seen: dict[int, int]) -> None:
    """Kill until nothing is found, and return when everything ever seen has ended.

    A process on its way out shows no environment any more while it still holds its sockets, so
    "no member is found" alone would not mean that ports are free.
    """
    deadline = time.monotonic() + KILL_DEADLINE_S
    while True:
        if record is not None and signal_main(record, signal.SIGKILL):
            seen[record.pid] = record.start_ticks
        found = members(owner, service)
        seen.update(_start_times(found))
        for pid in found:
            signal_tagged(pid, owner, signal.SIGKILL, service)
        if not any(_lives(pid, ticks) for pid, ticks in seen.items()):
            return
        if time.monotonic() > deadline:
            raise ProcessError(f"{service}: {members(owner, service)} survive SIGKILL")
        time.sleep(POLL_S)


def _start_times(pids: Iterable[int]) -> dict[int, int]:
    return {pid: stat.start_ticks for pid in pids if (stat := stat_of(pid)) is not None}


def _lives(pid: int, start_ticks: int) -> bool:
    stat = stat_of(pid)
    return stat is not None and not stat.dead and stat.start_ticks == start_ticks


def _await_end(record: Record, owner: str, service: str, grace_s: float) -> None:
    """Wait for the main process, then shortly for what it leaves, such as Erlang's epmd."""
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and is_alive(record):
        time.sleep(POLL_S)
    deadline = min(deadline, time.monotonic() + LEFTOVER_GRACE_S)
    while time.monotonic() < deadline and members(owner, service):
        time.sleep(POLL_S)


def load_record(path: pathlib.Path) -> Record | None:
    """Read a process record; None if there is none."""
    try:
        return Record(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def store_record(path: pathlib.Path, record: Record) -> None:
    """Write a process record, atomically."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(dataclasses.asdict(record)))
    draft.replace(path)


def resident_kib(pid: int) -> int:
    """Return a process's proportional resident memory (PSS) in KiB; 0 if it is gone."""
    try:
        rollup = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
