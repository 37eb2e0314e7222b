"""Brings one declared service to the state that is asked for: running and answering, or gone.

Holds no state of its own: everything is in the process records under ``run/``, so that any command
can find, judge and stop what an earlier one started. Called by ``lifecycle`` and ``faults``.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Iterable

from astara_devcloud import ports as ports_module
from astara_devcloud import processes, readiness, services, settings

POLL_S = 0.2
TAIL_LINES = 25
TAIL_BYTES = 16384
LARGEST_LOG_BYTES = 100 * 1024 * 1024

Report = Callable[[str], None]


class ServiceFailed(Exception):
    """A service ended or did not answer in time; the text shows the end of its log."""


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """What ``status`` shows of a service."""

    name: str
    pid: int | None
    problem: str | None
    outdated: bool
    resident_kib: int
    age_s: float

    @property
    def word(self) -> str:
        """One word for the condition."""
        if self.pid is None:
            return "stopped"
        return "running" if self.problem is None else "unready"


def record_path(cloud: settings.Settings, name: str) -> pathlib.Path:
    """Return where a service's process record is kept."""
    return cloud.layout.run / f"{name}.json"


def live_record(cloud: settings.Settings, name: str) -> processes.Record | None:
    """Return the record of a service's main process if that still runs."""
    record = processes.load_record(record_path(cloud, name))
    return record if record is not None and processes.is_alive(record) else None


def ensure(cloud: settings.Settings, service: services.Service, report: Report) -> None:
    """Start a service unless it runs, and return when it answers."""
    record = live_record(cloud, service.name)
    if record is None:
        record = _start(cloud, service)
    await_ready(cloud, service, record)
    report(f"{service.name} answers")


def await_ready(
    cloud: settings.Settings, service: services.Service, record: processes.Record
) -> None:
    """Wait until a started service answers; ServiceFailed if it ends or takes too long."""
    deadline = time.monotonic() + service.ready_timeout_s
    while True:
        try:
            service.ready(record)
            return
        except readiness.NotReady as error:
            reason = str(error)
        if not processes.is_alive(record):
            raise _failed(cloud, service, "ended")
        if time.monotonic() > deadline:
            took = f"does not answer after {service.ready_timeout_s:.0f} s: {reason}"
            raise _failed(cloud, service, took)
        time.sleep(POLL_S)


def _failed(cloud: settings.Settings, service: services.Service, what: str) -> ServiceFailed:
    log = cloud.layout.log_of(service.name)
    return ServiceFailed(f"{service.name} {what}\n--- end of {log}\n{tail(log)}")


def _start(cloud: settings.Settings, service: services.Service) -> processes.Record:
    # What an earlier main process left behind holds ports and locks.
    processes.kill(None, str(cloud.layout.root), service.name)
    ports_module.require_free(service.name, service.ports)
    for path, text in service.files().items():
        write(path, text)
    rotate(cloud.layout.log_of(service.name))
    record = processes.spawn(
        service.argv,
        services.environment(cloud, service),
        cloud.layout.log_of(service.name),
        services.fingerprint(cloud, service),
    )
    processes.store_record(record_path(cloud, service.name), record)
    return record


def write(path: pathlib.Path, text: str) -> None:
    """Write a configuration file that only root can read, unless it is the same already."""
    if path.exists() and path.read_text() == text:
        return
    # Two services may share a file and start at the same time.
    draft = path.with_name(f".{path.name}.{time.monotonic_ns()}")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


def stop(cloud: settings.Settings, service: services.Service) -> bool:
    """Stop a service with its own signal; return whether it ran."""
    record = live_record(cloud, service.name)
    owner = str(cloud.layout.root)
    processes.stop(record, owner, service.name, service.stop_signal, service.stop_grace_s)
    record_path(cloud, service.name).unlink(missing_ok=True)
    return record is not None


def kill(cloud: settings.Settings, name: str) -> bool:
    """SIGKILL every process of a service; return whether its main process ran."""
    record = live_record(cloud, name)
    processes.kill(record, str(cloud.layout.root), name)
    return record is not None


def inspect(cloud: settings.Settings, service: services.Service, pids: Iterable[int]) -> Condition:
    """Look at a service once, without waiting; ``pids`` are its tagged processes."""
    record = live_record(cloud, service.name)
    if record is None:
        return Condition(service.name, None, None, outdated=False, resident_kib=0, age_s=0.0)
    problem = None
    try:
        service.ready(record)
    except readiness.NotReady as error:
        problem = str(error)
    return Condition(
        service.name,
        record.pid,
        problem,
        outdated=record.fingerprint != services.fingerprint(cloud, service),
        resident_kib=sum(processes.resident_kib(pid) for pid in pids),
        age_s=max(0.0, time.time() - record.started_at),
    )


def rotate(log: pathlib.Path) -> None:
    """Keep one old log beside a new one once it has grown large."""
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))


def tail(path: pathlib.Path) -> str:
    """Return the last lines of a log."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(lines[-TAIL_LINES:])
