"""Looks into running servers from the host: run a command inside one, list them, see what is left.

For the demo, the tests and whoever debugs: `python -m astara_devcloud.hypervisor.enter list`, and
`... enter exec SERVER COMMAND...`. It changes nothing by itself, needs no Nova, and must never be
used by the driver.
"""

import argparse
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from .. import layout
from ..guests import kinds
from . import lifecycle, vif
from . import namespace as server_namespace
from .store import Store

POLL_S = 0.1


class NotRunning(Exception):
    """There is no such server, or it is off."""


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """A server as its host sees it; `pid` is None while it is off."""

    uuid: str
    display_name: str
    guest: str
    namespace: str
    pid: int | None


def default_store() -> Store:
    """Return the store of this host's devcloud."""
    return Store(layout.current_layout().nova / "instances")


def guests(store: Store | None = None) -> list[Guest]:
    """List the servers of this host."""
    store = store or default_store()
    return [
        Guest(
            uuid=server.uuid,
            display_name=server.display_name,
            guest=server.guest,
            namespace=namespace(server.uuid),
            pid=lifecycle.running_pid(store, server.uuid),
        )
        for server in map(store.server, store.uuids())
        if server is not None
    ]


def find(text: str, store: Store | None = None) -> Guest:
    """Return the one server with this name, uuid or beginning of a uuid; else raise NotRunning."""
    found = [g for g in guests(store) if g.uuid.startswith(text) or g.display_name == text]
    if len(found) != 1:
        raise NotRunning(f"{len(found)} servers answer to {text!r}")
    return found[0]


def namespace(uuid: str) -> str:
    """Return the name of a server's network namespace."""
    return server_namespace.name(uuid)


def first_pid(uuid: str, store: Store | None = None) -> int:
    """Return the host's pid of a server's first process; raise NotRunning."""
    pid = lifecycle.running_pid(store or default_store(), uuid)
    if pid is None:
        raise NotRunning(f"server {uuid} is not running")
    return pid


def argv_inside(uuid: str, argv: Sequence[str], store: Store | None = None) -> list[str]:
    """Return the command line that runs argv inside a running server, as its root would.

    Raise NotRunning.
    """
    variables = [f"{name}={value}" for name, value in kinds.environment(uuid).items()]
    into = ["nsenter", "-t", str(first_pid(uuid, store)), "-m", "-u", "-i", "-n", "-p"]
    return [*into, "env", "-i", "-C", "/root", *variables, *argv]


def enter(
    uuid: str, argv: Sequence[str], timeout_s: float = 30.0, store: Store | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command inside a server and return how it ended, with what it printed.

    Raise NotRunning, or subprocess.TimeoutExpired when it was killed for taking too long.
    """
    inside = argv_inside(uuid, argv, store)
    # A session of its own, so that the deadline takes the command along and not only nsenter.
    with subprocess.Popen(
        inside, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(list(argv), process.returncode, out, err)


def processes(uuid: str) -> list[int]:
    """List the host's pids of the processes of a server, also when its files are gone.

    Its first process carries the server's name in its environment; the others live in the same pid
    namespace, whatever they did to theirs.
    """
    mark = f"container_uuid={uuid}".encode()
    found = [(pid, inside, mark in environment) for pid, inside, environment in _all_processes()]
    own = os.readlink("/proc/self/ns/pid")
    namespaces = {inside for _, inside, marked in found if marked and inside != own}
    return [pid for pid, inside, _ in found if inside in namespaces]


def memory_kib(uuid: str) -> int:
    """Return the proportional set size of a server's processes together, in KiB."""
    return sum(map(_pss_kib, processes(uuid)))


def leftovers(uuid: str, store: Store | None = None) -> list[str]:
    """Say what is still there of a server that should be gone; empty if nothing is."""
    store = store or default_store()
    left = [f"process {pid}" for pid in processes(uuid)]
    if server_namespace.path(uuid).exists():
        left.append(f"namespace {namespace(uuid)}")
    left += [f"device {nic.tap}" for nic in store.nics(uuid) if vif.plugged(nic)]
    if store.exists(uuid):
        left.append(f"directory {store.directory(uuid)}")
    return left


def wait_gone(uuid: str, timeout_s: float, store: Store | None = None) -> list[str]:
    """Wait until nothing is left of a server; return what still is at the deadline."""
    deadline = time.monotonic() + timeout_s
    while (left := leftovers(uuid, store)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return left


def _all_processes() -> Iterator[tuple[int, str, list[bytes]]]:
    """Yield pid, pid namespace and environment of each process that lives."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            environment = pathlib.Path(entry.path, "environ").read_bytes().split(b"\0")
            yield int(entry.name), os.readlink(f"{entry.path}/ns/pid"), environment
        except OSError:
            continue  # it ended while we looked


def _pss_kib(pid: int) -> int:
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0  # it ended while we looked
    lines = (line.split() for line in text.splitlines())
    return sum(int(words[1]) for words in lines if words[0] == "Pss:")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="enter", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="list the servers of this host")
    run = verbs.add_parser("exec", help="run a command inside a server")
    run.add_argument("server", help="name, uuid or beginning of a uuid")
    run.add_argument("argv", nargs=argparse.REMAINDER, help="the command; a shell if none")
    arguments = parser.parse_args()
    if arguments.verb == "list":
        for guest in guests():
            memory = f"{memory_kib(guest.uuid) / 1024:.1f} MiB" if guest.pid else "off"
            line = (guest.uuid, guest.guest, str(guest.pid or "-"), memory, guest.display_name)
            sys.stdout.write("  ".join(line) + "\n")
        return 0
    try:
        uuid = find(arguments.server).uuid
        inside = argv_inside(uuid, arguments.argv or ["/bin/bash"])
    except NotRunning as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return subprocess.run(inside, check=False).returncode  # a terminal session has no deadline


if __name__ == "__main__":
    sys.exit(main())
