"""Where a scale run lives: namespaces that vanish with it, whatever ends it.

`enter` starts the program anew in mount, PID and network namespaces of its own. The management
network of the simulated cloud is a prefix that is local to its loopback device. Nothing here
touches the machine outside.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import world

_INSIDE = "ASTARA_SCALE_INSIDE"


def enter() -> None:
    """Return inside namespaces of our own; outside, run ourselves in there and exit like it."""
    if os.geteuid() != 0:
        sys.exit("scale: needs root, for namespaces")
    if os.environ.get(_INSIDE):
        _run("mount", "-t", "tmpfs", "tmpfs", "/run")
        tempfile.tempdir = "/run"  # what daemons keep vanishes as well
        _run("ip", "link", "set", "lo", "up")
        prefix = f"{world.PREFIX}/{world.PREFIX_LENGTH}"
        _run("ip", "-6", "route", "add", "local", prefix, "dev", "lo")
        # The orchestrator listens on addresses of that prefix, which no device has by itself.
        pathlib.Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")
        return
    unshare = ["unshare", "--mount", "--propagation", "private", "--net", "--uts", "--pid"]
    inside = [*unshare, "--fork", "--kill-child", "--mount-proc", sys.executable, *sys.argv]
    child = subprocess.Popen(inside, env=os.environ | {_INSIDE: "1"})
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: child.kill())
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:
            child.kill()


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=30)


def wait_until(
    condition: Callable[[], bool], what: str, timeout_s: float, pause_s: float
) -> float:
    """Poll until it is true and return the seconds that took; TimeoutError with `what`."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > timeout_s:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(pause_s)
    return time.monotonic() - begin


def start(
    argv: Sequence[str], log: pathlib.Path, *, cwd: pathlib.Path | None = None, **environment: str
) -> "subprocess.Popen[bytes]":
    """Start a process whose output goes to a file; it ends with the namespaces at the latest."""
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
