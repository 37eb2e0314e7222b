"""Keep the guard of a pair running and told; end it where the appliance is single.

The guard, not this driver, adds and removes the router's addresses: only it knows the role at each
moment. Drift of them is told here and put right by waking the guard. Called by the pipeline.
"""

import contextlib
import dataclasses
import pathlib
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from ...pair import fence, settings
from ...system import daemon, files, management, netlink, process
from .. import base
from ..firewall import nft
from ..interfaces import plan as interfaces_plan
from . import config

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_NAME = "vrrp"
_OBEY_TIMEOUT_S = 5.0
_POLL_S = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """Texts of keepalived and of the guard, and the latter's meaning; None for a single one."""

    keepalived: str | None
    told: settings.Settings | None


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """Guard, files, tables and addresses."""

    running: bool
    keepalived: str | None
    told: str | None
    state: settings.State | None
    fenced: bool
    addresses: frozenset[tuple[str, str]]
    """(device, "ip/prefix") of all NICs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What to do."""

    stop: bool = False
    write: tuple[str, str] | None = None
    """Texts of keepalived and of the guard."""

    start: bool = False
    wake: bool = False

    def __bool__(self) -> bool:
        return self.stop or self.start or self.wake


class VrrpDriver:
    """See `base.Driver` for the verbs."""

    def __init__(self, paths: "Paths") -> None:
        self._places = settings.Places(paths.run_dir)
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)
        self._nft = nft.connect()
        self._booted = management.load(paths.state_dir)
        program = (sys.executable, "-I", "-m", "astara_appliance.cmd.pair_guard")
        where = (str(paths.run_dir), str(paths.log_dir))
        self._spec = daemon.DaemonSpec(settings.GUARD, (*program, *where))

    @property
    def name(self) -> str:
        """The word that errors and logs use."""
        return _NAME

    def render(self, document: "Document", facts: base.Facts) -> Desired:
        """Compute what guard and keepalived are told."""
        own = management_addresses(document, self._booted)
        found = config.configuration(document, facts, own, self._places)
        return Desired(*found) if found else Desired(None, None)

    def check(self, desired: Desired) -> None:
        """Let keepalived read its configuration."""
        if desired.keepalived is None:
            return
        with tempfile.TemporaryDirectory(prefix="astara-") as directory:
            path = pathlib.Path(directory) / "keepalived.conf"
            path.write_text(desired.keepalived)
            try:
                process.run(["keepalived", "--config-test", f"--use-file={path}"])
            except process.CommandFailed as failed:
                reason = f"keepalived refuses its configuration: {failed.stderr.strip()[:300]}"
                raise base.CheckFailed(_NAME, reason) from failed

    def observe(self) -> Observed:
        """Look for the guard, its files and its tables, and at the addresses."""
        running = self._daemons.is_running(settings.GUARD)
        if not running and files.read_file(self._places.settings) is None:
            return Observed(False, None, None, None, False, frozenset())
        with netlink.opened() as kernel:
            present = kernel.addresses()
            addresses = frozenset(
                (link.device, interfaces_plan.normal(address))
                for link in kernel.links()
                for address in present.get(link.index, frozenset())
            )
        return Observed(
            running=running,
            keepalived=files.read_file(self._places.keepalived),
            told=files.read_file(self._places.settings),
            state=settings.read_state(self._places),
            fenced=fence.is_up(self._nft),
            addresses=addresses,
        )

    def diff(self, observed: Observed, desired: Desired) -> Change:
        """Compute what the guard lacks."""
        if desired.keepalived is None or desired.told is None:
            return Change(stop=observed.running or observed.told is not None)
        texts = (desired.keepalived, settings.encode(desired.told))
        if not observed.running:
            return Change(write=texts, start=True)
        obeyed = observed.state.settings if observed.state else None
        as_written = (observed.keepalived, observed.told) == texts
        is_told = as_written and obeyed == settings.digest(texts[1])
        if is_told and observed.fenced and not _astray(observed, desired.told):
            return Change()
        return Change(write=texts, wake=True)

    def explain(self, change: Change) -> tuple[str, ...]:
        """Tell how the guard differs."""
        told = (
            ("the guard of a pair runs, but is not wanted", change.stop),
            ("the guard of the pair does not run", change.start),
            ("the guard of the pair is not as it should be", change.wake),
        )
        return tuple(line for line, is_so in told if is_so)

    def apply(self, change: Change) -> None:
        """Do it; raises DaemonDied when the guard does not stay up."""
        if change.stop:
            self._end()
            return
        if change.write is not None:
            keepalived, told = change.write
            files.write_file(self._places.keepalived, keepalived, 0o600)
            files.write_file(self._places.settings, told, 0o644)
        if change.start:
            files.remove_file(self._places.state)
            self._daemons.start(self._spec)
        elif change.wake:
            self._daemons.reload(self._spec)

    def verify(self, desired: Desired) -> None:
        """Wait until the guard has obeyed."""
        deadline = time.monotonic() + _OBEY_TIMEOUT_S
        while self.diff(self.observe(), desired):
            if time.monotonic() > deadline:
                tail = self._daemons.log_tail(settings.GUARD)
                raise base.VerifyFailed(_NAME, f"the guard does not obey; its log ends: {tail}")
            time.sleep(_POLL_S)

    def _end(self) -> None:
        """Leave what is configured to the drivers of a single appliance."""
        places = self._places
        state = settings.read_state(places)
        if state is not None and state.told.role == "master":
            # Before its lease runs out: the guard and keepalived take seconds to end.
            self._remove_fence()
        self._daemons.stop(settings.GUARD)
        self._daemons.stop(settings.KEEPALIVED)
        self._remove_fence()
        for path in (places.settings, places.state, places.keepalived, places.fifo):
            files.remove_file(path)

    def _remove_fence(self) -> None:
        with contextlib.suppress(nft.Refused):
            self._nft.run(fence.removal())


def management_addresses(
    document: "Document", booted: management.Management | None
) -> tuple[str, ...]:
    """Return the addresses of management: those of the document, then those since boot."""
    listed = [
        address
        for network in document.networks
        if network.network_type == "management"
        for address in network.interface.addresses
    ]
    return (*listed, *(booted.addresses if booted else ()))


def _astray(observed: Observed, wanted: settings.Settings) -> bool:
    """Tell whether the router's addresses are not where the role wants them."""
    there = {item for item in observed.addresses if item[0] in wanted.carriers}
    if observed.state is None or observed.state.told.role != "master":
        return bool(there)
    return there != {(item.device, item.address) for item in wanted.addresses}
