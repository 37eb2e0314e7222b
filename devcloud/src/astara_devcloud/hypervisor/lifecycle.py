"""Power of a server: on, off, and whether it is on.

It decides the order in which namespace and guest come and go, and how long a guest may take to
end. It must never depend on being the guest's parent: guests outlive nova-compute. Called by the
driver and the watcher, under the driver's lock for that server.
"""

import json
import os
import pathlib
import select
import signal
import sys
from collections.abc import Sequence

from ..guests import kinds
from . import commands, errors, namespace
from .store import Store

BOOT_TIMEOUT_S = 30.0
KILL_TIMEOUT_S = 10.0
_BOOT = pathlib.Path(__file__).with_name("boot.py")


def running_pid(store: Store, uuid: str) -> int | None:
    """Return the host view of the guest's PID 1 if it is alive."""
    pid = store.recorded_pid(uuid)
    return pid if pid is not None and namespace.holds(uuid, pid) else None


def check_guest(guest: str | None) -> str:
    """Return the guest's name, or raise UnknownGuest with the ones there are."""
    if guest is None or guest not in kinds.SCRIPTS:
        choices = ", ".join(sorted(kinds.SCRIPTS))
        raise errors.UnknownGuest(
            f"the image's property devcloud_guest is {guest!r}; it must be one of {choices}"
        )
    return guest


def start(store: Store, uuid: str, hidden: Sequence[str]) -> None:
    """Power a server on, from whatever state it is in.

    `hidden` are host directories it must never see. Raise BootFailed with the reason.
    """
    stop(store, uuid, grace_s=0)  # clears what a guest that died by itself left
    server = store.server(uuid)
    if server is None:
        raise errors.BootFailed(f"server {uuid} was never completely made")
    store.trim_console(uuid)
    namespace.create(uuid, store.nics(uuid))
    spec = {
        "uuid": uuid,
        "hostname": server.hostname,
        "directory": str(store.directory(uuid)),
        "namespace": str(namespace.path(uuid)),
        "argv": ["/bin/sh", str(kinds.SCRIPTS[check_guest(server.guest)])],
        "environment": kinds.environment(uuid),
        "host_paths": kinds.host_paths(),
        "hidden": list(hidden),
    }
    argv = [sys.executable, "-I", "-S", str(_BOOT)]
    try:
        commands.run(argv, stdin=json.dumps(spec), timeout_s=BOOT_TIMEOUT_S)
    except errors.HypervisorError as exc:
        raise errors.BootFailed(f"guest of server {uuid} does not start: {exc}") from exc


def stop(store: Store, uuid: str, grace_s: float) -> None:
    """Power a server off: ask its PID 1 to end, kill it after `grace_s`, remove its namespace."""
    pid = running_pid(store, uuid)
    if pid is not None:
        _end(uuid, pid, grace_s)
    namespace.remove(uuid, store.nics(uuid))
    store.forget_pid(uuid)


def _end(uuid: str, pid: int, grace_s: float) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not namespace.holds(uuid, pid):
            return  # it ended just now, and the number may already be someone else's
        steps = [(signal.SIGTERM, grace_s)] if grace_s > 0 else []
        for number, wait_s in [*steps, (signal.SIGKILL, KILL_TIMEOUT_S)]:
            signal.pidfd_send_signal(handle, number)
            # The kernel ends PID 1 of a pid namespace last, so its end is the end of all its
            # processes.
            ended = select.poll()
            ended.register(handle, select.POLLIN)
            if ended.poll(wait_s * 1000):
                return
        raise errors.StopFailed(
            f"guest of server {uuid}, process {pid}, survives SIGKILL for {KILL_TIMEOUT_S:g} s"
        )
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
