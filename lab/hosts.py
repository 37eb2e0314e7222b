"""Networks of bridges and the machines on them, each in a namespace of its own.

Everything has a name that nobody else on this machine has, and whoever makes a segment closes it.
It knows nothing of appliances.
"""

import contextlib
import http.client
import itertools
import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pyroute2 import netns

ResultT = TypeVar("ResultT")


def eventually(probe: Callable[[], Any], timeout_s: float = 10.0, what: str = "") -> Any:
    """Return the first true value of `probe`, polled until `timeout_s` is over; then fail."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what or probe}")
        time.sleep(0.05)


def command(*argv: str, timeout_s: float = 20.0, check: bool = True, stdin: str = "") -> str:
    """Run a program, return what it printed; CalledProcessError shows stderr."""
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=timeout_s, check=False, input=stdin
    )
    if check and done.returncode:
        raise AssertionError(
            f"{' '.join(argv)}: status {done.returncode}: {done.stdout}{done.stderr}"
        )
    return done.stdout


def inside(namespace: str, function: Callable[[], ResultT]) -> ResultT:
    """Call `function` in a thread that lives in a network namespace; what it raises is raised."""
    outcome: list[ResultT] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            netns.setns(namespace)
            outcome.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


class Host:
    """A machine on a segment: a network namespace with one NIC, eth0."""

    def __init__(self, namespace: str, mac: str) -> None:
        self.netns = namespace
        self.mac = mac

    def run(self, *argv: str, timeout_s: float = 20.0, check: bool = True) -> str:
        """Run a program there and return what it printed."""
        return command("ip", "netns", "exec", self.netns, *argv, timeout_s=timeout_s, check=check)

    def succeeds(self, *argv: str, timeout_s: float = 20.0) -> bool:
        """Run a program there and tell whether it ended with status 0."""
        full = ["ip", "netns", "exec", self.netns, *argv]
        return not subprocess.run(
            full, capture_output=True, timeout=timeout_s, check=False
        ).returncode

    def pings(self, target: str, *options: str) -> bool:
        """Tell whether `target` answers one ping within a second."""
        return self.succeeds("ping", "-n", "-c", "1", "-W", "1", *options, target)

    def popen(self, *argv: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a program there; the caller ends it."""
        full = ["ip", "netns", "exec", self.netns, *argv]
        return subprocess.Popen(full, text=True, **options)

    def inside(self, function: Callable[[], ResultT]) -> ResultT:
        """Call `function` in this namespace; sockets made there belong to it."""
        return inside(self.netns, function)

    def http(
        self,
        address: str,
        port: int,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> tuple[int, bytes]:
        """Make one HTTP request from this machine: (status, body). OSError if nobody answers."""

        def ask() -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
            with contextlib.closing(connection):
                connection.request(method, path, body=body, headers=headers or {})
                answer = connection.getresponse()
                return answer.status, answer.read()

        return self.inside(ask)


class Segment:
    """A network: a bridge in a namespace of its own."""

    def __init__(self, name: str, token: str) -> None:
        self.name = name
        self.netns = f"{token}-{name}"
        self.hosts: dict[str, Host] = {}
        self._ports = itertools.count(1)
        make_namespace(self.netns)
        ip(
            self.netns,
            "link add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up\n",
        )

    def add_port(self, namespace: str, device: str, mac: str, mtu: int = 1500) -> str:
        """Plug a NIC called `device` with `mac` into the network, in `namespace`; it is down.

        Return the name of the bridge's port.
        """
        port = f"port{next(self._ports)}"
        ip(
            self.netns,
            f"link add {port} mtu {mtu} type veth peer name {device} address {mac} mtu {mtu}"
            f" netns {namespace}\nlink set {port} master br0 up\n",
        )
        return port

    def set_port(self, port: str, state: str) -> None:
        """Pull or plug a cable: "down" or "up"."""
        ip(self.netns, f"link set {port} {state}\n")

    def add_host(
        self, name: str, addresses: Sequence[str] = (), *, gateway: str = "", mtu: int = 1500
    ) -> Host:
        """Put a machine on the network; without addresses it configures itself (DHCP, RA) or not
        at all.
        """
        namespace, mac = f"{self.netns}-{name}", new_mac()
        make_namespace(namespace)
        self.add_port(namespace, "eth0", mac, mtu)
        batch = "link set lo up\nlink set eth0 up\n"
        batch += "".join(f"addr add {address} dev eth0 nodad\n" for address in addresses)
        batch += f"route add default via {gateway} dev eth0\n" if gateway else ""
        ip(namespace, batch)
        host = self.hosts[name] = Host(namespace, mac)
        return host

    def close(self) -> None:
        """Remove the network and its machines."""
        for host in self.hosts.values():
            drop_namespace(host.netns)
        drop_namespace(self.netns)


def new_mac() -> str:
    """Return a MAC address that nobody else in this test run has."""
    return "fa:16:3e:" + ":".join(f"{octet:02x}" for octet in os.urandom(3))


def children(pid: int) -> list[int]:
    """Return the live children of a process."""
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(part) for part in text.split()]


def make_namespace(name: str) -> None:
    """Make a network namespace."""
    command("ip", "netns", "add", name)


def drop_namespace(name: str) -> None:
    """End the processes of a network namespace and remove it."""
    for pid in command("ip", "netns", "pids", name, check=False).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    command("ip", "netns", "del", name, check=False)


def ip(namespace: str, batch: str) -> None:
    """Run lines of ip(8) in a network namespace."""
    command("ip", "-n", namespace, "-batch", "-", stdin=batch)
