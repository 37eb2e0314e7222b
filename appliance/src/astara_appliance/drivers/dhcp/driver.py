"""The verbs of DHCP, DNS and router advertisements: dnsmasq, restarted as rarely as possible.

Decides for each dnsmasq between nothing, SIGHUP and restart, when the hosts are shared out anew
among them, and which leases have to end. Which configuration a running dnsmasq has is told by its
arguments (the base file's name holds its digest) and, for what SIGHUP reads, by a record that is
written after the signal; how many shards there are by the names of the lease files. So an agent
killed half-way finishes the change in its next life. It never decides contents (`config`,
`parts`). Called by the pipeline.
"""

import contextlib
import dataclasses
import re
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...system import daemon, process
from .. import base, links
from ..firewall import nft
from . import fan_out, folders, hosts, leases, questions, release
from .config import Config, Place, config
from .parts import Part, count_of, parts, placing
from .shards import count

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_NAME = "dhcp"
_PROGRAM = "dnsmasq"
_OF_OURS = re.compile(r"dnsmasq(-v6|-[0-9]+of[0-9]+)?")
_HOSTS_AT_MOST = 1500  # reloaded in some 80 ms with all their leases
_RELEASE_TIMEOUT_S = 1.0
_POLL_S = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """What dnsmasq is to be told; no config means that it is not to run."""

    config: Config | None


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """What runs, what it has read, and what lies on disk."""

    running: Mapping[str, daemon.RunningDaemon]
    loaded: Mapping[str, str]
    """Digests of the files that each running dnsmasq read last, if known."""

    reservations: tuple[str, ...]
    leases: Mapping[str, str]
    """Lease files by name."""

    fan_out: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What to do, in the order of the fields."""

    stop: tuple[str, ...] = ()
    fan_out: str | None = None
    parts: tuple[Part, ...] = ()
    """All that are wanted; their files are written."""

    misplaced: tuple[str, ...] = ()
    """Lease files whose leases go to others."""

    start: tuple[Part, ...] = ()
    reload: tuple[Part, ...] = ()
    release: Mapping[str, tuple[leases.Lease, ...]] = dataclasses.field(default_factory=dict)
    """By lease file."""

    places: tuple[Place, ...] = ()

    def __bool__(self) -> bool:
        changes = (self.stop, self.misplaced, self.start, self.reload, self.release)
        return any(changes) or self.fan_out is not None


class DhcpDriver:
    """See `base.Driver` for the verbs."""

    def __init__(self, paths: "Paths", hosts_at_most: int = _HOSTS_AT_MOST) -> None:
        self._limit = hosts_at_most
        self._folders = folders.Folders(paths)
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)
        self._fan_out = fan_out.FanOut()
        self._made: tuple[Config, int, tuple[Part, ...]] | None = None

    @property
    def name(self) -> str:
        """The word that errors and logs use."""
        return _NAME

    def render(self, document: "Document", facts: base.Facts) -> Desired:
        """Compute dnsmasq's configuration for `document`."""
        of = links.links(document, facts)
        return Desired(config(of, document.dns_forwarders, document.dns_domain))

    def check(self, desired: Desired) -> None:
        """Let dnsmasq read each base, and the reservations; of very many those that no dnsmasq
        has read yet.

        Options are vetted where they are rendered, and one that dnsmasq still refuses costs a line
        in its log, not its service.
        """
        if desired.config is None:
            return
        many = len(desired.config.reservations) > self._limit
        read = frozenset(self._folders.reservations()) if many else frozenset()
        for part in self._parts(desired.config, self._folders.lease_names()):
            lines = part.files.get("reservations", "").splitlines()
            new = "".join(f"dhcp-host={line}\n" for line in lines if line not in read)
            _test(part.base + new)

    def observe(self) -> Observed:
        """Look for dnsmasq and at its files."""
        running = self._running()
        return Observed(
            running=running,
            loaded=self._folders.loaded(running),
            reservations=self._folders.reservations(),
            leases=self._folders.lease_files(),
            fan_out=self._fan_out.marks(),
        )

    def diff(self, observed: Observed, desired: Desired) -> Change:
        """Compute the gentlest way."""
        told = desired.config
        if told is None:
            off = "" if observed.fan_out else None
            return Change(stop=tuple(observed.running), fan_out=off)
        wanted = self._parts(told, observed.leases)
        misplaced = set(observed.leases) - {part.lease_file for part in wanted}
        gaining = _gaining(observed.leases, wanted) if misplaced else frozenset()
        start = tuple(part for part in wanted if self._starts(part, observed, gaining))
        stay = {part.name: part for part in wanted if part not in start}
        devices = {place.device for place in told.places}
        is_shared = count_of(part.lease_file for part in wanted) > 1
        rule = fan_out.rule(devices) if is_shared else ""
        return Change(
            stop=tuple(sorted(set(observed.running) - set(stay))),
            fan_out=None if fan_out.is_loaded(observed.fan_out, rule) else rule,
            parts=wanted,
            misplaced=tuple(sorted(misplaced)),
            start=start,
            reload=tuple(
                part
                for name, part in stay.items()
                if observed.loaded.get(name) != folders.digest(part)
            ),
            release=_stale(observed, told),
            places=told.places,
        )

    def explain(self, change: Change) -> tuple[str, ...]:
        """Tell how dnsmasq differs."""
        start, stop = {part.name for part in change.start}, set(change.stop)
        told = [f"{name} runs, but is not wanted" for name in sorted(stop - start)]
        told += [f"{name} runs with another configuration" for name in sorted(stop & start)]
        told += [f"{name} does not run" for name in sorted(start - stop)]
        told += [f"{part.name} has not read its files" for part in change.reload]
        if change.misplaced:
            told.append(f"{len(change.misplaced)} lease files that nothing looks into")
        if change.fan_out is not None:
            told.append("the rules that let every dnsmasq hear renewals are not as wanted")
        ending = sum(len(of_file) for of_file in change.release.values())
        return (*told, *([f"{ending} leases without a reservation"] if ending else []))

    def apply(self, change: Change) -> None:
        """Do it; raises DaemonDied when a dnsmasq does not stay up."""
        for part in change.parts:
            self._folders.write(part)
        replaced = _PROGRAM in change.stop and any(part.name == _PROGRAM for part in change.start)
        with questions.kept() if replaced else contextlib.nullcontext():
            for name in change.stop:
                self._daemons.stop(name)
            if change.fan_out is not None:
                self._load(change.fan_out)
            self._start(change, change.start)
        for part in change.reload:
            self._daemons.signal(part.name, signal.SIGHUP)
        self._remember(change.reload)
        self._end_leases(change)
        self._folders.remove_others(change.parts)

    def verify(self, desired: Desired) -> None:
        """See that each dnsmasq lives and has read what it should."""
        left = self.diff(self.observe(), desired)
        if left:
            tail = self._daemons.log_tail(_PROGRAM)
            told = "; ".join(self.explain(left))
            raise base.VerifyFailed(_NAME, f"{told}; the log of dnsmasq ends: {tail}")

    def _parts(self, of: Config, lease_files: Iterable[str]) -> tuple[Part, ...]:
        """Return the processes that are wanted where there are these lease files; the same values
        for the same configuration: thousands of lines need their time.
        """
        shards = count(len(of.reservations), count_of(lease_files), self._limit)
        if self._made is None or self._made[0] is not of or self._made[1] != shards:
            self._made = (of, shards, parts(of, shards))
        return self._made[2]

    def _starts(self, part: Part, observed: Observed, gaining: frozenset[str]) -> bool:
        running = observed.running.get(part.name)
        is_as_wanted = running is not None and running.argv == self._folders.spec(part).argv
        return not is_as_wanted or part.lease_file in gaining

    def _start(self, change: Change, start: Sequence[Part]) -> None:
        """Start processes, with the leases that belong to them and still have a ground."""
        if not start and not change.misplaced:
            return
        gone = [lease for of_file in change.release.values() for lease in of_file]
        into = [part.lease_file for part in start if part.lease_file]
        self._folders.share_out(change.parts, into, gone)
        self._daemons.start_all([self._folders.spec(part) for part in start])
        self._remember(start)

    def _end_leases(self, change: Change) -> None:
        """Give leases back to the running dnsmasq; restart one that does not take them."""
        kept = {part.lease_file: part for part in change.parts if part not in change.start}
        left = {name: found for name, found in change.release.items() if name in kept}
        if not left:
            return
        try:
            given = [lease for of_file in left.values() for lease in of_file]
            release.release(given, change.places, to_all=len(change.parts) > 1)
            stubborn = self._holding(left)
        except OSError:
            stubborn = set(left)  # the backup of a pair has no address to send to
        restart = [kept[name] for name in sorted(stubborn)]
        if not restart:
            return
        with questions.kept():
            for part in restart:
                self._daemons.stop(part.name)
            self._start(change, restart)

    def _holding(self, left: Mapping[str, Sequence[leases.Lease]]) -> set[str]:
        """Return the lease files that still have one of these leases when time is up."""
        holding = set(left)
        deadline = time.monotonic() + _RELEASE_TIMEOUT_S
        before: dict[str, str] = {}
        while holding and time.monotonic() < deadline:
            texts = {name: self._folders.leased(name) for name in holding}
            # dnsmasq empties the file and writes it anew for each lease: one that has not just
            # been the same may be such a half.
            holding -= {
                name
                for name, text in texts.items()
                if text == before.get(name) and not leases.held(text, left[name])
            }
            before = texts
            time.sleep(_POLL_S)
        return holding

    def _load(self, rule: str) -> None:
        try:
            self._fan_out.load(rule)
        except nft.Refused as refused:
            raise base.ApplyFailed(_NAME, f"nft refuses the rules: {refused}") from refused

    def _remember(self, read: Sequence[Part]) -> None:
        if read:
            self._folders.remember(read, self._running())

    def _running(self) -> Mapping[str, daemon.RunningDaemon]:
        names = (name for name in self._daemons.names() if _OF_OURS.fullmatch(name))
        found = {name: self._daemons.find(name) for name in names}
        return {name: life for name, life in found.items() if life is not None}


def _test(text: str) -> None:
    try:
        process.run([_PROGRAM, "--test", "--conf-file=-"], stdin=text)
    except process.CommandFailed as failed:
        told = failed.stderr.strip()[:300] or failed.reason
        raise base.CheckFailed(_NAME, f"dnsmasq --test: {told}") from failed


def _gaining(lease_files: Mapping[str, str], wanted: Sequence[Part]) -> frozenset[str]:
    """Return the lease files that get leases which are elsewhere now."""
    into = [part.lease_file for part in wanted if part.lease_file]
    placed = leases.shared_out(lease_files, into, placing(into))
    return frozenset(name for name in into if placed[name] != lease_files.get(name, ""))


def _stale(observed: Observed, told: Config) -> dict[str, tuple[leases.Lease, ...]]:
    """Return by lease file the leases that have to end."""
    # Who had an address before is asked of leases of IPv6 alone.
    has_v6 = any("duid" in text for text in observed.leases.values())
    before = hosts.reserved_addresses(observed.reservations) if has_v6 else {}
    now = hosts.reserved_addresses(told.reservations)
    found = {name: leases.stale(text, before, now) for name, text in observed.leases.items()}
    return {name: of_file for name, of_file in found.items() if of_file}
