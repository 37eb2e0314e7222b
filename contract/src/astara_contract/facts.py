"""What an appliance tells about itself beside its status: what it is made of, and how it differs
from what it should be.

Decoding ignores unknown keys, as with `status`. Answers of ``GET /v1/system/facts`` and ``GET
/v1/system/drift``.
"""

import msgspec

from astara_contract.status import InterfaceState


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program that the drivers use; `version` is None where it is not installed."""

    name: str
    version: str | None = None


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon that the appliance started and that lives."""

    name: str
    pid: int
    resident_kib: int = 0


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of ``GET /v1/system/facts``. Times are ISO 8601 in UTC, memory is in KiB."""

    agent_version: str
    schema_versions: tuple[int, ...] = ()
    drivers: tuple[str, ...] = ()
    """In the order in which they are applied."""

    kernel: str = ""
    machine: str = ""
    python: str = ""
    cpus: int = 0
    memory_total_kib: int = 0
    memory_available_kib: int = 0
    agent_resident_kib: int = 0
    booted_at: str = ""
    uptime_s: float = 0.0
    agent_started_at: str = ""
    programs: tuple[Program, ...] = ()
    daemons: tuple[Daemon, ...] = ()
    interfaces: tuple[InterfaceState, ...] = ()


class DriverDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How one driver's part differs now, in words, and how often the agent has put it right since
    it started.
    """

    driver: str
    differences: tuple[str, ...] = ()
    repaired: int = 0
    repairs_failed: int = 0
    repaired_at: str | None = None


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of ``GET /v1/system/drift`` and of ``POST /v1/system/drift/repair``.

    `digest` is that of the document in effect, with which the appliance was compared. After a
    repair, `acted` names the drivers that had to act and `drivers` what is left.
    """

    digest: str | None
    clean: bool
    drivers: tuple[DriverDrift, ...]
    acted: tuple[str, ...] = ()
