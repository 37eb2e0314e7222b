"""Packets sent from somewhere, and what came of them.

A `Vantage` is a network namespace that commands run in: a tenant's VM, the internet. Probes decide
nothing about Astara: they return what was seen. Every wait has a deadline.
"""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import IO, Any, Self, TypeVar

_Seen = TypeVar("_Seen")

_LOSS = re.compile(r"(\d+) packets transmitted, (\d+) received")


class ProbeError(Exception):
    """What was waited for did not happen, or a probe could not run at all."""


def wait_until(
    look: Callable[[], _Seen | None],
    what: str,
    timeout_s: float,
    every_s: float = 0.25,
) -> _Seen:
    """Return the first truthy value of `look`; ProbeError naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            raise ProbeError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(every_s)


@dataclasses.dataclass(frozen=True, slots=True)
class Vantage:
    """A place that packets are sent from: `netns` is the name of its network namespace."""

    name: str
    netns: str

    def run(self, *argv: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run `argv` there; the exit status is for the caller to judge."""
        try:
            return subprocess.run(
                self.command(*argv),
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ProbeError(f"{self.name}: {' '.join(argv)}: no end in {timeout_s} s") from error

    def command(self, *argv: str) -> list[str]:
        """Return the argv that runs `argv` there."""
        return ["ip", "netns", "exec", self.netns, *argv]

    def pings(self, target: str, *options: str) -> bool:
        """Tell whether one of three quick echo requests to `target` is answered."""
        done = self.run("ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", *options, target)
        return done.returncode == 0

    def fetch(self, address: str, path: str = "/", timeout_s: float = 3) -> dict[str, Any] | None:
        """GET the JSON at `address` (port 80, no name lookup); None if there was no answer."""
        host = f"[{address}]" if ":" in address else address
        done = self.run(
            "curl",
            *("-q", "-s", "-g", "--noproxy", "*", "--max-time", str(timeout_s)),
            f"http://{host}{path}",
            timeout_s=timeout_s + 5,
        )
        if done.returncode != 0:
            return None
        try:
            answer = json.loads(done.stdout)
        except json.JSONDecodeError:
            return None
        return answer if isinstance(answer, dict) else None

    def resolve(self, name: str, record: str, server: str) -> list[str]:
        """Ask the DNS `server` for `name`; return the answers, sorted."""
        done = self.run("dig", "+short", "+time=2", "+tries=2", f"@{server}", name, record)
        return sorted(line for line in done.stdout.splitlines() if line and line[0] != ";")


class PingStream:
    """Echo requests at a steady pace while something else happens; a context manager.

    After the block `sent` and `lost` say what became of them.
    """

    def __init__(self, vantage: Vantage, target: str, interval_s: float = 0.05) -> None:
        self._argv = vantage.command("ping", "-n", "-q", "-i", str(interval_s), target)
        self._target = target
        self._process: subprocess.Popen[str] | None = None
        self.sent = 0
        self.lost = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            output, _errors = self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, _errors = self._process.communicate()
        counts = _LOSS.search(output)
        if counts is None:
            if failure:
                return  # stopped before ping had begun; the failure tells more
            raise ProbeError(f"ping {self._target} printed no summary: {output!r}")
        self.sent = int(counts[1])
        # The last request may still be on its way when ping is told to stop.
        self.lost = max(0, self.sent - int(counts[2]) - 1)


class Stream:
    """A long-lived TCP connection that receives a line every 100 ms; a context manager."""

    def __init__(self, vantage: Vantage, address: str, path: str = "/stream") -> None:
        self._argv = vantage.command(
            *("curl", "-q", "-s", "-N", "--noproxy", "*", "--max-time", "600"),
            f"http://{address}{path}",
        )
        self._output: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._output = tempfile.TemporaryFile()
        self._process = subprocess.Popen(self._argv, stdout=self._output)
        wait_until(lambda: self.received > 0, "first line of the stream", 10, every_s=0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._output is not None:
            self._output.close()

    @property
    def received(self) -> int:
        """Bytes received so far."""
        if self._output is None:
            return 0
        return self._output.seek(0, 2)

    def flows(self, within_s: float = 3) -> bool:
        """Tell whether anything more arrives within `within_s`."""
        before = self.received
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.received > before:
                return True
            time.sleep(0.05)
        return False


class Capture:
    """Packets that pass a device of a vantage, as tcpdump shows them; a context manager.

    `lines` are complete after the block.
    """

    def __init__(self, vantage: Vantage, device: str, expression: str) -> None:
        options = ("-i", device, "-n", "-l", "-q", "--immediate-mode", "-p", expression)
        self._argv = vantage.command("tcpdump", *options)
        self._output: IO[str] | None = None
        self._errors: IO[str] | None = None
        self._process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        self._output = tempfile.TemporaryFile("w+")
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self._argv, stdout=self._output, stderr=self._errors, text=True
        )
        wait_until(lambda: "listening on" in _text(self._errors), "tcpdump", 10, every_s=0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.lines = _text(self._output).splitlines()
        for file in (self._output, self._errors):
            if file is not None:
                file.close()

    def holding(self, *words: str) -> list[str]:
        """Return the lines that have one of `words` in them."""
        return [line for line in self.lines if any(word in line for word in words)]


def _text(file: IO[str] | None) -> str:
    if file is None:
        return ""
    # Not by seek and read: whoever writes has the same position in the file.
    return os.pread(file.fileno(), 2**20, 0).decode(errors="replace")


def lease(vantage: Vantage, *wanted: str, device: str = "eth0") -> dict[str, str] | None:
    """Ask for an IPv4 lease, in addition to what the vantage has; None if there was no answer.

    `wanted` are names of options as busybox's udhcpc knows them. The answer holds what it hands
    to its script: ip, mask, router, dns, mtu, staticroutes and so on.
    """
    asked = [word for name in wanted for word in ("-O", name)]
    with tempfile.TemporaryDirectory() as directory:
        script = pathlib.Path(directory, "show")
        # The news of a lease is shown and nothing is changed.
        script.write_text('#!/bin/sh\n[ "$1" = bound ] && exec env\nexit 0\n')
        script.chmod(0o755)
        done = vantage.run(
            *("env", "-i", "PATH=/usr/bin:/bin", "busybox", "udhcpc", "-f", "-q", "-n"),
            *("-i", device, "-s", str(script), "-t", "5", "-T", "1", *asked),
        )
    if done.returncode != 0:
        return None
    pairs = (line.partition("=") for line in done.stdout.splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}


_KNOCK = """
import concurrent.futures, json, socket, sys

def knock(target):
    try:
        found = socket.getaddrinfo(*target, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        with socket.socket(found[0][0], socket.SOCK_STREAM) as client:
            client.settimeout(1.5)
            client.connect(found[0][4])
    except OSError:
        return False
    return True

targets = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(128) as pool:
    answers = list(pool.map(knock, targets))
print(json.dumps([target for target, open in zip(targets, answers) if open]))
"""


def knock(vantage: Vantage, targets: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
    """Try to connect to each address and TCP port; return those that took the connection."""
    argv = vantage.command(sys.executable, "-I", "-S", "-c", _KNOCK)
    done = subprocess.run(
        argv,
        input=json.dumps(list(targets)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise ProbeError(f"{vantage.name}: cannot knock: {done.stderr}")
    return {(str(address), int(port)) for address, port in json.loads(done.stdout)}
