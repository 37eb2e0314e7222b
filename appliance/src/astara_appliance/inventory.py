"""What the appliance is made of, for ``GET /v1/system/facts``.

It only looks. Called by the API.
"""

import dataclasses
import os
import platform

from astara_contract import document as contract
from astara_contract import facts as contract_facts

from . import facts
from .system import daemon, host
from .system.paths import Paths

PROGRAMS = {
    "conntrack": "--version",
    "dnsmasq": "--version",
    "bird": "--version",
    "ip": "-V",
    "nft": "--version",
    "ping": "-V",
    "tc": "-V",
}
"""What the drivers call, and how each tells its version."""


@dataclasses.dataclass(frozen=True, slots=True)
class Agent:
    """This life of the agent."""

    version: str
    booted_at: str
    started_at: str


def take(
    agent: Agent, drivers: tuple[str, ...], names: facts.NicNames, paths: Paths
) -> contract_facts.Facts:
    """Look at everything now."""
    total_kib, available_kib = host.memory_kib()
    return contract_facts.Facts(
        agent_version=agent.version,
        schema_versions=(contract.SCHEMA_VERSION,),
        drivers=drivers,
        kernel=platform.release(),
        machine=platform.machine(),
        python=platform.python_version(),
        cpus=len(os.sched_getaffinity(0)),
        memory_total_kib=total_kib,
        memory_available_kib=available_kib,
        agent_resident_kib=host.resident_kib(),
        booted_at=agent.booted_at,
        uptime_s=host.uptime_s(),
        agent_started_at=agent.started_at,
        programs=tuple(
            contract_facts.Program(name=name, version=host.version(name, option))
            for name, option in PROGRAMS.items()
        ),
        daemons=running(paths),
        interfaces=facts.interfaces(names),
    )


def running(paths: Paths) -> tuple[contract_facts.Daemon, ...]:
    """Return the daemons that live."""
    daemons = daemon.Daemons(paths.run_dir, paths.log_dir)
    found = ((name, daemons.find(name)) for name in daemons.names())
    return tuple(
        contract_facts.Daemon(name=name, pid=life.pid, resident_kib=host.resident_kib(life.pid))
        for name, life in found
        if life is not None
    )
