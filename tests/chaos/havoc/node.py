"""An orchestrator of the chaos' own, on a clock that can be set.

It reaches Keystone, and through its catalogue Neutron and Nova, by the fronts of `proxy`, and its
database by `relay`. Kills only processes that it started.
"""

import configparser
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from astara_devcloud import layout, services, settings
from astara_devcloud.story import appliance

BIN = pathlib.Path(sys.executable).parent
PROGRAM = "astara-orchestrator"
WALL_CLOCK = pathlib.Path(__file__).with_name("wall_clock.c")
SUPERVISOR = "supervisor"
WORKER = "astara-worker"
MEMBER_TIMEOUT_S = 4
HEARTBEAT_TIMEOUT_S = 15

# Quick healing, and so many silent appliances at once as chaos makes.
OWN = {
    "num_worker_processes": "2",
    "health_check_period": "5",
    "boot_timeout": "150",
    "stop_timeout": "60",
    "error_state_cooldown": "3",
    "error_state_cooldown_max": "10",
    "retry_delay_max": "5",
    "health_rebuild_number": "1000",
    "shutdown_timeout": "10",
    "alive_timeout": "3",
    "process_heartbeat_timeout": str(HEARTBEAT_TIMEOUT_S),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Wiring:
    """Where a node finds what it needs."""

    keystone_url: str
    database_url: str
    coordination_url: str


class Node:
    """One orchestrator; `host` is its name in the cluster."""

    def __init__(self, root: pathlib.Path, host: str, wiring: Wiring) -> None:
        self.host = host
        self.config = root / f"{host}.ini"
        self.log = root / f"{host}.log"
        self._clock = root / f"{host}.clock"
        self._shim = root / "wall_clock.so"
        where = layout.current_layout()
        told = configparser.ConfigParser(strict=False, interpolation=None)
        told.optionxform = str  # type: ignore[assignment,method-assign]
        told.read(where.etc / "orchestrator.ini")
        binding = {"host": host, "management_binding_host": settings.HOST}
        told["DEFAULT"].update(OWN | binding, state_path=str(root / host))
        told["keystone_authtoken"].update(auth_url=wiring.keystone_url)
        told["coordination"] = {
            "enabled": "true",
            "url": wiring.coordination_url,
            "group_id": "chaos",
            "heartbeat_interval": "0.5",
            "member_timeout": str(MEMBER_TIMEOUT_S),
        }
        told["database"] = {"connection": wiring.database_url}
        told["audit"] = {"interval": "10", "orphan_grace": "10"}
        with self.config.open("w") as file:
            told.write(file)
        cloud = settings.load(where)
        self._environment = dict(services.environment(cloud, services.declare(cloud)[PROGRAM]))
        self._process: subprocess.Popen[bytes] | None = None
        argv = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(self._shim), str(WALL_CLOCK)]
        subprocess.run(argv, check=True, timeout=60)
        self._clock.write_bytes(struct.pack("qq", 0, 0))

    # -- its life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, in whatever state it was left."""
        argv = [str(BIN / PROGRAM), "--config-file", str(self.config)]
        clock = {"LD_PRELOAD": str(self._shim), "CHAOS_CLOCK": str(self._clock)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                env=self._environment | clock,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ensure(self) -> None:
        """Do what systemd does: start it again if it has ended."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def processes(self) -> dict[int, str]:
        """Return pid and name of each of its processes."""
        if self._process is None or self._process.poll() is not None:
            return {}
        found = {}
        for pid in appliance.descendants(self._process.pid):
            with contextlib.suppress(OSError):
                title = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                found[pid] = SUPERVISOR if pid == self._process.pid else title
        return found

    def titles(self) -> list[str]:
        """Return the names of its processes, sorted."""
        return sorted(self.processes().values())

    def send(self, number: signal.Signals, title: str = "") -> int:
        """Signal its processes, or those of one name; return how many."""
        pids = [pid for pid, each in self.processes().items() if title in ("", each)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)

    def kill(self) -> None:
        """End all processes at once, as a power cut does."""
        self.send(signal.SIGKILL)
        self._wait()

    def kill_supervisor(self) -> None:
        """Kill the parent alone: its children have to notice by themselves."""
        children = [pid for pid, title in self.processes().items() if title != SUPERVISOR]
        self.send(signal.SIGKILL, SUPERVISOR)
        self._wait()
        deadline = time.monotonic() + 30
        while (left := [pid for pid in children if _alive(pid)]) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            raise AssertionError(f"{self.host}: children outlive their supervisor: {left}")

    def stop(self) -> None:
        """End as an operator ends it."""
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)
        self._wait()

    def _wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self._process.wait(timeout=10)
            raise
        self._process = None

    # -- its clock --------------------------------------------------------------------------------

    def set_clock(self, offset_s: int) -> None:
        """Step its wall clock away from the host's by so many seconds."""
        with self._clock.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("qq", offset_s, 0))

    def wrong_times(self) -> int:
        """Tell how often its processes have read the clock since it was stepped."""
        return int(struct.unpack("qq", self._clock.read_bytes())[1])

    # -- asking it --------------------------------------------------------------------------------

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `astara-ctl` against it."""
        argv = [str(BIN / "astara-ctl"), "--config-file", str(self.config), *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False)

    def ctl(self, *words: str) -> list[Mapping[str, Any]]:
        """Run `astara-ctl` and return its JSON; nothing if it had none to give."""
        done = self.run(*words, "-f", "json")
        return list(json.loads(done.stdout)) if done.stdout.strip() else []


def _alive(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
