"""What a run measures with: simulators, broker, database, nodes, and meters on them."""

import argparse
import dataclasses
import http.client
import pathlib
import random
import sys
import time
from typing import TYPE_CHECKING, Any

import around
import broker
import msgspec
import node
import room
import servers
import world

if TYPE_CHECKING:
    import contextlib

HERE = pathlib.Path(__file__).parent
LONGEST_S = 1800.0
CERTIFICATES_S = 1200.0
SETTLE_PAUSE_S = 0.25


class Rig:
    """All of one run; `nodes` are those that serve now."""

    def __init__(
        self, count: int, root: pathlib.Path, options: argparse.Namespace, stack: Any
    ) -> None:
        self.count = count
        self.root = root
        self.routers = world.routers(count)
        self.chance = random.Random(world.SEED)
        self.quick: bool = options.quick
        self._stack: contextlib.ExitStack = stack
        self._options = node.Options(
            workers=options.workers,
            period_s=options.period,
            tls=not options.plaintext,
            database=servers.database(stack),
        )
        stack.enter_context(broker.running(root / "broker"))
        self.node = self.new_node()
        self.nodes = [self.node]
        self.node.prepare()
        self._simulate("cloud")
        self._simulate("appliances", "--simulated", str(self.node.config))
        room.wait_until(self._answering, "the simulators answer", CERTIFICATES_S, 0.2)

    def new_node(self, **changes: Any) -> node.Node:
        """Make another node, which ends with the run."""
        made = node.Node(self.root, dataclasses.replace(self._options, **changes))
        self._stack.callback(made.kill)
        return made

    def _simulate(self, name: str, *arguments: str) -> None:
        argv = [sys.executable, str(HERE / f"{name}.py"), str(self.count), *arguments]
        process = room.start(argv, self.root / f"{name}.log")
        self._stack.callback(process.wait, 20)
        self._stack.callback(process.kill)

    def _answering(self) -> bool:
        try:
            self.fleet("summary")
            self.cloud("summary")
        except OSError:
            return False
        return True

    def fleet(self, what: str, body: object = None) -> Any:
        """Ask the simulator of appliances."""
        return _ask("::1", world.SIMULATOR_PORT, what, body)

    def cloud(self, what: str, body: object = None) -> Any:
        """Ask the simulator of the cloud."""
        return _ask(world.CLOUD_ADDRESS, world.CLOUD_PORT, what, body)

    def settle(self, what: str) -> float:
        """Wait until the nodes have all routers and nothing to do; give the seconds."""
        return room.wait_until(self._settled, what, LONGEST_S, SETTLE_PAUSE_S)

    def _settled(self) -> bool:
        idle = [each.idle() for each in self.nodes]
        return None not in idle and sum(count or 0 for count in idle) == self.count

    def check(self) -> None:
        """Raise unless each appliance runs what Neutron has, and one node serves it."""
        generations, digests = self.cloud("generations"), self.fleet("digests")
        found = (line for each in self.nodes for line in each.lines())
        lines = sorted(found, key=lambda line: line.id)
        assert [line.id for line in lines] == [router.id for router in self.routers]
        wrong = [
            line
            for line, generation, digest in zip(lines, generations, digests, strict=True)
            if line.instance != "configured"
            or line.applied_generation != generation
            or line.digest != digest
        ]
        assert not wrong, f"{len(wrong)} wrong, the first: {wrong[0]}"


def _ask(address: str, port: int, what: str, body: object) -> Any:
    connection = http.client.HTTPConnection(address, port, timeout=60)
    try:
        connection.request("POST", f"/simulator/{what}", msgspec.json.encode(body))
        return msgspec.json.decode(connection.getresponse().read())
    finally:
        connection.close()


class Meter:
    """CPU, calls and pushes between two moments."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._calls = rig.cloud("summary")["requests"]
        self._fleet = rig.fleet("summary")
        self._cpu = self._cpu_s()
        self._around = around.cpu_s(self._own())
        self.begin = time.monotonic()

    def _own(self) -> set[int]:
        return {pid for each in self._rig.nodes for pid in each.processes().values()}

    def _cpu_s(self) -> dict[str, float]:
        return {
            f"{each.options.host} {name}": seconds
            for each in self._rig.nodes
            for name, seconds in each.cpu_s().items()
        }

    @property
    def pushes(self) -> int:
        """Count the pushes since the meter was made."""
        return int(self._rig.fleet("summary")["applied"] - self._fleet["applied"])

    def read(self) -> dict[str, Any]:
        """Give what was used and done since the meter was made."""
        seconds = time.monotonic() - self.begin
        cpu = {
            name: round(now - self._cpu.get(name, 0.0), 2) for name, now in self._cpu_s().items()
        }
        others = around.cpu_s(self._own())
        fleet = self._rig.fleet("summary")
        probes = _difference(fleet["requests"], self._fleet["requests"])
        return {
            "seconds": round(seconds, 2),
            "cpu_s": round(sum(cpu.values()), 2),
            "cores": round(sum(cpu.values()) / seconds, 3),
            "pushes": fleet["applied"] - self._fleet["applied"],
            "pushes_unchanged": fleet["unchanged"] - self._fleet["unchanged"],
            "probes": probes.get("GET /v1/status", 0),
            "connections": fleet["connections"] - self._fleet["connections"],
            "cpu_by_process": cpu,
            "cpu_around_s": {
                name: round(now - self._around.get(name, 0.0), 2) for name, now in others.items()
            },
            "calls": _difference(self._rig.cloud("summary")["requests"], self._calls),
        }


def _difference(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {
        name: count - before.get(name, 0)
        for name, count in after.items()
        if count != before.get(name, 0) and "simulator" not in name
    }
