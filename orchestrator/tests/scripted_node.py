"""One whole orchestrator as it is started, on the scripted cloud, which is a directory."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

from scripted_cloud import VARIABLE, Cloud

BIN = pathlib.Path(sys.executable).parent / "astara-orchestrator"
DEADLINE_S = 120.0  # of a machine that does much else


def wait_until(condition, what, timeout_s=DEADLINE_S):
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.05)
    return value


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # or it ends while it is being read
        return False
    return state != "Z"


class Node:
    """One orchestrator with its own state directory, on a scripted cloud."""

    def __init__(self, root):
        self.root = root
        self.cloud = Cloud(root / "cloud")
        self.config = root / "orchestrator.ini"
        self.log = root / "orchestrator.log"
        self.processes = []
        self.configure()

    def configure(self, **options):
        values = {
            "state_path": self.root / "state",
            "enabled_processes": "worker,health",
            "num_worker_processes": 2,
            "num_worker_threads": 2,
            "instance_factory": "scripted_cloud:open_factory",
            "instance_inventory": "scripted_cloud:open_inventory",
            "health_check_period": 2,
            "boot_poll_interval": 0.1,
            "retry_delay": 0.1,
            "silent_timeout": 1,
            "shutdown_timeout": 10,
        } | options
        lines = ["[DEFAULT]", *(f"{key} = {value}" for key, value in values.items())]
        self.config.write_text(
            "\n".join([*lines, "[audit]", "interval = 600", "orphan_grace = 0"])
        )

    def start(self):
        tests = str(pathlib.Path(__file__).parent)
        environment = {**os.environ, "PYTHONPATH": tests, VARIABLE: str(self.root / "cloud")}
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [str(BIN), "--config-file", str(self.config)],
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def children(self, name=""):
        """Give the pids of all children of the node, old ones too, by the start of their name."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (path / "cmdline").read_bytes()
                mine = str(self.config).encode() in command and b"astara.cmd.child" in command
                comm = (path / "comm").read_text().strip()
                if mine and comm.startswith(f"astara-{name}") and alive(path.name):
                    found.append(int(path.name))
        return sorted(found)

    def applied(self):
        """Give the routers whose server runs the generation that Neutron has."""
        done = []
        for name in self.cloud.names("routers"):
            server = self.cloud.read("servers", name) or {}
            if server.get("applied") == self.cloud.read("routers", name)["generation"]:
                done.append(name)
        return done

    def clean(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(timeout=10)
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
