"""A booted appliance with its NICs and its agent, and the machine that asks its API.

Its processes live in a PID namespace and end with it. Faults are for the callers: here are the
verbs to kill, unplug and start again.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from . import hosts

MANAGEMENT_ADDRESS = "fdca:3ba5:a17a:acda::2"
MANAGEMENT_PEER = "fdca:3ba5:a17a:acda::1"
API_PORT = 5000
_COUNTER = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class PluggedNic:
    """A NIC of the appliance."""

    mac: str
    device: str
    segment: hosts.Segment
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
        self.segments: dict[str, hosts.Segment] = peer_of.segments if peer_of else {}
        self.nics: list[PluggedNic] = []
        self._agent: subprocess.Popen[bytes] | None = None
        self._log = (self.root / "agent.log").open("ab")
        hosts.make_namespace(self.netns)
        hosts.ip(self.netns, "link set lo up\n")
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
        self.init_pid = hosts.eventually(
            lambda: hosts.children(self._shell.pid), what="init of the appliance"
        )[0]
        hosts.eventually(
            lambda: self.execute("hostname") == "fresh\n", what="boot of the appliance"
        )

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
            segment = self.segments[network] = hosts.Segment(network, self.token)
        mac, device = hosts.new_mac(), device or f"eth{len(self.nics)}"
        port = segment.add_port(self.netns, device, mac, mtu)
        nic = PluggedNic(mac, device, segment, port)
        self.nics.append(nic)
        return nic

    def unplug(self, nic: PluggedNic) -> None:
        """Take a NIC away."""
        hosts.ip(self.netns, f"link del {nic.device}\n")
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
        return hosts.command(*self.argv(*argv), check=check, timeout_s=timeout_s)

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
        hosts.eventually(self._answers, 20, "API of the agent: " + str(self.root / "agent.log"))

    def agent_pid(self) -> int:
        """Return the host's PID of the agent."""
        assert self._agent is not None
        return hosts.children(self._agent.pid)[0]

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
        """Return the appliance's processes, each with its PID, that live and are not the agent."""
        inside = self.execute("ps", "-ww", "-eo", "pid,args", "--no-headers").splitlines()
        others = ("bin/astara-appliance", "ping -n -q", "ps -ww", "sleep 60", "sh -c", "<defunct>")
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
        hosts.drop_namespace(self.netns)
        shutil.rmtree(self.root, ignore_errors=True)


def script(name: str) -> str:
    """Return the path of a console script of this environment."""
    return str(pathlib.Path(sys.executable).parent / name)
