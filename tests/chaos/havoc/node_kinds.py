"""Faults of the orchestrator's own processes, nodes and clocks."""

import random
import signal
from collections.abc import Iterator

from . import node
from .cloud import Cloud
from .kind import NoTarget, Struck, ended, kind, send, stopped


def _child(cloud: Cloud, chance: random.Random) -> tuple[node.Node, int, str]:
    chosen = chance.choice(cloud.nodes)
    children = [each for each in chosen.processes().items() if each[1] != node.SUPERVISOR]
    if not children:
        raise NoTarget(f"{chosen.host} has no child")
    pid, title = chance.choice(sorted(children, key=lambda each: each[1]))
    return chosen, pid, title


@kind("process killed", 0, 1)
def _process_killed(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    where, pid, title = _child(cloud, chance)
    send(pid, signal.SIGKILL)
    yield Struck(f"{title} of {where.host}", lambda: ended(pid))


@kind("process frozen", 3, 12)
def _process_frozen(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    where, pid, title = _child(cloud, chance)
    send(pid, signal.SIGSTOP)
    try:
        yield Struck(f"{title} of {where.host}", lambda: stopped(pid))
    finally:
        send(pid, signal.SIGCONT)


@kind("worker frozen for good", node.HEARTBEAT_TIMEOUT_S + 4, node.HEARTBEAT_TIMEOUT_S + 8)
def _worker_frozen(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    """Nobody wakes it: its supervisor has to find out and replace it."""
    chosen = chance.choice(cloud.nodes)
    workers = [pid for pid, title in chosen.processes().items() if title.startswith(node.WORKER)]
    if not workers:
        raise NoTarget(f"{chosen.host} has no worker")
    pid = chance.choice(workers)
    send(pid, signal.SIGSTOP)
    yield Struck(f"{pid} of {chosen.host}", lambda: ended(pid) and "replaced")


@kind("supervisor killed", 0, 2)
def _supervisor_killed(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    chosen = chance.choice(cloud.nodes)
    before = tuple(chosen.processes())
    chosen.kill_supervisor()
    try:
        yield Struck(chosen.host, lambda: ended(*before))
    finally:
        chosen.ensure()


@kind("node killed", 0, 10)
def _node_killed(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    chosen = chance.choice(cloud.nodes)
    before = tuple(chosen.processes())
    chosen.kill()
    try:
        yield Struck(chosen.host, lambda: ended(*before))
    finally:
        chosen.ensure()


@kind("node frozen", 3, 12)
def _node_frozen(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    chosen = chance.choice(cloud.nodes)
    before = tuple(chosen.processes())
    chosen.send(signal.SIGSTOP)
    try:
        yield Struck(chosen.host, lambda: stopped(*before))
    finally:
        chosen.send(signal.SIGCONT)


@kind("node restarted", 0, 3)
def _node_restarted(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    chosen = chance.choice(cloud.nodes)
    before = tuple(chosen.processes())
    chosen.stop()
    try:
        yield Struck(chosen.host, lambda: ended(*before))
    finally:
        chosen.ensure()


@kind("clock stepped", 3, 10)
def _clock_stepped(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    chosen = chance.choice(cloud.nodes)
    offset_s = chance.choice([-1, 1]) * chance.choice([30, 600, 3 * 3600, 2 * 86400])
    chosen.set_clock(offset_s)

    def felt() -> str:
        count = chosen.wrong_times()
        return f"{count} wrong times" if count else ""

    try:
        yield Struck(f"{chosen.host} by {offset_s:+d} s", felt)
    finally:
        chosen.set_clock(0)
