"""The verbs of DHCP, DNS and router advertisements: one dnsmasq, restarted as rarely as possible.

Decides between nothing, SIGHUP and restart. Which configuration a running dnsmasq has is told by
its arguments (the base file's name holds its digest) and, for what SIGHUP reads, by a record that
is written after the signal; so an agent killed half-way finishes the change in its next life. It
never decides contents (`config`). Called by the pipeline.
"""

import dataclasses
import hashlib
import json
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...system import daemon, files, process
from .. import base, links
from . import hosts, leases
from .config import Config, config

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_NAME = "dhcp"
_DAEMON = "dnsmasq"


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """What dnsmasq is to be told; no config means that it is not to run."""

    config: Config | None


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """What runs, what it has read, and what lies on disk."""

    running: daemon.RunningDaemon | None
    loaded: str
    """Digest of the files that the running dnsmasq read last, empty if unknown."""

    reservations: str
    leases: str


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What to do, in the order of the fields."""

    stop: bool = False
    release: frozenset[str] = frozenset()
    write: Mapping[str, str] = dataclasses.field(default_factory=dict)
    start: daemon.DaemonSpec | None = None
    reload: bool = False

    def __bool__(self) -> bool:
        return self.stop or self.start is not None or self.reload


class DhcpDriver:
    """See `base.Driver` for the verbs."""

    def __init__(self, paths: "Paths") -> None:
        self._directory = paths.run_dir / _DAEMON
        self._leases = paths.state_dir / "dnsmasq.leases"
        self._record = self._directory / "loaded.json"
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)

    @property
    def name(self) -> str:
        """The word that errors and logs use."""
        return _NAME

    def render(self, document: "Document", facts: base.Facts) -> Desired:
        """Compute dnsmasq's files for `document`."""
        of = links.links(document, facts)
        return Desired(config(of, document.dns_forwarders, document.dns_domain))

    def check(self, desired: Desired) -> None:
        """Let dnsmasq read the base and every reservation.

        Options are vetted where they are rendered, and one that dnsmasq still refuses costs a line
        in its log, not its service.
        """
        if desired.config is None:
            return
        reservations = desired.config.reservations.splitlines()
        text = desired.config.base + "".join(f"dhcp-host={line}\n" for line in reservations)
        try:
            process.run([_DAEMON, "--test", "--conf-file=-"], stdin=text)
        except process.CommandFailed as failed:
            reason = f"dnsmasq refuses its configuration: {failed.stderr.strip()[:300]}"
            raise base.CheckFailed(_NAME, reason or failed.reason) from failed

    def observe(self) -> Observed:
        """Look for dnsmasq and at its files."""
        running = self._daemons.find(_DAEMON)
        return Observed(
            running=running,
            loaded=self._loaded_by(running),
            reservations=files.read_file(self._directory / "reservations") or "",
            leases=files.read_file(self._leases) or "",
        )

    def diff(self, observed: Observed, desired: Desired) -> Change:
        """Compute the gentlest way."""
        if desired.config is None:
            return Change(stop=observed.running is not None)
        write = self._files(desired.config)
        spec = self._spec(desired.config)
        stale = leases.stale(
            observed.leases,
            hosts.reserved_addresses(observed.reservations.splitlines()),
            hosts.reserved_addresses(desired.config.reservations.splitlines()),
        )
        running = observed.running
        if running is None or running.argv != spec.argv or stale:
            return Change(running is not None, stale, write, spec)
        if observed.loaded != _digest(write):
            return Change(write=write, reload=True)
        return Change()

    def apply(self, change: Change) -> None:
        """Do it; raises DaemonDied when dnsmasq does not stay up."""
        if change.stop:
            self._daemons.stop(_DAEMON)
        if change.release:
            text = files.read_file(self._leases) or ""
            files.write_file(self._leases, leases.without(text, change.release), 0o644)
        for name, text in change.write.items():
            # Readable by all: dnsmasq gives up root before it reads them.
            files.write_file(self._directory / name, text, 0o644)
        if change.start is not None:
            self._leases.parent.mkdir(parents=True, exist_ok=True)
            self._daemons.start(change.start)
        elif change.reload:
            self._daemons.signal(_DAEMON, signal.SIGHUP)
        if change.start is not None or change.reload:
            self._remember(change.write)
        self._remove_other_bases(change.write)

    def verify(self, desired: Desired) -> None:
        """See that dnsmasq lives and has read what it should."""
        left = self.diff(self.observe(), desired)
        if left:
            tail = self._daemons.log_tail(_DAEMON)
            raise base.VerifyFailed(_NAME, f"dnsmasq is not as wanted; its log ends: {tail}")

    def _spec(self, wanted: Config) -> daemon.DaemonSpec:
        path = self._directory / _base_name(wanted.base)
        return daemon.DaemonSpec(
            name=_DAEMON, argv=(_DAEMON, "--keep-in-foreground", f"--conf-file={path}")
        )

    def _files(self, wanted: Config) -> dict[str, str]:
        where = self._directory
        placed = (
            f"addn-hosts={where}/names\n"
            f"dhcp-hostsfile={where}/reservations\n"
            f"dhcp-optsfile={where}/options\n"
            f"servers-file={where}/servers\n"
            f"dhcp-leasefile={self._leases}\n"
            "pid-file=\n"
            "log-facility=-\n"
        )
        return {
            _base_name(wanted.base): wanted.base + placed,
            "names": wanted.names,
            "options": wanted.options,
            "servers": wanted.servers,
            "reservations": wanted.reservations,
        }

    def _loaded_by(self, running: daemon.RunningDaemon | None) -> str:
        try:
            record = json.loads(files.read_file(self._record) or "{}")
        except ValueError:
            return ""
        if running is None or not isinstance(record, dict):
            return ""
        life = [running.pid, running.start_ticks]
        return str(record.get("digest", "")) if record.get("life") == life else ""

    def _remember(self, written: Mapping[str, str]) -> None:
        running = self._daemons.find(_DAEMON)
        if running is None:
            return
        record = {"life": [running.pid, running.start_ticks], "digest": _digest(written)}
        files.write_file(self._record, json.dumps(record), 0o644)

    def _remove_other_bases(self, written: Mapping[str, str]) -> None:
        for path in sorted(self._directory.glob("base-*.conf")):
            if path.name not in written:
                files.remove_file(path)


def _base_name(text: str) -> str:
    return f"base-{hashlib.sha256(text.encode()).hexdigest()[:16]}.conf"


def _digest(written: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()
