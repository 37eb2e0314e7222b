"""Breaks the cloud on purpose and mends it: what the story, end-to-end and chaos tests play.

Every verb acts on the current cloud and returns when the fault is in place. Those that have an
opposite are also context managers, so that a failed test mends what it broke. Nothing here decides
what should happen next: that is for the callers to check.
"""

import contextlib
import pathlib
import re
import signal
from collections.abc import Iterator

from astara_devcloud import (
    commands,
    layout,
    lifecycle,
    processes,
    services,
    settings,
    supervise,
)
from astara_devcloud.config import orchestrator, rabbitmq

ORCHESTRATOR_USER = "astara"
RABBITMQCTL = "/usr/lib/rabbitmq/bin/rabbitmqctl"


class FaultError(Exception):
    """A fault could not be put in place, because what it breaks is not there."""


def _cloud() -> settings.Settings:
    return settings.load(layout.current_layout())


def _service(cloud: settings.Settings, name: str) -> services.Service:
    return lifecycle.resolve(cloud, name)


def _quiet(_text: str) -> None:
    """Swallow progress: tests report in their own words."""


def kill(name: str) -> None:
    """SIGKILL all processes of a service."""
    cloud = _cloud()
    if not supervise.kill(cloud, _service(cloud, name).name):
        raise FaultError(f"{name} does not run")


def kill_process(name: str, title: str) -> int:
    """SIGKILL those processes of a service whose kernel name (comm) is ``title``; return a count.

    The orchestrator names its children: ``astara-listener``, ``astara-worker-1`` and so on, of
    which the kernel keeps 15 characters.
    """
    cloud = _cloud()
    owner, service = str(cloud.layout.root), _service(cloud, name).name
    wanted = [pid for pid in processes.members(owner, service) if _title(pid) == title]
    return sum(processes.signal_tagged(pid, owner, signal.SIGKILL, service) for pid in wanted)


def titles(name: str) -> list[str]:
    """Return the kernel names of a service's processes, sorted."""
    cloud = _cloud()
    pids = processes.members(str(cloud.layout.root), _service(cloud, name).name)
    return sorted(title for pid in pids if (title := _title(pid)))


def _title(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # it has ended
        return ""


def start(name: str) -> None:
    """Start a service, if it does not run, and wait until it answers."""
    cloud = _cloud()
    supervise.ensure(cloud, _service(cloud, name), _quiet)


def stop(name: str) -> None:
    """Stop a service in its orderly way."""
    cloud = _cloud()
    supervise.stop(cloud, _service(cloud, name))


def restart(name: str) -> None:
    """Stop and start a service."""
    stop(name)
    start(name)


@contextlib.contextmanager
def stopped(name: str) -> Iterator[None]:
    """Keep a service stopped for the length of the block."""
    stop(name)
    try:
        yield
    finally:
        start(name)


def pause(name: str) -> None:
    """SIGSTOP all processes of a service: it holds its connections and answers nothing."""
    _signal_all(name, signal.SIGSTOP)


def resume(name: str) -> None:
    """SIGCONT all processes of a service."""
    _signal_all(name, signal.SIGCONT)


def _signal_all(name: str, number: signal.Signals) -> None:
    cloud = _cloud()
    service = _service(cloud, name).name
    if not processes.signal_members(str(cloud.layout.root), service, number):
        raise FaultError(f"{name} does not run")


@contextlib.contextmanager
def paused(name: str) -> Iterator[None]:
    """Keep a service's processes stopped by the kernel for the length of the block."""
    pause(name)
    try:
        yield
    finally:
        resume(name)


def rabbitmqctl(*arguments: str) -> str:
    """Run rabbitmqctl against the cloud's broker."""
    cloud = _cloud()
    return commands.run(
        [RABBITMQCTL, "--quiet", "--node", rabbitmq.NODE, *arguments],
        environment=rabbitmq.environment(cloud),
        timeout_s=60.0,
    )


def cut_broker() -> None:
    """Cut the orchestrator, and only it, off the broker and lose what is published meanwhile."""
    rabbitmqctl("clear_permissions", ORCHESTRATOR_USER)
    rabbitmqctl("close_all_user_connections", ORCHESTRATOR_USER, "cut off by a test")
    # Without its queue nothing is kept for it: what is published now is lost.
    if orchestrator.QUEUE in rabbitmqctl("list_queues", "name").split():
        rabbitmqctl("delete_queue", orchestrator.QUEUE)


def mend_broker() -> None:
    """Let the orchestrator use the broker again."""
    rabbitmqctl("set_permissions", ORCHESTRATOR_USER, ".*", ".*", ".*")


@contextlib.contextmanager
def cut_off_from_broker() -> Iterator[None]:
    """Keep the orchestrator away from the broker for the length of the block."""
    try:
        cut_broker()
        yield
    finally:
        mend_broker()


def orchestrator_verified(router_id: str) -> bool:
    """Tell whether the orchestrator, since it was last started, has found a router configured.

    Read from its log: it names every change of what it knows about an instance.
    """
    cloud = _cloud()
    record = supervise.live_record(cloud, services.ORCHESTRATOR)
    if record is None:
        return False
    with cloud.layout.log_of(services.ORCHESTRATOR).open("rb") as log:
        log.seek(record.log_offset)
        return says_configured(log.read().decode(errors="replace"), router_id)


def says_configured(text: str, router_id: str) -> bool:
    """Find the line in which the orchestrator calls a router's instance configured."""
    line = rf"instance\.state router={re.escape(router_id)} .*\bto=configured\b"
    return re.search(line, text) is not None
