"""The real orchestrator under measurement: its configuration, its processes, what they tell.

Everything is what production runs; only the cloud and the appliances it talks to are simulated.
"""

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import around
import broker
import cloud
import room
import world

from astara.worker import control_protocol as protocol

BIN = pathlib.Path(sys.executable).parent
ASK_S = 30.0
SIMULATOR = b"--simulated"
LINES = 10**6  # all of them
MEMBER_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What a run varies."""

    workers: int = 2
    threads: int = 16
    period_s: float = 60.0
    audit_s: float = 120.0
    tls: bool = True
    host: str = "scale"
    database: str = ""
    coordination: str = ""  # URL of ZooKeeper; without it the node is alone


class Node:
    """One orchestrator."""

    def __init__(self, root: pathlib.Path, options: Options) -> None:
        self.options = options
        self.state = root / options.host
        self.log = root / f"{options.host}.log"
        self.config = root / f"{options.host}.ini"
        self._process: subprocess.Popen[bytes] | None = None
        self.config.write_text(self._ini())

    def _ini(self) -> str:
        return f"""
[DEFAULT]
host = {self.options.host}
state_path = {self.state}
transport_url = {broker.TRANSPORT}
use_stderr = true
num_worker_processes = {self.options.workers}
num_worker_threads = {self.options.threads}
health_check_period = {self.options.period_s}
management_network_id = {world.MANAGEMENT_NETWORK}
management_subnet_id = {world.MANAGEMENT_SUBNET}
interface_driver = null
metadata_proxy_shared_secret = simulated
[tls]
enabled = {self.options.tls}
[database]
connection = {self.options.database}
[coordination]
enabled = {bool(self.options.coordination)}
url = {self.options.coordination or "zookeeper://none"}
heartbeat_interval = 1
member_timeout = {MEMBER_TIMEOUT_S}
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
        argv = [str(BIN / "astara-orchestrator"), "--config-file", str(self.config)]
        self._process = room.start(argv, self.log)

    def stop(self) -> None:
        """Stop it as an operator does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    def prepare(self) -> None:
        """Bring the database to this release's schema, as an operator does."""
        argv = [str(BIN / "astara-dbsync"), "--config-file", str(self.config), "upgrade"]
        subprocess.run(argv, check=True, timeout=120, capture_output=True)

    def kill(self) -> None:
        """End all its processes at once, as a power cut does."""
        for pid in self.processes().values():
            os.kill(pid, signal.SIGKILL)
        if self._process is not None:
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

    def idle(self) -> int | None:
        """Count the resources that are here with nothing to do; None if something is done."""
        views = self.views()
        idle = sum(view.phases.get("idle", 0) for view in views)
        settled = len(views) == self.options.workers
        return idle if settled and idle == sum(view.resources for view in views) else None

    def lines(self) -> list[protocol.ResourceLine]:
        """List all resources; it costs the workers something, so measure nothing meanwhile."""
        found: list[protocol.ResourceLine] = []
        for answer in self._ask(protocol.ListResources(limit=LINES)):
            assert isinstance(answer, protocol.Lines), answer
            found += answer.resources
        return found

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
            if str(self.config).encode() not in command or SIMULATOR in command:
                continue
            name = (path / "comm").read_text().strip()
            # A child that has just begun has no name of its own yet.
            found[name if name not in found else f"{name} {path.name}"] = int(path.name)
        return found

    def cpu_s(self) -> dict[str, float]:
        """Give the CPU seconds that each process has used so far."""
        return {name: around.cpu_of(pid) for name, pid in self.processes().items()}

    def memory_kib(self) -> dict[str, int]:
        """Give the memory of each process in KiB; what several share is divided among them."""
        return {name: _pss_kib(pid) for name, pid in self.processes().items()}


def _pss_kib(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
