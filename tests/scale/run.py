"""One run: start a cloud of so many routers, put the orchestrator through it, take figures.

The order: `adopt` (the first configuration of appliances that have none), `verify` (a restart: all
are right, nothing may be pushed), `memory`, `health` (a full cycle), `audit`, `bursts` and
`scattered` (changes that merge, changes that cannot), `storm` (all routers of 500 tenants at
once), `death` (one of two nodes dies). After each step every appliance must run the document of
Neutron's present generation.
"""

import argparse
import contextlib
import pathlib
import sys
import time
from typing import Any

import broker
import node
import rig
import room
import servers
import world

BURST = 5  # notifications that one change of a tenant makes: a VM with a port and a floating IP
STORM_TENANTS = 500


def measure(count: int, root: pathlib.Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make one run."""
    result: dict[str, Any] = {
        "routers": count,
        "workers": options.workers,
        "tls": not options.plaintext,
    }
    steps = {"adopt": _start, "verify": _restart}
    if not options.quick:
        steps |= {"memory": _memory, "health": _health, "audit": _audit}
    steps |= {"bursts": _bursts, "scattered": _scattered, "storm": _storm, "death": _death}
    with contextlib.ExitStack() as stack:
        at = rig.Rig(count, root, options, stack)
        try:
            for name in options.steps or steps:
                result[name] = steps[name](at)
                print(f"{count} {name}: {result[name]}", file=sys.stderr, flush=True)
        except BaseException:
            sys.stderr.write(at.node.log.read_text()[-6000:])
            raise
    return result


def _start(at: rig.Rig) -> dict[str, Any]:
    """Start and wait until all is done."""
    meter = rig.Meter(at)
    for each in at.nodes:
        each.start()
    at.settle("all routers are right after the start")
    figures = meter.read()
    at.check()
    return figures


def _restart(at: rig.Rig) -> dict[str, Any]:
    """Stop and start: everything has to be looked at, nothing has to be done."""
    at.node.stop()
    figures = _start(at)
    assert figures["pushes"] == figures["pushes_unchanged"] == 0, figures
    return figures


def _memory(at: rig.Rig) -> dict[str, Any]:
    """Weigh each process of a node whose routers are idle."""
    found = at.node.memory_kib()
    return {"kib": sum(found.values()), "kib_by_process": found}


def _health(at: rig.Rig) -> dict[str, Any]:
    """Watch one period second by second."""
    meter = rig.Meter(at)
    each: list[float] = []
    before = sum(at.node.cpu_s().values())
    for _ in range(int(at.node.options.period_s)):
        time.sleep(1)
        now = sum(at.node.cpu_s().values())
        each.append(round(now - before, 2))
        before = now
    return meter.read() | {"busiest_second_cpu_s": max(each), "calmest_second_cpu_s": min(each)}


def _audit(at: rig.Rig) -> dict[str, Any]:
    """Ask for an audit and weigh it."""
    from astara import events, scheduler

    lines = at.node.log.read_text().count("audit.done")
    meter = rig.Meter(at)
    path = scheduler.socket_path(str(at.node.state), scheduler.HEALTH)
    outbox = scheduler.Outbox("health", path, 10)
    outbox.put(events.encode(events.AuditRequest("measured")))
    room.wait_until(
        lambda: at.node.log.read_text().count("audit.done") > lines, "an audit", 120, 0.1
    )
    outbox.close(1)
    return meter.read()


def _changes(at: rig.Rig, indices: list[int], each: int) -> dict[str, Any]:
    """Change routers in Neutron, publish the notifications, wait until all is applied."""
    messages = [broker.about(at.routers[index], kind) for index in indices for kind in range(each)]
    meter = rig.Meter(at)
    at.cloud("change", indices)
    broker.publish(messages)
    published_s = time.monotonic() - meter.begin
    room.wait_until(
        lambda: meter.pushes >= len(indices), "all changes are pushed", rig.LONGEST_S, 0.1
    )
    applied_s = time.monotonic() - meter.begin
    room.wait_until(lambda: broker.waiting() == 0, "the queue is empty", rig.LONGEST_S, 0.1)
    at.settle("nothing is to be done")
    figures = meter.read()
    at.check()
    count, pushes = len(messages), figures["pushes"]
    if each > 1:  # what merges is done when nothing is left to be looked at
        applied_s = figures["seconds"]
    return {
        "notifications": count,
        "published_s": round(published_s, 2),
        "applied_per_s": round(count / applied_s),
        "merged": count - pushes,
        "cpu_ms_per_notification": round(1000 * figures["cpu_s"] / count, 3),
        "cpu_ms_per_push": round(1000 * figures["cpu_s"] / max(1, pushes), 3),
        "per_core_s": round(count / figures["cpu_s"]),
        "cpu_ms_around": {
            name: round(1000 * seconds / count, 3)
            for name, seconds in figures["cpu_around_s"].items()
        },
        **figures,
    }


def _size(at: rig.Rig, full: int, quick: int) -> int:
    return quick if at.quick else full


def _bursts(at: rig.Rig) -> dict[str, Any]:
    """Change many routers, each by an action of a tenant that makes several notifications."""
    number = min(at.count, _size(at, 2000, 50))
    return _changes(at, at.chance.sample(range(at.count), number), BURST)


def _scattered(at: rig.Rig) -> dict[str, Any]:
    """Change routers one notification each: nothing can be merged."""
    number = min(at.count, _size(at, 2000, 50))
    return _changes(at, at.chance.sample(range(at.count), number), 1)


def _storm(at: rig.Rig) -> dict[str, Any]:
    """Change all routers of many tenants at once."""
    number = min(at.count, _size(at, STORM_TENANTS, 20) * world.ROUTERS_PER_TENANT)
    return _changes(at, list(range(number)), BURST)


def _death(at: rig.Rig) -> dict[str, Any]:
    """Share the routers between two nodes, kill one, wait until the other has verified all."""
    at.node.stop()
    with contextlib.ExitStack() as stack:
        url = servers.coordination(stack)
        left, right = (at.new_node(host=host, coordination=url) for host in ("left", "right"))
        at.nodes = [left, right]
        _start(at)
        lost = sum(view.resources for view in right.views())
        right.kill()
        at.nodes = [left]
        meter = rig.Meter(at)
        at.settle("the survivor has all routers")
        figures = meter.read()
        at.check()
        assert figures["pushes"] == figures["pushes_unchanged"] == 0, figures
        left.stop()
    return {"taken_over": lost, "lease_s": node.MEMBER_TIMEOUT_S, **figures}
