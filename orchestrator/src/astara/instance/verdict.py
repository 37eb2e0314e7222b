"""What state an instance is in, from what was seen; pure.

Decides by one rule list, first match wins. Called by the verbs of an instance; the automaton then
decides what to do about it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from astara_contract.status import Status

from .. import clock
from ..clients.nova import Server
from ..machine.vocabulary import InstanceState

# Nova's words for a server that is on its way or running. Whatever is not listed needs a new
# server: stopped, paused, failed and deleted ones serve nobody.
_STARTING = frozenset({"BUILD", "REBUILD"})
_RUNNING = frozenset(
    {
        "ACTIVE",
        "REBOOT",
        "HARD_REBOOT",
        "MIGRATING",
        "RESIZE",
        "VERIFY_RESIZE",
        "REVERT_RESIZE",
        "PASSWORD",
        "UNKNOWN",
    }
)
_REMEMBERED = frozenset({InstanceState.UP, InstanceState.CONFIGURED, InstanceState.HOTPLUG_NEEDED})


@dataclass(frozen=True, slots=True)
class Desired:
    """What a healthy appliance reports. ``macs`` is None if a carrier does not exist yet."""

    macs: frozenset[str] | None
    digest: str | None


def usable(server: Server) -> bool:
    """Say whether a server can become or stay an appliance."""
    return server.status in _STARTING | _RUNNING and server.task_state != "deleting"


def running(server: Server) -> bool:
    """Say whether it makes sense to probe the appliance in a server."""
    return usable(server) and server.status in _RUNNING


def choose(servers: Collection[Server], holder: str = "") -> Server | None:
    """Pick the server that counts: the holder of the ports, if that is known and usable.

    Else one that runs, because it has the ports; else the oldest usable one.
    """
    for server in servers:
        if server.id == holder and usable(server):
            return server
    for fit in (running, usable):
        for server in servers:
            if fit(server):
                return server
    return next(iter(servers), None)


def judge(
    server: Server | None,
    status: Status | None,
    desired: Desired,
    previous: InstanceState,
    *,
    answered_before: bool,
) -> InstanceState:
    """Name the state; ``status`` is the appliance's answer to a probe, None if silent."""
    if status is not None:
        return answers(status, desired)
    if server is None:
        return InstanceState.DOWN
    if not usable(server):
        return InstanceState.RESTART_NEEDED
    if server.status in _STARTING or not answered_before:
        return InstanceState.BOOTING
    return previous if previous in _REMEMBERED else InstanceState.UP


def answers(status: Status, desired: Desired) -> InstanceState:
    """Name the state of an instance whose appliance answers."""
    if desired.macs is None or nics(status) != desired.macs:
        return InstanceState.HOTPLUG_NEEDED
    if desired.digest is not None and status.digest == desired.digest:
        return InstanceState.CONFIGURED
    return InstanceState.UP


def nics(status: Status) -> frozenset[str]:
    """Return the MACs that an appliance reports."""
    return frozenset(nic.lladdr.lower() for nic in status.interfaces)


def age_s(server: Server, now: float | None = None) -> float | None:
    """Return how long ago Nova created or last started a server, None if it does not say."""
    stamps = [stamp for stamp in (server.created, server.launched_at) if stamp]
    if not stamps:
        return None
    latest = max(datetime.fromisoformat(_utc(stamp)).timestamp() for stamp in stamps)
    return max(0.0, (clock.SYSTEM.wall() if now is None else now) - latest)


def _utc(stamp: str) -> str:
    """Nova writes UTC with and without saying so."""
    return stamp if stamp.endswith("Z") or "+" in stamp else stamp + "+00:00"
