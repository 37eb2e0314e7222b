"""The network namespace of a server, and the way of its NICs into it and out again.

A namespace lives from power-on to power-off; a guest that dies leaves it behind with the NICs
inside, so nothing of the plugging is lost. Outside, a NIC's guest end waits under its parked name.
Called by `lifecycle` and the driver.
"""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from . import commands
from .store import Nic

PREFIX = "avm-"
_RUN = pathlib.Path("/run/netns")
_NET = pathlib.Path("/sys/class/net")


def name(uuid: str) -> str:
    """Return the name of a server's network namespace."""
    return PREFIX + uuid[:13]


def path(uuid: str) -> pathlib.Path:
    """Return the file that holds a server's network namespace."""
    return _RUN / name(uuid)


def holds(uuid: str, pid: int) -> bool:
    """Tell whether a process is alive in the server's namespace.

    This is what makes a recorded pid trustworthy: a zombie has no namespaces, and a stranger who
    got the number later lives elsewhere.
    """
    try:
        return os.path.samefile(f"/proc/{pid}/ns/net", path(uuid))
    except (FileNotFoundError, ProcessLookupError):
        return False


def create(uuid: str, nics: Sequence[Nic]) -> None:
    """Make the namespace and move the NICs in, under the names they have there."""
    commands.run(["ip", "netns", "add", name(uuid)])
    move_in(uuid, nics)


def move_in(uuid: str, nics: Sequence[Nic]) -> None:
    """Move those NICs into the namespace that are still outside."""
    lines = [
        f"link set {nic.parked} netns {name(uuid)} name {nic.device}\n"
        for nic in nics
        if (_NET / nic.parked).exists()
    ]
    if lines:
        commands.run(["ip", "-batch", "-"], stdin="".join(lines))


def remove(uuid: str, nics: Sequence[Nic]) -> None:
    """Move the NICs out and remove the namespace; nothing happens where there is none."""
    if not path(uuid).exists():
        return
    inside = _devices(uuid)
    lines = [
        f"link set {inside[index]} down\n"
        f"link set {inside[index]} name {nic.parked}\n"
        f"link set {nic.parked} netns {os.getpid()}\n"
        for nic in nics
        if (index := _peer_index(nic)) in inside
    ]
    if lines:
        argv = ["ip", "-n", name(uuid), "-force", "-batch", "-"]
        commands.run(argv, stdin="".join(lines), check=False)
    commands.run(["ip", "netns", "del", name(uuid)])


def _devices(uuid: str) -> dict[int, str]:
    # By index and not by name: a guest may have renamed its devices.
    text = commands.run(["ip", "-n", name(uuid), "-j", "link"], check=False)
    links: list[dict[str, Any]] = json.loads(text or "[]")
    return {link["ifindex"]: link["ifname"] for link in links if "ifindex" in link}


def _peer_index(nic: Nic) -> int | None:
    if (_NET / nic.parked).exists():
        return None  # it is outside, where the same index means another device
    try:
        return int((_NET / nic.tap / "iflink").read_text())
    except OSError:
        return None  # no bridge end, so no guest end either
