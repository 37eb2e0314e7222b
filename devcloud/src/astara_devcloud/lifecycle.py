"""The cloud as a whole: up, down, wipe.

Joins the service table with the set-up steps into one graph and runs it in parallel. Starting is
idempotent: what runs and answers is left alone, servers included. Called by the command line.
"""

import contextlib
import dataclasses
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import TextIO

from astara_devcloud import (
    bootstrap,
    commands,
    layout,
    openvswitch,
    outside,
    ports,
    processes,
    schema,
    servers,
    services,
    settings,
    supervise,
    tasks,
)

PARALLEL = 32
LOCK_DEADLINE_S = 300.0
DOWN_GRACE_S = 3.0
# Everything else loses its work to these two, so they end last.
STORES = ("mariadb", "rabbitmq")
PROGRAMS = (
    *(
        "mariadbd",
        "mariadb-install-db",
        "rabbitmqctl",
        "ovsdb-server",
        "ovs-vswitchd",
        "ovs-vsctl",
    ),
    *("ovsdb-tool", "ip", "ethtool", "nft", "dnsmasq", "nc"),
)
OPTIONAL: tuple[str, ...] = ()

Report = Callable[[str], None]


class CloudError(Exception):
    """The cloud could not be brought to the wanted state; the text is for the person who asked."""


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """How a start went."""

    kind: str
    seconds: float
    services: int


def resolve(cloud: settings.Settings, name: str) -> services.Service:
    """Find a service by its name or alias; CloudError with the list of names."""
    table = services.declare(cloud)
    try:
        return table[services.ALIASES.get(name, name)]
    except KeyError:
        raise CloudError(f"no service {name!r}; there are: {', '.join(table)}") from None


@contextlib.contextmanager
def exclusive(where: layout.Layout) -> Iterator[None]:
    """Keep two commands from changing the cloud at once."""
    with (where.root / "lock").open("a+") as stream:
        deadline = time.monotonic() + LOCK_DEADLINE_S
        told = False
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = f"another astara-devcloud command (pid {_holder(stream)}) is at work"
                if not told:
                    sys.stderr.write(f"{holder}: waiting for its end\n")
                    told = True
                if time.monotonic() > deadline:
                    raise CloudError(f"{holder}: let it end, or end it") from None
                time.sleep(supervise.POLL_S)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _holder(stream: TextIO) -> str:
    stream.seek(0)
    return stream.read() or "unknown"


def prepare(where: layout.Layout) -> settings.Settings:
    """Create the state directory and return the cloud's settings."""
    if os.geteuid() != 0:
        raise CloudError("the devcloud makes network namespaces and must be run as root")
    where.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    where.root.chmod(0o700)
    for path in (
        *(where.etc, where.log, where.run, where.state, where.locks, where.openvswitch),
        *(where.nova / "instances", where.state / "rabbitmq", where.state / "neutron"),
        *(where.state / "images", where.state / "glance-staging", where.state / "glance-tasks"),
        *(where.state / "astara", where.state / "done"),
    ):
        path.mkdir(parents=True, exist_ok=True)
    return settings.load_or_create(where)


def require_programs() -> None:
    """Raise CloudError if the distribution's part of the cloud is not installed."""
    missing = commands.missing(PROGRAMS)
    if missing:
        raise CloudError(f"not installed: {', '.join(missing)}; `make setup` installs them")


def up(where: layout.Layout, without: Collection[str], report: Report) -> Start:
    """Start what is missing and return when everything answers."""
    begun = time.monotonic()
    require_programs()
    cloud = prepare(where)
    with exclusive(where):
        table = services.declare(cloud)
        left_out = {resolve(cloud, name).name for name in without}
        missing = [s for s in table.values() if supervise.live_record(cloud, s.name) is None]
        missing = [s for s in missing if s.name not in left_out]
        cold = not any((where.state / "done").iterdir())
        _require_ports(cloud, missing)
        openvswitch.require_no_other(where)
        _write_files(table.values())
        graph = _graph(cloud, table, report)
        wanted = [task.name for task in graph if task.name not in left_out]
        outcome = tasks.run(tasks.restrict(graph, wanted), PARALLEL)
        _raise_failures(outcome)
    kind = "cold start" if cold else "warm start" if missing else "already up"
    return Start(kind, time.monotonic() - begun, len(missing))


def _require_ports(cloud: settings.Settings, missing: Collection[services.Service]) -> None:
    problems = []
    for service in missing:
        # The remains of a service that died hold its ports; starting it clears them away.
        if processes.members(str(cloud.layout.root), service.name):
            continue
        try:
            ports.require_free(service.name, service.ports)
        except ports.PortTaken as error:
            problems.append(str(error))
    if problems:
        raise CloudError("\n".join(problems))


def _write_files(table: Collection[services.Service]) -> None:
    """Write the files that schema steps read too; the orchestrator's needs the bootstrap first."""
    for service in table:
        if service.name != services.ORCHESTRATOR:
            for path, text in service.files().items():
                supervise.write(path, text)


def _graph(
    cloud: settings.Settings, table: dict[str, services.Service], report: Report
) -> list[tasks.Task]:
    where = cloud.layout
    return [
        *schema.steps(cloud, report),
        *bootstrap.steps(cloud),
        tasks.Task("openvswitch database", lambda: openvswitch.create_database(where)),
        tasks.Task("bridges", lambda: openvswitch.create_bridges(where), ("ovs-vswitchd",)),
        tasks.Task("outside network", lambda: outside.create(where), ("bridges",)),
        *(
            tasks.Task(s.name, lambda s=s: supervise.ensure(cloud, s, report), s.needs)  # type: ignore[misc]
            for s in table.values()
        ),
    ]


def _raise_failures(outcome: tasks.Outcome) -> None:
    if not outcome.failures:
        return
    texts = [f"{name}: {error}" for name, error in outcome.failures.items()]
    if outcome.skipped:
        texts.append(f"not tried: {', '.join(outcome.skipped)}")
    raise CloudError("\n\n".join(texts))


def down(where: layout.Layout, report: Report) -> None:
    """Stop every service and every server; databases and images stay."""
    if not where.credentials.exists():
        return
    cloud = settings.load(where)
    with exclusive(where):
        table = services.declare(cloud)
        first = [table[services.ORCHESTRATOR]]
        middle = [s for n, s in table.items() if n not in (*STORES, services.ORCHESTRATOR)]
        for wave in (first, middle):
            _stop_wave(cloud, wave, DOWN_GRACE_S, report)
        servers.end_all()
        _stop_wave(cloud, [table[name] for name in STORES], None, report)
        _kill_strays(cloud)
        outside.remove()
        openvswitch.remove_devices(where)
    report("everything is down")


def _stop_wave(
    cloud: settings.Settings,
    wave: Collection[services.Service],
    grace_s: float | None,
    report: Report,
) -> None:
    def stop(service: services.Service) -> None:
        grace = service.stop_grace_s if grace_s is None else min(grace_s, service.stop_grace_s)
        if supervise.stop(cloud, dataclasses.replace(service, stop_grace_s=grace)):
            report(f"{service.name} stopped")

    stops = [tasks.Task(s.name, lambda s=s: stop(s)) for s in wave]  # type: ignore[misc]
    _raise_failures(tasks.run(stops, PARALLEL))


def _kill_strays(cloud: settings.Settings) -> None:
    """End what carries our tag and belongs to no declared service any more."""
    owner = str(cloud.layout.root)
    for pid in processes.members(owner):
        processes.signal_tagged(pid, owner, signal.SIGKILL)


def wipe(where: layout.Layout, report: Report) -> None:
    """Stop everything and remove the state directory."""
    down(where, report)
    if not where.root.exists():
        return
    if not where.credentials.exists() and any(where.root.iterdir()):
        raise CloudError(f"{where.root} does not look like a devcloud: remove it yourself")
    shutil.rmtree(where.root)
    report(f"{where.root} is removed")
