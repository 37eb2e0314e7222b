"""The verbs of DHCP, DNS and router advertisements: one dnsmasq, restarted as rarely as possible.

Decides between nothing, SIGHUP and restart, and which leases have to end. Which configuration a
running dnsmasq has is told by its arguments (the base file's name holds its digest) and, for what
SIGHUP reads, by a record that is written after the signal; so an agent killed half-way finishes
the change in its next life. It never decides contents (`config`). Called by the pipeline.
"""

import dataclasses
import hashlib
import json
import signal
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...system import daemon, files, process
from .. import base, links
from . import hosts, leases, release
from .config import Config, Place, config

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_NAME = "dhcp"
_DAEMON = "dnsmasq"
_RELEASE_TIMEOUT_S = 1.0
_POLL_S = 0.01


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
    write: Mapping[str, str] = dataclasses.field(default_factory=dict)
    spec: daemon.DaemonSpec | None = None
    start: bool = False
    reload: bool = False
    release: tuple[leases.Lease, ...] = ()
    places: tuple[Place, ...] = ()

    def __bool__(self) -> bool:
        return self.stop or self.start or self.reload or bool(self.release)


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
            told = failed.stderr.strip()[:300] or failed.reason
            raise base.CheckFailed(_NAME, f"dnsmasq --test: {told}") from failed

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
        starts = running is None or running.argv != spec.argv
        return Change(
            stop=starts and running is not None,
            write=write,
            spec=spec,
            start=starts,
            reload=not starts and observed.loaded != _digest(write),
            release=stale,
            places=desired.config.places,
        )

    def explain(self, change: Change) -> tuple[str, ...]:
        """Tell how dnsmasq differs."""
        told = (
            ("dnsmasq runs, but is not wanted", change.stop and not change.start),
            ("dnsmasq runs with another configuration", change.stop and change.start),
            ("dnsmasq does not run", change.start and not change.stop),
            ("dnsmasq has not read its files", change.reload),
            (f"{len(change.release)} leases without a reservation", bool(change.release)),
        )
        return tuple(line for line, is_so in told if is_so)

    def apply(self, change: Change) -> None:
        """Do it; raises DaemonDied when dnsmasq does not stay up."""
        if change.stop:
            self._daemons.stop(_DAEMON)
        for name, text in change.write.items():
            # Readable by all: dnsmasq gives up root before it reads them.
            files.write_file(self._directory / name, text, 0o644)
        if change.start:
            self._start(change)
        elif change.reload:
            self._daemons.signal(_DAEMON, signal.SIGHUP)
        if change.start or change.reload:
            self._remember(change.write)
        if change.release and not change.start and not self._released(change):
            self._daemons.stop(_DAEMON)
            self._start(change)
            self._remember(change.write)
        self._remove_other_bases(change.write)

    def verify(self, desired: Desired) -> None:
        """See that dnsmasq lives and has read what it should."""
        left = self.diff(self.observe(), desired)
        if left:
            tail = self._daemons.log_tail(_DAEMON)
            raise base.VerifyFailed(_NAME, f"dnsmasq is not as wanted; its log ends: {tail}")

    def _start(self, change: Change) -> None:
        """Start dnsmasq without the leases that have no ground."""
        if change.release:
            text = files.read_file(self._leases) or ""
            files.write_file(self._leases, leases.without(text, change.release), 0o644)
        self._leases.parent.mkdir(parents=True, exist_ok=True)
        if change.spec is not None:
            self._daemons.start(change.spec)

    def _released(self, change: Change) -> bool:
        """Give the leases back to the running dnsmasq; return whether it has taken all of them."""
        try:
            release.release(change.release, change.places)
        except OSError:
            return False  # the backup of a pair has no address to send to
        addresses = {lease.address for lease in change.release}
        deadline = time.monotonic() + _RELEASE_TIMEOUT_S
        before = None
        while time.monotonic() < deadline:
            text = files.read_file(self._leases) or ""
            # dnsmasq empties the file and writes it anew for each lease: one that has not just
            # been the same may be such a half.
            if text == before and addresses.isdisjoint(
                lease.address for lease in leases.parse(text)
            ):
                return True
            before = text
            time.sleep(_POLL_S)
        return False

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
