"""Run conntrackd in a pair whose connections are synchronised, and nowhere else.

It never decides when connections enter this kernel: that is the guard's. Called by the pipeline.
"""

import dataclasses
from typing import TYPE_CHECKING

from ...pair import settings
from ...system import daemon, files, management, sysctl
from .. import base
from ..vrrp.config import own_address
from ..vrrp.driver import management_addresses
from . import config

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_NAME = "conntrack"
_DAEMON = "conntrackd"
_EVENTS = "net/netfilter/nf_conntrack_events"


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """The configuration; None means that conntrackd is not to run."""

    text: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """conntrackd, its file, and whether the kernel tells it of all connections."""

    running: daemon.RunningDaemon | None
    text: str | None
    events: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What to do, in the order of the fields."""

    stop: bool = False
    write: str | None = None
    start: bool = False

    def __bool__(self) -> bool:
        return self.stop or self.start


class ConntrackDriver:
    """See `base.Driver` for the verbs."""

    def __init__(self, paths: "Paths") -> None:
        self._run_dir = paths.run_dir
        self._places = settings.Places(paths.run_dir)
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)
        self._booted = management.load(paths.state_dir)

    @property
    def name(self) -> str:
        """The word that errors and logs use."""
        return _NAME

    def render(self, document: "Document", facts: base.Facts) -> Desired:
        """Compute conntrackd's configuration."""
        pair, nic = document.ha_config, facts.management
        if pair is None or not pair.synchronise_connections or nic is None:
            return Desired(None)
        peer = pair.peers[0]
        own = own_address(peer, management_addresses(document, self._booted))
        return Desired(config.configuration(nic.device, own, peer, self._run_dir))

    def check(self, desired: Desired) -> None:
        """Accept: conntrackd has no checker, its configuration is ours alone."""

    def observe(self) -> Observed:
        """Look for conntrackd and its file."""
        return Observed(
            running=self._daemons.find(_DAEMON),
            text=files.read_file(self._places.conntrackd),
            events=sysctl.get(_EVENTS),
        )

    def diff(self, observed: Observed, desired: Desired) -> Change:
        """Compute what to do; another configuration needs a restart."""
        running = observed.running
        if desired.text is None:
            return Change(stop=running is not None)
        if running and observed.text == desired.text and observed.events == "1":
            return Change()
        return Change(stop=running is not None, write=desired.text, start=True)

    def explain(self, change: Change) -> tuple[str, ...]:
        """Tell how conntrackd differs."""
        told = (
            ("conntrackd runs, but is not wanted", change.stop and not change.start),
            ("conntrackd runs with another configuration", change.stop and change.start),
            ("conntrackd does not run", change.start and not change.stop),
        )
        return tuple(line for line, is_so in told if is_so)

    def apply(self, change: Change) -> None:
        """Do it; raises DaemonDied when conntrackd does not stay up."""
        if change.stop:
            self._daemons.stop(_DAEMON)
        if change.write is None:
            files.remove_file(self._places.conntrackd)
            return
        # "Automatic" would leave out connections that are older than conntrackd.
        sysctl.put(_EVENTS, "1")
        for left in ("conntrackd.lock", "conntrackd.ctl"):
            files.remove_file(self._run_dir / left)
        files.write_file(self._places.conntrackd, change.write, 0o644)
        argv = (_DAEMON, "-C", str(self._places.conntrackd))
        self._daemons.start(daemon.DaemonSpec(_DAEMON, argv))

    def verify(self, desired: Desired) -> None:
        """See that conntrackd lives."""
        if self.diff(self.observe(), desired):
            tail = self._daemons.log_tail(_DAEMON)
            raise base.VerifyFailed(_NAME, f"conntrackd is not as wanted; its log ends: {tail}")
