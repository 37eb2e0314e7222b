"""One run: start a cloud of so many routers, put the orchestrator through it, take figures.

The order: `adopt` (the first configuration of appliances that have none), `verify` (a restart: all
are right, nothing may be pushed), `health` (a full cycle), `audit`, `events` (changes in bursts,
then single ones over all routers), `storm` (all routers of 500 tenants at once). After each step
every appliance must run the document of Neutron's present generation.
"""

import argparse
import http.client
import pathlib
import random
import sys
import time
from typing import Any

import broker
import cloud
import msgspec
import node
import room
import world

HERE = pathlib.Path(__file__).parent
LONGEST_S = 1800.0
BURST = 5  # notifications that one change of a tenant makes: a VM with a port and a floating IP
STORM_TENANTS = 500


class Bench:
    """The simulators, the broker and the orchestrator of one run."""

    def __init__(self, count: int, root: pathlib.Path, options: argparse.Namespace) -> None:
        self.count = count
        self.routers = world.routers(count)
        self.chance = random.Random(world.SEED)
        self.quick: bool = options.quick
        for name in ("appliances", "cloud"):
            argv = [sys.executable, str(HERE / f"{name}.py"), str(count)]
            room.start(argv, root / f"{name}.log")
        broker.start(root / "broker")
        self.node = node.Node(root, node.Options(workers=options.workers, period_s=options.period))
        room.wait_until(self._answering, "the simulators answer", 60, 0.1)

    def _answering(self) -> bool:
        try:
            self.fleet("summary")
            self.cloud("summary")
        except OSError:
            return False
        return True

    def fleet(self, what: str, body: object = None) -> Any:
        """Ask the simulator of appliances."""
        return _ask(f"{world.PREFIX}1", world.DOCUMENT_PORT, what, body)

    def cloud(self, what: str, body: object = None) -> Any:
        """Ask the simulator of the cloud."""
        return _ask(cloud.ADDRESS, cloud.TCP_PORT, what, body)

    def settle(self, what: str) -> float:
        """Wait until nothing is to be done any more; give the seconds."""
        return room.wait_until(self._settled, what, LONGEST_S, 0.25)

    def _settled(self) -> bool:
        return self.node.quiet(self.count)

    def check(self) -> None:
        """Raise unless each appliance runs what Neutron has."""
        generations, digests = self.cloud("generations"), self.fleet("digests")
        lines = self.node.lines()
        assert [line.id for line in lines] == [router.id for router in self.routers]
        wrong = [
            line
            for line, generation, digest in zip(lines, generations, digests, strict=True)
            if line.instance != "configured"
            or line.applied_generation != generation
            or line.digest != digest
        ]
        assert not wrong, f"{len(wrong)} wrong, the first: {wrong[0]}"

    def behind(self) -> int:
        """Count the routers whose appliance does not run what Neutron has."""
        generations = self.cloud("generations")
        lines = self.node.lines()
        return sum(
            line.applied_generation != generation
            for line, generation in zip(lines, generations, strict=True)
        )


def _ask(address: str, port: int, what: str, body: object) -> Any:
    connection = http.client.HTTPConnection(address, port, timeout=60)
    try:
        connection.request("POST", f"/simulator/{what}", msgspec.json.encode(body))
        return msgspec.json.decode(connection.getresponse().read())
    finally:
        connection.close()


class Meter:
    """CPU, calls and pushes between two moments."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.begin = time.monotonic()
        self._cpu = bench.node.cpu_s()
        self._calls = bench.cloud("summary")["requests"]
        self._fleet = bench.fleet("summary")

    def read(self) -> dict[str, Any]:
        """Give what was used and done since the meter was made."""
        seconds = time.monotonic() - self.begin
        cpu = {
            name: round(now - self._cpu.get(name, 0.0), 2)
            for name, now in self._bench.node.cpu_s().items()
        }
        calls = _difference(self._bench.cloud("summary")["requests"], self._calls)
        fleet = self._bench.fleet("summary")
        return {
            "seconds": round(seconds, 2),
            "cpu_s": round(sum(cpu.values()), 2),
            "cores": round(sum(cpu.values()) / seconds, 3),
            "cpu_by_process": cpu,
            "pushes": fleet["applied"] - self._fleet["applied"],
            "pushes_unchanged": fleet["unchanged"] - self._fleet["unchanged"],
            "probes": _difference(fleet["requests"], self._fleet["requests"]).get(
                "GET /v1/status", 0
            ),
            "calls": calls,
        }


def _difference(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {
        name: count - before.get(name, 0)
        for name, count in after.items()
        if count != before.get(name, 0) and "simulator" not in name
    }


def measure(count: int, root: pathlib.Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make one run."""
    bench = Bench(count, root, options)
    result: dict[str, Any] = {"routers": count, "workers": options.workers}
    steps = {"adopt": _start, "verify": _restart}
    if not options.quick:
        steps |= {"memory": _memory, "health": _health, "audit": _audit}
    steps |= {"bursts": _bursts, "scattered": _scattered, "storm": _storm}
    try:
        for name, step in steps.items():
            result[name] = step(bench)
            print(f"{count} {name}: {result[name]}", file=sys.stderr, flush=True)
    except BaseException:
        sys.stderr.write(bench.node.log.read_text()[-6000:])
        raise
    finally:
        bench.node.stop()
    return result


def _start(bench: Bench) -> dict[str, Any]:
    """Start and wait until all is done."""
    meter = Meter(bench)
    bench.node.start()
    bench.settle("all routers are right after the start")
    figures = meter.read()
    bench.check()
    return figures


def _restart(bench: Bench) -> dict[str, Any]:
    """Stop and start: everything has to be looked at, nothing has to be done."""
    bench.node.stop()
    figures = _start(bench)
    assert figures["pushes"] == figures["pushes_unchanged"] == 0, figures
    return figures


def _memory(bench: Bench) -> dict[str, Any]:
    """Weigh the workers against workers that have no resources."""
    full = bench.node.worker_memory()
    return {"workers_mib": round(full / 2**20, 1)}


def _health(bench: Bench) -> dict[str, Any]:
    """Watch one period second by second."""
    meter = Meter(bench)
    each: list[float] = []
    before = sum(bench.node.cpu_s().values())
    for _ in range(int(bench.node.options.period_s)):
        time.sleep(1)
        now = sum(bench.node.cpu_s().values())
        each.append(round(now - before, 2))
        before = now
    return meter.read() | {"busiest_second_cpu_s": max(each), "calmest_second_cpu_s": min(each)}


def _audit(bench: Bench) -> dict[str, Any]:
    """Ask for an audit and weigh the process that makes it."""
    from astara import events, scheduler

    lines = bench.node.log.read_text().count("audit.done")
    meter = Meter(bench)
    outbox = scheduler.Outbox(
        "health", scheduler.socket_path(str(bench.node.state), scheduler.HEALTH), 10
    )
    outbox.put(events.encode(events.AuditRequest("measured")))
    room.wait_until(
        lambda: bench.node.log.read_text().count("audit.done") > lines, "an audit", 120, 0.1
    )
    outbox.close(1)
    return meter.read()


def _changes(bench: Bench, indices: list[int], each: int) -> dict[str, Any]:
    """Change routers in Neutron, publish the notifications, wait until all is applied."""
    messages = [
        broker.about(bench.routers[index], kind) for index in indices for kind in range(each)
    ]
    meter = Meter(bench)
    bench.cloud("change", indices)
    broker.publish(messages)
    published_s = time.monotonic() - meter.begin
    room.wait_until(lambda: broker.waiting() == 0, "the queue is empty", LONGEST_S, 0.1)
    bench.settle("all changes are applied")
    room.wait_until(lambda: bench.behind() == 0, "no router is behind", LONGEST_S, 0.5)
    figures = meter.read()
    bench.settle("all changes are applied")
    bench.check()
    count = len(messages)
    pushes = figures["pushes"]
    return {
        "notifications": count,
        "published_s": round(published_s, 2),
        "applied_per_s": round(count / figures["seconds"]),
        "merged": count - pushes,
        "cpu_ms_per_notification": round(1000 * figures["cpu_s"] / count, 3),
        "cpu_ms_per_push": round(1000 * figures["cpu_s"] / max(1, pushes), 3),
        **figures,
    }


def _size(bench: Bench, full: int, quick: int) -> int:
    return quick if bench.quick else full


def _bursts(bench: Bench) -> dict[str, Any]:
    """Change many routers, each by an action of a tenant that makes several notifications."""
    number = min(bench.count, _size(bench, 2000, 50))
    indices = bench.chance.sample(range(bench.count), number)
    return _changes(bench, indices, BURST)


def _scattered(bench: Bench) -> dict[str, Any]:
    """Change routers one notification each: nothing can be merged."""
    number = min(bench.count, _size(bench, 2000, 50))
    return _changes(bench, bench.chance.sample(range(bench.count), number), 1)


def _storm(bench: Bench) -> dict[str, Any]:
    """Change all routers of many tenants at once."""
    number = min(bench.count, _size(bench, STORM_TENANTS, 20) * world.ROUTERS_PER_TENANT)
    return _changes(bench, list(range(number)), BURST)
