"""Faults of appliances and of the servers in which they run."""

import random
import signal
import subprocess
from collections.abc import Callable, Iterator

from astara_devcloud.hypervisor import enter
from astara_devcloud.story import appliance

from . import garbage
from .cloud import Cloud
from .kind import Fault, NoTarget, Struck, ended, kind, send, stopped


def _guest(chance: random.Random) -> enter.Guest:
    guests = [each for each in enter.guests() if each.guest == "appliance" and each.pid]
    if not guests:
        raise NoTarget("there is no appliance")
    return chance.choice(sorted(guests, key=lambda each: each.uuid))


def _killed(pids: Callable[[enter.Guest], list[int]]) -> Fault:
    def fault(_cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
        guest, chosen = _chosen(chance, pids)
        for pid in chosen:
            send(pid, signal.SIGKILL)
        yield Struck(guest.uuid, lambda: ended(*chosen))

    return fault


def _frozen(pids: Callable[[enter.Guest], list[int]]) -> Fault:
    def fault(_cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
        guest, chosen = _chosen(chance, pids)
        for pid in chosen:
            send(pid, signal.SIGSTOP)
        try:
            yield Struck(guest.uuid, lambda: stopped(*chosen))
        finally:
            for pid in chosen:
                send(pid, signal.SIGCONT)

    return fault


def _chosen(
    chance: random.Random, pids: Callable[[enter.Guest], list[int]]
) -> tuple[enter.Guest, list[int]]:
    guest = _guest(chance)
    chosen = pids(guest)
    if not chosen:
        raise NoTarget(f"nothing runs in {guest.uuid}")
    return guest, chosen


def _all_of(guest: enter.Guest) -> list[int]:
    return enter.processes(guest.uuid)


def _first_of(guest: enter.Guest) -> list[int]:
    return [guest.pid] if guest.pid else []


def _agent_of(guest: enter.Guest) -> list[int]:
    return appliance.agent_pids(guest.pid) if guest.pid else []


kind("appliance killed", 0, 1)(_killed(_first_of))
kind("appliance frozen", 3, 25)(_frozen(_all_of))
kind("agent killed", 0, 1)(_killed(_agent_of))
kind("agent frozen", 3, 25)(_frozen(_agent_of))


def _management(cloud: Cloud, guest: enter.Guest) -> tuple[str, str]:
    """Return the id and the address of the port by which an appliance is managed."""
    for port in cloud.service.network.ports(device_id=guest.uuid):
        if "MGT" in port.name and port.fixed_ips:
            return str(port.id), str(port.fixed_ips[0]["ip_address"])
    raise NoTarget(f"{guest.uuid} has no management port")


def _link(tap: str, *words: str) -> str:
    argv = ["ip", "link", *words[:1], tap, *words[1:]]
    # It may be gone with its server before it comes up again.
    return subprocess.run(argv, check=False, timeout=10, capture_output=True, text=True).stdout


@kind("appliance unreachable", 3, 25)
def _unreachable(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    tap = f"tap{_management(cloud, _guest(chance))[0]}"[:14]
    if tap not in _link(tap, "show"):
        raise NoTarget(f"there is no {tap}")
    _link(tap, "set", "down")
    try:
        yield Struck(tap, lambda: "" if ",UP" in _link(tap, "show") else "down")
    finally:
        _link(tap, "set", "up")


@kind("appliance answers garbage", 3, 20)
def _garbage(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    guest = _guest(chance)
    address = _management(cloud, guest)[1]
    with garbage.answering(guest.uuid, address, chance.randrange(2**32)) as answers:
        yield Struck(guest.uuid, lambda: f"{len(answers)} answers" if answers else "")


def _status(cloud: Cloud, uuid: str) -> str:
    found = [each for each in cloud.service.compute.servers() if each.id == uuid]
    return str(found[0].status) if found else "DELETED"


@kind("server deleted", 0, 1)
def _server_deleted(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    uuid = _guest(chance).uuid
    cloud.service.compute.delete_server(uuid)
    yield Struck(uuid, lambda: "deleted" if _status(cloud, uuid) == "DELETED" else "")


@kind("server stopped", 0, 1)
def _server_stopped(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    uuid = _guest(chance).uuid
    cloud.service.compute.stop_server(uuid)
    yield Struck(uuid, lambda: {"ACTIVE": ""}.get(status := _status(cloud, uuid), status))


@kind("server doubled", 0, 1)
def _server_doubled(cloud: Cloud, chance: random.Random) -> Iterator[Struck]:
    """As an orchestrator leaves it that asked twice and died before it wrote anything down."""
    uuid = _guest(chance).uuid
    real = cloud.service.compute.get_server(uuid)
    made = cloud.service.compute.create_server(
        name=real.name,
        image_id=cloud.service.image.find_image("tenant-vm", ignore_missing=False).id,
        flavor_id=cloud.service.compute.find_flavor("m1.tenant", ignore_missing=False).id,
        networks="none",
        metadata=dict(real.metadata),
    )
    yield Struck(f"{made.id} beside {uuid}", lambda: _status(cloud, made.id).lower())
