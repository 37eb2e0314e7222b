"""Where benchmarks run: namespaces that vanish with the process, whatever ends it.

`enter` starts the program anew in mount, PID and network namespaces of its own, with an empty
/run. All that a benchmark makes (network namespaces, devices, daemons) lives in there, so Ctrl-C,
a crash or SIGKILL leave nothing behind: the kernel ends every process with the PID namespace and
drops every network namespace with the last reference. It decides nothing about what is measured.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pyroute2 import netns

ResultT = TypeVar("ResultT")

_INSIDE = "ASTARA_BENCH_INSIDE"
_NEEDED = {"iperf3": "iperf3", "wrk": "wrk", "haproxy": "haproxy", "nft": "nftables"}
_NEEDED |= {"iptables-restore": "iptables", "conntrack": "conntrack", "dnsmasq": "dnsmasq-base"}


def enter() -> None:
    """Return inside namespaces of our own; outside, run ourselves in there and exit with that
    status.
    """
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for network namespaces")
    if os.environ.get(_INSIDE):
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        pathlib.Path("/run/netns").mkdir()
        run("ip", "link", "set", "lo", "up")
        return
    _install_missing()
    unshare = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--net",
        "--uts",
        "--pid",
        "--fork",
    ]
    python = [sys.executable, "-m", "bench", *sys.argv[1:]]
    child = subprocess.Popen(
        [*unshare, "--kill-child", "--mount-proc", *python], env=os.environ | {_INSIDE: "1"}
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: child.kill())
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:
            child.kill()


def _install_missing() -> None:
    missing = [package for program, package in _NEEDED.items() if shutil.which(program) is None]
    if missing:
        print("installing", *missing, file=sys.stderr)
        _apt_get("update")
        _apt_get("install", "-y", "--no-install-recommends", *missing)


def _apt_get(*arguments: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    argv = ["apt-get", *arguments]
    subprocess.run(argv, check=True, timeout=600, stdout=subprocess.DEVNULL, env=environment)


def run(*argv: str, stdin: str = "", timeout_s: float = 120.0) -> str:
    """Run a program to its end and return what it printed; a failure shows its stderr."""
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode:
        shown = f"{done.stdout[-500:]}{done.stderr[-1500:]}"
        raise RuntimeError(f"{' '.join(argv)[:200]}: status {done.returncode}: {shown}")
    return done.stdout


def wait_until(probe: Callable[[], bool], what: str, timeout_s: float = 15.0) -> None:
    """Poll `probe` until it is true; TimeoutError with `what` when it never is."""
    deadline = time.monotonic() + timeout_s
    while not probe():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never happened: {what}")
        time.sleep(0.01)


class Room:
    """A network namespace with a thread that lives in it."""

    def __init__(self, name: str, *, existing: bool = False) -> None:
        self.name = name
        if not existing:
            run("ip", "netns", "add", name)
            self.batch("link set lo up\n")
        self._thread = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix=name, initializer=netns.setns, initargs=(name,)
        )
        self._daemons: list[subprocess.Popen[bytes]] = []

    def call(self, function: Callable[..., ResultT], *arguments: object) -> ResultT:
        """Call `function` in the thread that lives here: its sockets and children do too."""
        return self._thread.submit(function, *arguments).result()

    def run(self, *argv: str, stdin: str = "") -> str:
        """Run a program here and return what it printed."""
        return self.call(lambda: run(*argv, stdin=stdin))

    def start(self, *argv: str) -> "subprocess.Popen[bytes]":
        """Start a program here that runs until `close`."""
        daemon = self.call(_quietly, argv)
        self._daemons.append(daemon)
        return daemon

    def batch(self, commands: str) -> None:
        """Run lines of ip(8) here."""
        run("ip", "-n", self.name, "-batch", "-", stdin=commands)

    def close(self) -> None:
        """End what runs here and remove the namespace."""
        for daemon in self._daemons:
            daemon.kill()
            daemon.wait(10)
        self._thread.shutdown()
        run("ip", "netns", "del", self.name)


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A tenant's machine, a router and a host on the external network, joined by veth pairs."""

    tenant: Room
    router: Room
    outside: Room

    def close(self) -> None:
        """Remove all three."""
        for room in (self.tenant, self.router, self.outside):
            room.close()


def cable(one: Room, name: str, mac: str, other: Room, peer: str) -> None:
    """Join two rooms: `name` with `mac` in the first, `peer` in the second; both up."""
    one.batch(f"link add {name} address {mac} type veth peer name {peer} netns {other.name}\n")
    one.batch(f"link set {name} up\n")
    other.batch(f"link set {peer} up\n")


def _quietly(argv: Sequence[str]) -> "subprocess.Popen[bytes]":
    nothing = subprocess.DEVNULL
    return subprocess.Popen(argv, stdin=nothing, stdout=nothing, stderr=nothing)
