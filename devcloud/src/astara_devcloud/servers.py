"""The host's side of Nova servers: their namespaces, first processes, and their common end.

Servers outlive nova-compute, so ending them with the cloud is not nova-compute's task. Called by
``lifecycle`` at ``down`` and by ``status``.
"""

import contextlib
import os
import pathlib
import signal
import time

from astara_devcloud import commands, layout
from astara_devcloud.hypervisor import namespace as server_namespace

NAMESPACES = pathlib.Path("/run/netns")
END_DEADLINE_S = 15.0
POLL_S = 0.05


class ServersRemain(Exception):
    """Processes of a server survive."""


def known(where: layout.Layout) -> list[str]:
    """List the ids of the servers that have a directory on this host."""
    with contextlib.suppress(FileNotFoundError):  # no server was ever started
        return sorted(entry.name for entry in (where.nova / "instances").iterdir())
    return []


def namespaces() -> list[str]:
    """List the network namespaces of servers."""
    with contextlib.suppress(FileNotFoundError):  # no named namespace was ever made
        prefix = server_namespace.PREFIX
        return sorted(p.name for p in NAMESPACES.iterdir() if p.name.startswith(prefix))
    return []


def pids_in(namespace: str) -> list[int]:
    """List the processes in a network namespace."""
    return [int(word) for word in commands.run(["ip", "netns", "pids", namespace]).split()]


def end_all() -> None:
    """Kill the processes of every server and remove the namespaces; ServersRemain otherwise."""
    for namespace in namespaces():
        deadline = time.monotonic() + END_DEADLINE_S
        while pids := pids_in(namespace):
            if time.monotonic() > deadline:
                raise ServersRemain(f"{namespace}: processes {pids}")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    _kill_inside(pid, namespace)
            time.sleep(POLL_S)
        commands.run(["ip", "netns", "delete", namespace])


def _kill_inside(pid: int, namespace: str) -> None:
    """SIGKILL a process if it is still in the namespace once it cannot be replaced."""
    descriptor = os.pidfd_open(pid)
    try:
        if os.path.samefile(f"/proc/{pid}/ns/net", NAMESPACES / namespace):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except FileNotFoundError:
        return  # it has ended
    finally:
        os.close(descriptor)
