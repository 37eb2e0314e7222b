"""The real orchestrator under measurement: its configuration, its processes, what they tell.

Everything is what production runs; only the cloud and the appliances it talks to are simulated.
"""

import os
import pathlib
import signal
import subprocess  # noqa: TC003  the runtime reads the annotation of a dataclass
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import broker
import cloud
import room
import world

from astara.worker import control_protocol as protocol

BIN = pathlib.Path(sys.executable).parent
ASK_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Options:
    """What a run varies."""

    workers: int = 2
    threads: int = 16
    period_s: float = 60.0
    audit_s: float = 120.0


class Node:
    """One orchestrator."""

    def __init__(self, root: pathlib.Path, options: Options) -> None:
        self.root = root
        self.options = options
        self.state = root / "state"
        self.log = root / "orchestrator.log"
        self._config = root / "orchestrator.ini"
        self._process: subprocess.Popen[bytes] | None = None
        self._config.write_text(self._ini())

    def _ini(self) -> str:
        return f"""
[DEFAULT]
host = scale
state_path = {self.state}
transport_url = {broker.TRANSPORT}
use_stderr = true
num_worker_processes = {self.options.workers}
num_worker_threads = {self.options.threads}
enabled_processes = preflight,listener,worker,health
health_check_period = {self.options.period_s}
management_network_id = {world.MANAGEMENT_NETWORK}
management_subnet_id = {world.MANAGEMENT_SUBNET}
interface_driver = null
metadata_proxy_shared_secret = simulated
[tls]
enabled = false
[router]
image_uuid = {world.IMAGE}
instance_flavor = {world.FLAVOR}
mgt_service_port = {world.DOCUMENT_PORT}
[keystone_authtoken]
auth_type = password
auth_url = {cloud.URL}/identity/v3
username = astara
password = simulated
project_name = service
user_domain_name = Default
project_domain_name = Default
[audit]
interval = {self.options.audit_s}
"""

    def start(self) -> None:
        """Start the orchestrator; it is not waited for."""
        argv = [str(BIN / "astara-orchestrator"), "--config-file", str(self._config)]
        self._process = room.start(argv, self.log)

    def stop(self) -> None:
        """Stop it as an operator does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    # -- what the workers tell

    def _ask(self, question: protocol.Question) -> Iterator[protocol.Answer]:
        for number in range(self.options.workers):
            yield protocol.ask(protocol.path_of(str(self.state), number), question, ASK_S)

    def views(self) -> list[protocol.WorkerView]:
        """Ask each worker how it is; empty while one does not answer."""
        try:
            answers = list(self._ask(protocol.ShowWorker()))
        except protocol.ControlError:
            return []
        return [answer for answer in answers if isinstance(answer, protocol.WorkerView)]

    def quiet(self, count: int) -> bool:
        """Tell whether all resources are there and nothing is being done to any."""
        views = self.views()
        idle = sum(view.phases.get("idle", 0) for view in views)
        return idle == sum(view.resources for view in views) == count

    def lines(self) -> list[protocol.ResourceLine]:
        """List all resources, in the order of their ids."""
        found: list[protocol.ResourceLine] = []
        for number in range(self.options.workers):
            path, after = protocol.path_of(str(self.state), number), ""
            while True:
                answer = protocol.ask(path, protocol.ListResources(after), ASK_S)
                assert isinstance(answer, protocol.Lines), answer
                found += answer.resources
                if not answer.more:
                    break
                after = answer.resources[-1].id
        return sorted(found, key=lambda line: line.id)

    def calls(self) -> dict[str, int]:
        """Count the calls that the workers made, by kind."""
        total: dict[str, int] = {}
        for view in self.views():
            for kind, count in view.calls.items():
                total[kind] = total.get(kind, 0) + count
        return total

    # -- what the kernel tells

    def processes(self) -> dict[str, int]:
        """Give the pids of the node's processes by name."""
        found = {}
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                command = (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(self._config).encode() in command:
                name = (path / "comm").read_text().strip()
                found[name] = int(path.name)
        return found

    def cpu_s(self) -> dict[str, float]:
        """Give the CPU seconds that each process has used so far."""
        return {name: _cpu_s(pid) for name, pid in self.processes().items()}

    def worker_memory(self) -> int:
        """Give the bytes that the workers hold resident together."""
        return sum(_resident(pid) for name, pid in self.processes().items() if "worker" in name)


def _cpu_s(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(pid: int) -> int:
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
