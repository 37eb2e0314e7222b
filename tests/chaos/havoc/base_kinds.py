"""Faults of what the orchestrator stands on: message broker, database, coordination."""

import random
import signal
from collections.abc import Iterator

from astara_devcloud import faults, layout, processes, settings

from . import cloud as havoc_cloud
from . import relay
from .cloud import Cloud
from .kind import Struck, ended, kind, state_of, stopped

_REFUSED = "refused"


def _pids(service: str) -> list[int]:
    return processes.members(str(layout.current_layout().root), service)


def _gone(service: str) -> str:
    return "" if any(state_of(pid) not in ("", "Z") for pid in _pids(service)) else "ended"


@kind("broker stopped", 0, 3)
def _broker_stopped(_cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    with faults.stopped("rabbitmq"):
        yield Struck("rabbitmq", lambda: _gone("rabbitmq"))


@kind("broker frozen", 3, 8)
def _broker_frozen(_cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    with faults.paused("rabbitmq"):
        yield Struck("rabbitmq", lambda: stopped(*_pids("rabbitmq")))


@kind("broker connections cut", 0, 0)
def _broker_cut(_cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    before = len(faults.rabbitmqctl("list_connections", "pid").splitlines())
    faults.rabbitmqctl("close_all_connections", "chaos")
    yield Struck("all connections", lambda: f"{before} of them" if before else "")


@kind("broker cut off", 3, 8)
def _broker_away(_cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    def felt() -> str:
        allowed = faults.rabbitmqctl("list_user_permissions", faults.ORCHESTRATOR_USER)
        return "" if "/" in allowed.split() else _REFUSED

    with faults.cut_off_from_broker():
        yield Struck("the orchestrators alone", felt)


@kind("queues purged", 3, 6, making=True)
def _queues_purged(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    """A node is frozen, so that its queues fill, and what is in them is lost."""
    chosen = chance.choice(cloud.nodes)
    purged = 0

    def purge() -> str:
        nonlocal purged
        # The broker has given it to the node that sleeps; it takes back what that one did not
        # acknowledge when the connection ends.
        faults.rabbitmqctl("close_all_user_connections", faults.ORCHESTRATOR_USER, "chaos")
        for name, count in queues().items():
            if chosen.host in name and count:
                faults.rabbitmqctl("purge_queue", name)
                purged += count
        return f"{purged} messages" if purged else ""

    chosen.send(signal.SIGSTOP)
    try:
        yield Struck(f"those of {chosen.host}", purge)
    finally:
        chosen.send(signal.SIGCONT)


def queues() -> dict[str, int]:
    """Return the queues of the orchestrators here that have a name, each with its messages.

    Fanout queues are made anew at each start; those of a killed process expire in the broker.
    """
    shown = faults.rabbitmqctl("list_queues", "name", "messages")
    rows = (line.split() for line in shown.splitlines() if line.startswith("astara"))
    # The devcloud's own orchestrator is stopped, and its queues fill.
    return {
        row[0]: int(row[-1])
        for row in rows
        if settings.HOST not in row[0] and "_fanout_" not in row[0]
    }


@kind("database stopped", 0, 2)
def _database_stopped(_cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    with faults.stopped("mariadb"):
        yield Struck("mariadb, for everybody", lambda: _gone("mariadb"))


@kind("database frozen", 2, 6)
def _database_frozen(_cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    with faults.paused("mariadb"):
        yield Struck("mariadb, for everybody", lambda: stopped(*_pids("mariadb")))


def _since(line: relay.Relay) -> "relay.Figures":
    return relay.Figures(line.figures.delayed, line.figures.refused, line.figures.cut)


@kind("database slow", 4, 10)
def _database_slow(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    delay_s = round(chance.uniform(0.1, 1.5), 2)
    before = _since(cloud.relay)

    def felt() -> str:
        count = cloud.relay.figures.delayed - before.delayed
        return f"{count} held back" if count else ""

    with cloud.relay.slow(delay_s):
        yield Struck(f"{delay_s} s each way", felt)


@kind("database away", 3, 8)
def _database_away(cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    before = _since(cloud.relay)

    def felt() -> str:
        count = cloud.relay.figures.refused - before.refused
        return f"{count} refused" if count else ""

    with cloud.relay.away():
        yield Struck("for the orchestrators alone", felt)


@kind("database failing over", 2, 5)
def _database_failing_over(cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    """Connections break; whom the next ones reach is read-only until it has been promoted."""
    before = _since(cloud.relay)

    def felt() -> str:
        count = cloud.relay.figures.cut - before.cut
        read_only = havoc_cloud.sql("SELECT @@GLOBAL.read_only").strip() == "1"
        return f"{count} cut, read-only" if count and read_only else ""

    havoc_cloud.sql("SET GLOBAL read_only = 1")
    try:
        cloud.relay.cut()
        yield Struck("cut, then read-only", felt)
    finally:
        havoc_cloud.sql("SET GLOBAL read_only = 0")


@kind("coordination frozen", 2, 12)
def _coordination_frozen(cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    with cloud.zookeeper.frozen():
        yield Struck("zookeeper", lambda: stopped(cloud.zookeeper.process.pid))


@kind("coordination killed", 0, 3)
def _coordination_killed(cloud: Cloud, _chance: random.Random) -> Iterator[Struck]:
    pid = cloud.zookeeper.process.pid
    cloud.zookeeper.kill()
    try:
        yield Struck("zookeeper", lambda: ended(pid))
    finally:
        cloud.zookeeper.start()


@kind("coordination cut off", 6, 14)
def _coordination_cut_off(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    """One node does not reach it, and nobody tells that node; the others do."""
    chosen = chance.choice(cloud.nodes)
    line = cloud.lines[chosen.host]
    before = _since(line)

    def felt() -> str:
        count = line.figures.delayed - before.delayed
        return f"{count} did not pass" if count else ""

    with line.silent():
        yield Struck(f"from {chosen.host}", felt)
