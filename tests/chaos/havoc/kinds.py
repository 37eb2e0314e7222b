"""The kinds of faults: how each is put in place and mended.

A kind is a context manager over a cloud and a chance of its own: when its block is entered the
fault is there, afterwards it is mended (a killed node started, a stopped process continued). What
heals by itself is left alone. Every kind tells what exactly it broke.
"""

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from astara_devcloud import faults, settings
from astara_devcloud.hypervisor import enter
from astara_devcloud.story import appliance

from . import cloud as havoc_cloud
from . import garbage, node, proxy, schedule
from .cloud import Cloud

Fault = Callable[[Cloud, random.Random], AbstractContextManager[str]]
_ANY = frozenset({"GET", "POST", "PUT", "DELETE"})
_FOREVER_S = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A fault and for how long it may last."""

    fault: Fault
    shortest_s: float = 3.0
    longest_s: float = 8.0


KINDS: dict[str, Kind] = {}


def _kind(name: str, shortest_s: float = 3.0, longest_s: float = 8.0) -> Callable[[Fault], Fault]:
    def add(fault: Callable[[Cloud, random.Random], Iterator[str]]) -> Fault:
        KINDS[name] = Kind(contextlib.contextmanager(fault), shortest_s, longest_s)
        return KINDS[name].fault

    return add  # type: ignore[return-value]


def spans(names: list[str] | None = None) -> list[schedule.Span]:
    """Return the kinds for a schedule, all or those of these names."""
    return [
        schedule.Span(name, KINDS[name].shortest_s, KINDS[name].longest_s)
        for name in (names or list(KINDS))
    ]


# -- the orchestrator's processes -----------------------------------------------------------------


def _child(cloud: Cloud, chance: random.Random) -> tuple[node.Node, int, str]:
    chosen = chance.choice(cloud.nodes)
    children = [each for each in chosen.processes().items() if each[1] != node.SUPERVISOR]
    if not children:
        return chosen, 0, "no child"
    pid, title = chance.choice(sorted(children, key=lambda each: each[1]))
    return chosen, pid, title


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number) if pid else None


@_kind("process killed", 0, 1)
def _process_killed(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    where, pid, title = _child(cloud, chance)
    _send(pid, signal.SIGKILL)
    yield f"{title} of {where.host}"


@_kind("process frozen", 3, 12)
def _process_frozen(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    where, pid, title = _child(cloud, chance)
    _send(pid, signal.SIGSTOP)
    yield f"{title} of {where.host}"
    _send(pid, signal.SIGCONT)


@_kind("supervisor killed", 0, 2)
def _supervisor_killed(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    chosen = chance.choice(cloud.nodes)
    chosen.kill_supervisor()
    yield chosen.host
    chosen.ensure()


@_kind("node killed", 0, 10)
def _node_killed(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    chosen = chance.choice(cloud.nodes)
    chosen.kill()
    yield chosen.host
    chosen.ensure()


@_kind("node frozen", 3, 12)
def _node_frozen(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    chosen = chance.choice(cloud.nodes)
    chosen.send(signal.SIGSTOP)
    yield chosen.host
    chosen.send(signal.SIGCONT)


@_kind("node restarted", 0, 3)
def _node_restarted(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    chosen = chance.choice(cloud.nodes)
    chosen.stop()
    yield chosen.host
    chosen.ensure()


@_kind("clock stepped", 3, 10)
def _clock_stepped(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    chosen = chance.choice(cloud.nodes)
    offset_s = chance.choice([-1, 1]) * chance.choice([30, 600, 3 * 3600, 2 * 86400])
    chosen.set_clock(offset_s)
    yield f"{chosen.host} by {offset_s:+d} s"
    chosen.set_clock(0)


# -- what the orchestrator stands on --------------------------------------------------------------


@_kind("broker stopped", 0, 3)
def _broker_stopped(_cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    with faults.stopped("rabbitmq"):
        yield "rabbitmq"


@_kind("broker frozen", 3, 8)
def _broker_frozen(_cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    with faults.paused("rabbitmq"):
        yield "rabbitmq"


@_kind("broker connections cut", 0, 0)
def _broker_cut(_cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    faults.rabbitmqctl("close_all_connections", "chaos")
    yield "all connections"


@_kind("broker cut off", 3, 8)
def _broker_away(_cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    with faults.cut_off_from_broker():
        yield "the orchestrators alone"


@_kind("queues purged", 2, 4)
def _queues_purged(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    # While a node that would empty them at once is frozen, what is in them is lost.
    chosen = chance.choice(cloud.nodes)
    chosen.send(signal.SIGSTOP)
    yield f"those of {chosen.host}"
    try:
        for name in queues():
            if chosen.host in name:
                faults.rabbitmqctl("purge_queue", name)
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


@_kind("database stopped", 0, 2)
def _database_stopped(_cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    with faults.stopped("mariadb"):
        yield "mariadb, for everybody"


@_kind("database frozen", 2, 6)
def _database_frozen(_cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    with faults.paused("mariadb"):
        yield "mariadb, for everybody"


@_kind("database slow", 4, 10)
def _database_slow(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    delay_s = round(chance.uniform(0.1, 1.5), 2)
    with cloud.relay.slow(delay_s):
        yield f"{delay_s} s each way"


@_kind("database away", 3, 8)
def _database_away(cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    with cloud.relay.away():
        yield "for the orchestrators alone"


@_kind("database failing over", 2, 5)
def _database_failing_over(cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    """Connections break; whom the next ones reach is read-only until it has been promoted."""
    havoc_cloud.sql("SET GLOBAL read_only = 1")
    try:
        cloud.relay.cut()
        yield "cut, then read-only"
    finally:
        havoc_cloud.sql("SET GLOBAL read_only = 0")


@_kind("coordination frozen", 2, 12)
def _coordination_frozen(cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    with cloud.zookeeper.frozen():
        yield "zookeeper"


@_kind("coordination killed", 0, 3)
def _coordination_killed(cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    cloud.zookeeper.kill()
    try:
        yield "zookeeper"
    finally:
        cloud.zookeeper.start()


# -- the services it asks -------------------------------------------------------------------------


@_kind("tokens revoked", 1, 4)
def _tokens_revoked(cloud: Cloud, _chance: random.Random) -> Iterator[str]:
    yield f"{cloud.proxy.revoke_tokens()} tokens"


def _answer(status: int, kind: str, message: str, **headers: str) -> proxy.Effect:
    body = {kind: {"code": status, "type": kind, "message": message, "detail": ""}}
    return proxy.Effect(status, body, headers)


def _broken(service: str, effect: proxy.Effect, methods: frozenset[str] = _ANY) -> Fault:
    def fault(cloud: Cloud, chance: random.Random) -> Iterator[str]:
        share = chance.choice([0.3, 0.7, 1.0])
        seen = proxy.Rule(service, effect, methods, share=share)
        with cloud.proxy.rule(seen):
            yield f"{share:.0%} of the calls"

    return fault  # type: ignore[return-value]


_CREATING = frozenset({"POST"})
_CHANGING = frozenset({"POST", "PUT", "DELETE"})
_BUSY = _answer(409, "conflictingRequest", "somebody else is at it")
_PORT_QUOTA = {
    "NeutronError": {
        "type": "OverQuota",
        "message": "Quota exceeded for resources: ['port'].",
        "detail": "",
    }
}
_SERVER_QUOTA = {
    "forbidden": {
        "code": 403,
        "message": "Quota exceeded for instances: Requested 1, but already used 10 of 10.",
    }
}
for _service, _quota in (
    ("network", proxy.Effect(409, _PORT_QUOTA)),
    ("compute", proxy.Effect(403, _SERVER_QUOTA)),
):
    _told = {
        "500": (_answer(500, "computeFault", "Unexpected API Error."), _ANY),
        "503": (_answer(503, "serviceUnavailable", "away", **{"Retry-After": "1"}), _ANY),
        "409": (_BUSY, _CHANGING),
        "429": (_answer(429, "overLimit", "slow down", **{"Retry-After": "1"}), _ANY),
        "over quota": (_quota, _CREATING),
        "hanging up": (proxy.Effect(answered=False), _ANY),
        "answer lost": (proxy.Effect(forwarded=True, answered=False), _CHANGING),
        "slow": (proxy.Effect(forwarded=True, hang_s=1.5), _ANY),
    }
    for _name, (_effect, _methods) in _told.items():
        _kind(f"{_service}: {_name}", 4, 10)(_broken(_service, _effect, _methods))
    # Longer than the orchestrator waits for any answer.
    _silence = proxy.Effect(hang_s=_FOREVER_S, answered=False)
    _kind(f"{_service}: timeout", 8, 34)(_broken(_service, _silence))
_kind("keystone: 503", 4, 10)(
    _broken("keystone", _answer(503, "error", "The service is unavailable."))
)


# -- the appliances -------------------------------------------------------------------------------


def _guest(_cloud: Cloud, chance: random.Random) -> enter.Guest | None:
    guests = [each for each in enter.guests() if each.guest == "appliance" and each.pid]
    return chance.choice(sorted(guests, key=lambda each: each.uuid)) if guests else None


def _signalled(pids: Callable[[enter.Guest], list[int]], *numbers: signal.Signals) -> Fault:
    def fault(cloud: Cloud, chance: random.Random) -> Iterator[str]:
        guest = _guest(cloud, chance)
        chosen = pids(guest) if guest else []
        for pid in chosen:
            _send(pid, numbers[0])
        yield guest.uuid if guest else "none there"
        for number in numbers[1:]:
            for pid in chosen:
                _send(pid, number)

    return fault  # type: ignore[return-value]


def _all_of(guest: enter.Guest) -> list[int]:
    return enter.processes(guest.uuid)


def _first_of(guest: enter.Guest) -> list[int]:
    return [guest.pid] if guest.pid else []


def _agent_of(guest: enter.Guest) -> list[int]:
    return appliance.agent_pids(guest.pid) if guest.pid else []


_kind("appliance killed", 0, 1)(_signalled(_first_of, signal.SIGKILL))
_kind("appliance frozen", 3, 25)(_signalled(_all_of, signal.SIGSTOP, signal.SIGCONT))
_kind("agent killed", 0, 1)(_signalled(_agent_of, signal.SIGKILL))
_kind("agent frozen", 3, 25)(_signalled(_agent_of, signal.SIGSTOP, signal.SIGCONT))


def _management(cloud: Cloud, guest: enter.Guest) -> "tuple[str, str] | None":
    """Return the id and the address of the port by which an appliance is managed."""
    for port in cloud.service.network.ports(device_id=guest.uuid):
        if "MGT" in port.name and port.fixed_ips:
            return str(port.id), str(port.fixed_ips[0]["ip_address"])
    return None


@_kind("appliance unreachable", 3, 25)
def _unreachable(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    guest = _guest(cloud, chance)
    found = _management(cloud, guest) if guest else None
    tap = f"tap{found[0]}"[:14] if found else ""
    for way in ("down", "up"):
        # It may be gone with its server before it comes up again.
        argv = ["ip", "link", "set", tap, way]
        subprocess.run(argv, check=False, timeout=10, capture_output=True) if tap else None
        if way == "down":
            yield f"{tap or 'none there'}"


@_kind("appliance answers garbage", 3, 20)
def _garbage(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    guest = _guest(cloud, chance)
    found = _management(cloud, guest) if guest else None
    if guest is None or found is None:
        yield "none there"
        return
    with garbage.answering(guest.uuid, found[1], chance.randrange(2**32)):
        yield guest.uuid


@_kind("server deleted", 0, 1)
def _server_deleted(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    if guest := _guest(cloud, chance):
        cloud.service.compute.delete_server(guest.uuid)
    yield guest.uuid if guest else "none there"


@_kind("server stopped", 0, 1)
def _server_stopped(cloud: Cloud, chance: random.Random) -> Iterator[str]:
    if guest := _guest(cloud, chance):
        cloud.service.compute.stop_server(guest.uuid)
    yield guest.uuid if guest else "none there"
