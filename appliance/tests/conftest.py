"""A real appliance between real networks, all of it in throw-away namespaces.

    nic = appliance_host.plug("blue")      # a NIC on network "blue", made when first named
    blue = appliance_host.segments["blue"]
    vm = blue.add_host("vm1", ["192.168.0.10/24"], gateway="192.168.0.1")
    appliance_host.start_agent()
    network = appliance_host.network("internal", nic, ["192.168.0.1/24"], ["192.168.0.0/24"])
    appliance_host.push(appliance_host.document([network]))
    assert vm.pings("192.168.0.1")

Requests to the API come from a machine on the management network, as the orchestrator's would.
Everything is removed after the test: processes by the end of their PID namespace, devices and
namespaces by name.
"""

import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from pyroute2 import netns

MANAGEMENT_ADDRESS = "fdca:3ba5:a17a:acda::2"
MANAGEMENT_PEER = "fdca:3ba5:a17a:acda::1"
API_PORT = 5000
_COUNTER = itertools.count(1)


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

    def inside(self, function: Callable[[], Any]) -> Any:
        """Call `function` in a thread that lives in this namespace; sockets made there belong to
        it.
        """
        outcome: list[Any] = []
        failure: list[BaseException] = []

        def work() -> None:
            try:
                netns.setns(self.netns)
                outcome.append(function())
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

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
        _make_namespace(self.netns)
        _ip(
            self.netns,
            "link add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up\n",
        )

    def add_port(self, namespace: str, device: str, mac: str, mtu: int = 1500) -> str:
        """Plug a NIC called `device` with `mac` into the network, in `namespace`; it is down.

        Return the name of the bridge's port.
        """
        port = f"port{next(self._ports)}"
        _ip(
            self.netns,
            f"link add {port} mtu {mtu} type veth peer name {device} address {mac} mtu {mtu}"
            f" netns {namespace}\nlink set {port} master br0 up\n",
        )
        return port

    def set_port(self, port: str, state: str) -> None:
        """Pull or plug a cable: "down" or "up"."""
        _ip(self.netns, f"link set {port} {state}\n")

    def add_host(
        self, name: str, addresses: Sequence[str] = (), *, gateway: str = "", mtu: int = 1500
    ) -> Host:
        """Put a machine on the network; without addresses it configures itself (DHCP, RA) or not
        at all.
        """
        namespace, mac = f"{self.netns}-{name}", new_mac()
        _make_namespace(namespace)
        self.add_port(namespace, "eth0", mac, mtu)
        batch = "link set lo up\nlink set eth0 up\n"
        batch += "".join(f"addr add {address} dev eth0 nodad\n" for address in addresses)
        batch += f"route add default via {gateway} dev eth0\n" if gateway else ""
        _ip(namespace, batch)
        host = self.hosts[name] = Host(namespace, mac)
        return host

    def close(self) -> None:
        for host in self.hosts.values():
            _drop_namespace(host.netns)
        _drop_namespace(self.netns)


@dataclasses.dataclass(frozen=True)
class PluggedNic:
    """A NIC of the appliance."""

    mac: str
    device: str
    segment: Segment
    port: str


class ApplianceHost:
    """The appliance: its namespaces, its NICs, its agent."""

    def __init__(
        self,
        *,
        address: str = MANAGEMENT_ADDRESS,
        peer_of: "ApplianceHost | None" = None,
    ) -> None:
        self.address = address
        self.token = f"ap{os.getpid()}x{next(_COUNTER)}"
        self.netns = f"{self.token}-vm"
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="astara-test-", dir="/tmp"))
        self.root.chmod(0o755)
        self._peer_of = peer_of
        self.segments: dict[str, Segment] = peer_of.segments if peer_of else {}
        self.nics: list[PluggedNic] = []
        self._agent: subprocess.Popen[bytes] | None = None
        self._log = (self.root / "agent.log").open("ab")
        _make_namespace(self.netns)
        _ip(self.netns, "link set lo up\n")
        (self.root / "etc").mkdir()
        self._boot()
        self.management = self.plug("mgt")
        segment = self.segments["mgt"]
        if peer_of is None:
            segment.add_host("orch", [f"{MANAGEMENT_PEER}/64"])
        self.orchestrator = segment.hosts["orch"]

    def _boot(self) -> None:
        forever = (
            "exec sh -c 'while :; do sleep 60 & wait; done'"  # a shell reaps what is left to it
        )
        script = f"mount -t tmpfs tmpfs /run && hostname fresh && {forever}"
        unshare = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"]
        self._shell = subprocess.Popen(
            ["ip", "netns", "exec", self.netns, *unshare, "--mount-proc", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
        )
        self.init_pid = eventually(
            lambda: children(self._shell.pid), what="init of the appliance"
        )[0]
        eventually(lambda: self.execute("hostname") == "fresh\n", what="boot of the appliance")

    def boot_again(self) -> None:
        """Start a machine all of whose processes were killed; its kernel is the one before."""
        self._shell.wait(10)
        if self._agent is not None:
            self._agent.wait(10)
            self._agent = None
        self._boot()

    def plug(self, network: str, *, device: str | None = None, mtu: int = 1500) -> PluggedNic:
        """Hot-plug a NIC into `network`."""
        segment = self.segments.get(network)
        if segment is None:
            segment = self.segments[network] = Segment(network, self.token)
        mac, device = new_mac(), device or f"eth{len(self.nics)}"
        port = segment.add_port(self.netns, device, mac, mtu)
        nic = PluggedNic(mac, device, segment, port)
        self.nics.append(nic)
        return nic

    def unplug(self, nic: PluggedNic) -> None:
        """Take a NIC away."""
        _ip(self.netns, f"link del {nic.device}\n")
        self.nics.remove(nic)

    def clear(self) -> None:
        """Unplug and remove all networks but management, for the next test on this appliance."""
        for nic in self.nics[1:]:
            self.unplug(nic)
        for name in [name for name in self.segments if name != "mgt"]:
            self.segments.pop(name).close()

    def argv(self, *argv: str) -> list[str]:
        """Return the command line that runs `argv` inside the appliance."""
        enter = ["nsenter", "-t", str(self.init_pid), "--mount", "--uts", "--pid", "--net"]
        return [*enter, "--", *argv]

    def execute(self, *argv: str, check: bool = True, timeout_s: float = 20.0) -> str:
        """Run a program inside the appliance and return what it printed."""
        return command(*self.argv(*argv), check=check, timeout_s=timeout_s)

    def configure_management(self, *options: str) -> str:
        """Run astara-configure-management as cloud-init would."""
        arguments = (self.management.mac, f"{self.address}/64", *options)
        return self.execute(
            script("astara-configure-management"), *arguments, "--root", str(self.root)
        )

    def start_agent(self) -> None:
        """Start the agent and wait until the API answers."""
        if not (self.root / "var/lib/astara/management.json").exists():
            self.configure_management()
        self._agent = subprocess.Popen(
            self.argv(script("astara-appliance"), "--root", str(self.root)),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        eventually(self._answers, 20, "API of the agent: " + str(self.root / "agent.log"))

    def agent_pid(self) -> int:
        """Return the host's PID of the agent."""
        assert self._agent is not None
        return children(self._agent.pid)[0]

    def kill_agent(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the agent; daemons that it started stay."""
        assert self._agent is not None
        os.kill(self.agent_pid(), number)
        self._agent.wait(20)
        self._agent = None

    def agent_ends(self, timeout_s: float) -> None:
        """Wait until the agent has ended by itself."""
        assert self._agent is not None
        self._agent.wait(timeout_s)
        self._agent = None

    def restart_agent(self) -> None:
        """Kill the agent as hard as can be and start it again."""
        self.kill_agent()
        self.start_agent()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Ask the API from the management network: (status, decoded JSON or text)."""
        number, raw = self.orchestrator.http(
            self.address, API_PORT, path, method=method, body=body, headers=headers
        )
        try:
            return number, json.loads(raw)
        except ValueError:
            return number, raw.decode()

    def get(self, path: str) -> Any:
        """GET from the API; anything but 200 fails."""
        number, answer = self.request("GET", path)
        assert number == 200, (path, number, answer, self.agent_log())
        return answer

    def try_push(self, document: Any, **headers: str) -> tuple[int, Any]:
        """PUT a document; return status and answer."""
        headers = {"Content-Type": "application/json"} | headers
        return self.request("PUT", "/v1/system/config", json.dumps(document).encode(), headers)

    def push(self, document: Any, **headers: str) -> Any:
        """PUT a document that must be accepted."""
        number, answer = self.try_push(document, **headers)
        assert number == 200, (number, answer, self.agent_log())
        return answer

    def document(self, networks: Sequence[dict[str, Any]] = (), **keys: Any) -> dict[str, Any]:
        """Return a desired document with the management network and `networks`."""
        management = {
            "network_id": "mgt",
            "network_type": "management",
            "interface": {
                "ifname": "ge0",
                "lladdr": self.management.mac,
                "addresses": [f"{self.address}/64"],
            },
        }
        return {
            "router_id": "11111111-2222-3333-4444-555555555555",
            "tenant_id": "tenant",
            "hostname": "ak-tenant",
            "networks": [management, *networks],
        } | keys

    @staticmethod
    def network(
        kind: str, nic: PluggedNic, addresses: Sequence[str], subnets: Any = (), **keys: Any
    ) -> dict[str, Any]:
        """Return the document's entry of one network; subnets are CIDRs or whole objects."""
        return {
            "network_id": nic.segment.name,
            "network_type": kind,
            "interface": {"lladdr": nic.mac, "addresses": list(addresses)},
            "subnets": [s if isinstance(s, dict) else {"cidr": s} for s in subnets],
        } | keys

    def addresses(self, device: str) -> set[str]:
        """Return the addresses of a device, as "ip/prefix"."""
        shown = json.loads(self.execute("ip", "-j", "addr", "show", "dev", device))
        return {f"{item['local']}/{item['prefixlen']}" for item in shown[0]["addr_info"]}

    def kernel_state(self) -> tuple[object, ...]:
        """Return everything in the kernel that a document could have changed."""
        links = [
            (
                link["ifname"],
                link["mtu"],
                "UP" in link["flags"],
                sorted((item["local"], item["prefixlen"]) for item in link["addr_info"]),
            )
            for link in json.loads(self.execute("ip", "-j", "addr"))
        ]
        return (
            links,
            self.execute("ip", "-4", "route", "show", "table", "all"),
            self.execute("ip", "-6", "route", "show", "table", "main"),
            self.execute("nft", "-s", "list", "ruleset"),
            self.execute("hostname"),
        )

    def daemons(self) -> set[str]:
        """Return the appliance's processes that are not the agent, by host PID."""
        inside = self.execute("ps", "-ww", "-eo", "pid,args", "--no-headers").splitlines()
        others = ("bin/astara-appliance", "ping -n -q", "ps -ww", "sleep 60", "sh -c")
        return {line.strip() for line in inside if not any(word in line for word in others)}

    def agent_log(self) -> str:
        """Return what the agents of this host printed."""
        return (self.root / "agent.log").read_text()[-6000:]

    def _answers(self) -> bool:
        assert self._agent is not None
        assert self._agent.poll() is None, self.agent_log()
        try:
            return self.request("GET", "/v1/base")[0] == 200
        except OSError:
            return False

    def close(self) -> None:
        """Remove everything; PID 1's end takes all processes along."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.init_pid, signal.SIGKILL)
        self._shell.kill()
        self._shell.wait(10)
        if self._agent is not None:
            self._agent.kill()
            self._agent.wait(10)
        self._log.close()
        if self._peer_of is None:
            for segment in self.segments.values():
                segment.close()
        _drop_namespace(self.netns)
        shutil.rmtree(self.root, ignore_errors=True)


class Pair:
    """Two appliances, one router: a tenant network, an external one, machines on both.

    `master` and `backup` name who is which; what they say is asked anew each time.
    """

    OUTSIDE, OUTSIDE6 = "203.0.113.1", "2001:db8:cafe::1"
    FLOATING = "203.0.113.50"

    def __init__(self) -> None:
        first = ApplianceHost()
        self.members = [first]
        try:
            self.members.append(ApplianceHost(address="fdca:3ba5:a17a:acda::3", peer_of=first))
            for member in self.members:
                member.plug("ext")
                member.plug("blue")
            blue, ext = first.segments["blue"], first.segments["ext"]
            self.vm = blue.add_host(
                "vm1", ["192.168.0.10/24", "2001:db8:1::10/64"], gateway="192.168.0.1"
            )
            self.vm.run("ip", "-6", "route", "add", "default", "via", "fe80::1:1", "dev", "eth0")
            self.public_vm = blue.add_host("vm2", ["192.168.0.11/24"], gateway="192.168.0.1")
            self.outside = ext.add_host("out", [f"{self.OUTSIDE}/24", f"{self.OUTSIDE6}/64"])
            self.outside.run("ip", "-6", "route", "add", "2001:db8:1::/64", "via", "fe80::2:2",
                             "dev", "eth0")  # fmt: skip
            for member in self.members:
                self._refuse_unknown_connections(member)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _refuse_unknown_connections(member: ApplianceHost) -> None:
        # Else the kernel takes up any connection in its middle, and nothing is proved.
        member.execute("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0")

    def document(self, member: ApplianceHost, **keys: Any) -> dict[str, Any]:
        """Return the document of one of the two; keys beside `priority` go into ha_config."""
        first, peer = self.members[0], self.other(member)
        _, ext, blue = member.nics
        pair = {"peers": [peer.address], "priority": 150 if member is first else 100} | keys
        outside = [
            {"cidr": "203.0.113.0/24", "gateway_ip": self.OUTSIDE},
            {"cidr": "2001:db8:cafe::/64", "gateway_ip": self.OUTSIDE6},
        ]
        inside = [
            {"cidr": "192.168.0.0/24", "gateway_ip": "192.168.0.1", "dhcp_enabled": True},
            {"cidr": "2001:db8:1::/64", "gateway_ip": "2001:db8:1::1", "ipv6_ra_mode": "slaac",
             "ipv6_address_mode": "slaac"},
        ]  # fmt: skip
        own = ["203.0.113.2/24", "2001:db8:cafe::2/64", "fe80::2:2/64"]
        tenant = ["192.168.0.1/24", "2001:db8:1::1/64", "fe80::1:1/64"]
        return member.document(
            [
                member.network("external", ext, own, outside),
                member.network("internal", blue, tenant, inside),
            ],
            ha_resource=True,
            ha_config=pair,
            floating_ips=[{"floating_ip": self.FLOATING, "fixed_ip": "192.168.0.11"}],
            orchestrator={"address": MANAGEMENT_PEER, "metadata_key": "ab" * 32},
        )

    def start(self, **keys: Any) -> None:
        """Start both agents, give each its document and wait until one is master."""
        for member in self.members:
            member.start_agent()
            member.push(self.document(member, **keys))
        self.settled()

    def settled(self, timeout_s: float = 20.0) -> None:
        """Wait until there is one master and one backup."""
        roles = {"master", "backup"}
        eventually(lambda: {self.role(m) for m in self.members} == roles, timeout_s, "two roles")

    @staticmethod
    def role(member: ApplianceHost) -> str:
        """Return the role that a member's guard tells, "none" if it is dead."""
        try:
            state = json.loads((member.root / "run/astara/pair-state.json").read_text())
        except (FileNotFoundError, ValueError):
            return "none"
        alive = member.argv("test", "-d", f"/proc/{state['pid']}")
        dead = subprocess.run(alive, capture_output=True, check=False).returncode
        return "none" if dead else str(state["told"]["role"])

    @property
    def master(self) -> ApplianceHost:
        """The one that says so."""
        return next(m for m in self.members if self.role(m) == "master")

    @property
    def backup(self) -> ApplianceHost:
        """The other one."""
        return self.other(self.master)

    def other(self, member: ApplianceHost) -> ApplianceHost:
        """Return the other one of the two."""
        return self.members[1] if member is self.members[0] else self.members[0]

    def log(self) -> str:
        """Return what the guards of both printed."""
        logs = [m.root / "var/log/astara/pair-guard.log" for m in self.members]
        return "\n---\n".join(log.read_text() if log.exists() else "-" for log in logs)

    def close(self) -> None:
        """Remove everything."""
        for member in reversed(self.members):
            member.close()


class Flow:
    """An established TCP connection and what goes through it."""

    def __init__(self, client: Host, server: Host, address: str, port: int) -> None:
        listener = server.inside(lambda: socket.create_server(("", port)))
        with listener:
            self._near = client.inside(lambda: socket.create_connection((address, port), 10))
            self._far, (self.seen_as, _) = listener.accept()
        self._near.settimeout(20)
        self._far.settimeout(20)
        self._count = itertools.count(1)

    def exchange(self) -> float:
        """Send a line both ways; return the seconds. OSError if the connection is dead."""
        line, started = f"{next(self._count)}\n".encode(), time.monotonic()
        for one, other in ((self._near, self._far), (self._far, self._near)):
            one.sendall(line)
            received = b""
            while len(received) < len(line):
                received += other.recv(100) or line  # an end of file is no line
            assert received == line
        return time.monotonic() - started

    def close(self) -> None:
        """End both ends."""
        self._near.close()
        self._far.close()


class Pinger:
    """A ping each 10 ms, and what got lost."""

    def __init__(self, host: Host, target: str) -> None:
        self._process = host.popen(
            "ping", "-n", "-D", "-i", "0.01", "-W", "1", target, stdout=subprocess.PIPE
        )

    def stop(self) -> tuple[int, int]:
        """Return how many were lost between the first and the last answer, and the longest
        silence in milliseconds.
        """
        self._process.send_signal(signal.SIGINT)
        text, _ = self._process.communicate(timeout=10)
        answers = re.findall(r"^\[([0-9.]+)\].* icmp_seq=(\d+) ", text, re.MULTILINE)
        assert answers, text
        numbers = {int(number) for _, number in answers}
        times = [float(at) for at, _ in answers]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        return max(numbers) - min(numbers) + 1 - len(numbers), round(1000 * max(gaps))


def new_mac() -> str:
    """Return a MAC address that nobody else in this test run has."""
    return "fa:16:3e:" + ":".join(f"{octet:02x}" for octet in os.urandom(3))


def script(name: str) -> str:
    """Return the path of a console script of this environment."""
    return str(pathlib.Path(sys.executable).parent / name)


def children(pid: int) -> list[int]:
    """Return the live children of a process."""
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(part) for part in text.split()]


def _make_namespace(name: str) -> None:
    command("ip", "netns", "add", name)


def _drop_namespace(name: str) -> None:
    for pid in command("ip", "netns", "pids", name, check=False).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    command("ip", "netns", "del", name, check=False)


def _ip(namespace: str, batch: str) -> None:
    command("ip", "-n", namespace, "-batch", "-", stdin=batch)


@pytest.fixture(name="eventually", scope="session")
def eventually_fixture() -> Callable[..., Any]:
    """Return the function that polls until something is true, with a deadline."""
    return eventually


@pytest.fixture
def appliance_host() -> Iterator[ApplianceHost]:
    """Yield an appliance that is booted, with its management NIC plugged; the agent does not run
    yet.
    """
    host = ApplianceHost()
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(scope="module")
def shared_appliance_host() -> Iterator[ApplianceHost]:
    """Yield one appliance to all tests of a module, which each push what they need."""
    host = ApplianceHost()
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Yield two appliances with one router; their agents do not run yet."""
    both = Pair()
    try:
        yield both
    finally:
        both.close()


@pytest.fixture(scope="module")
def two_hosts() -> Iterator[tuple[ApplianceHost, ApplianceHost]]:
    """Yield two appliances that know nothing of each other, on the same segments."""
    first = ApplianceHost()
    try:
        second = ApplianceHost(address="fdca:3ba5:a17a:acda::3", peer_of=first)
        try:
            yield first, second
        finally:
            second.close()
    finally:
        first.close()


@pytest.fixture(scope="module")
def other_site() -> Iterator[Callable[[ApplianceHost], ApplianceHost]]:
    """Return what makes one more appliance on the segments of another one."""
    made: list[ApplianceHost] = []

    def make(neighbour: ApplianceHost) -> ApplianceHost:
        made.append(ApplianceHost(address="fdca:3ba5:a17a:acda::7", peer_of=neighbour))
        return made[-1]

    try:
        yield make
    finally:
        for host in made:
            host.close()


@pytest.fixture(scope="session")
def flow() -> type[Flow]:
    """Return what makes a TCP connection."""
    return Flow


@pytest.fixture(scope="session")
def pinger() -> type[Pinger]:
    """Return what pings."""
    return Pinger
