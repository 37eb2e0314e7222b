"""Where each dnsmasq has its files: what it is told, what it has leased, what it read last.

The one that everything starts with has `run_dir`/dnsmasq and `state_dir`/dnsmasq.leases; the
others a folder below the former and a lease file beside the latter. It never decides contents
(`parts`, `leases`), nor what runs. Called by `driver`.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...system import daemon, files
from . import leases
from .parts import Part, placing

if TYPE_CHECKING:
    import pathlib

    from ...system.paths import Paths

_PROGRAM = "dnsmasq"
_STARTED = "started, version"  # in its log, once its sockets are open
_LEASE_FILES = "dnsmasq*.leases"
_OPTIONS = {
    "names": "addn-hosts",
    "reservations": "dhcp-hostsfile",
    "options": "dhcp-optsfile",
    "servers": "servers-file",
}


class Folders:
    """The files of all dnsmasq processes of one appliance."""

    def __init__(self, paths: "Paths") -> None:
        self._directory = paths.run_dir / _PROGRAM
        self._state = paths.state_dir
        self._record = self._directory / "loaded.json"

    def spec(self, part: Part) -> daemon.DaemonSpec:
        """Return how to run `part`; its arguments change with what needs a restart."""
        path = self._of(part) / _base_name(part)
        argv = (_PROGRAM, "--keep-in-foreground", f"--conf-file={path}")
        return daemon.DaemonSpec(name=part.name, argv=argv, started_line=_STARTED)

    def write(self, part: Part) -> None:
        """Write what `part` is told."""
        where = self._of(part)
        lines = [f"{_OPTIONS[name]}={where}/{name}" for name in part.files]
        if part.lease_file:
            lines.append(f"dhcp-leasefile={self._state}/{part.lease_file}")
        lines += ["pid-file=", "log-facility=-"]
        base = part.base + "".join(f"{line}\n" for line in lines)
        for name, text in (*part.files.items(), (_base_name(part), base)):
            # Readable by all: dnsmasq gives up root before it reads them.
            files.write_file(where / name, text, 0o644)

    def remove_others(self, parts: Sequence[Part]) -> None:
        """Remove the files of processes that are not among `parts`, and of earlier bases."""
        wanted = {
            self._of(part) / name for part in parts for name in (*part.files, _base_name(part))
        }
        for path in sorted(self._directory.rglob("*"), reverse=True):
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in wanted and path != self._record and not path.name.startswith("."):
                files.remove_file(path)

    def reservations(self) -> tuple[str, ...]:
        """Return the lines of all reservations."""
        paths = sorted(self._directory.rglob("reservations"))
        return tuple(line for path in paths for line in (files.read_file(path) or "").splitlines())

    def lease_names(self) -> list[str]:
        """Return the names of all lease files."""
        return sorted(path.name for path in self._state.glob(_LEASE_FILES))

    def lease_files(self) -> Mapping[str, str]:
        """Return all lease files by name."""
        return {name: self.leased(name) for name in self.lease_names()}

    def leased(self, lease_file: str) -> str:
        """Return the text of a lease file."""
        return files.read_file(self._state / lease_file) or ""

    def share_out(
        self, parts: Sequence[Part], into: Collection[str], gone: Collection[leases.Lease]
    ) -> None:
        """Bring the leases of all files, but those that are `gone`, where `parts` look for them;
        write only the files `into`, whose processes do not run.
        """
        present = self.lease_files()
        wanted = [part.lease_file for part in parts if part.lease_file]
        kept = {name: leases.without(text, gone) for name, text in present.items()}
        placed = leases.shared_out(kept, wanted, placing(wanted))
        for name in into:
            files.write_file(self._state / name, placed[name], 0o644)
        for name in present:
            if name not in wanted:
                files.remove_file(self._state / name)

    def loaded(self, running: Mapping[str, daemon.RunningDaemon]) -> Mapping[str, str]:
        """Return the digest of what each running process has read last, where it is known."""
        return {
            name: str(told["digest"])
            for name, told in self._records().items()
            if name in running and told.get("life") == _life(running[name])
        }

    def remember(self, parts: Iterable[Part], running: Mapping[str, daemon.RunningDaemon]) -> None:
        """Record that these processes have read what `parts` say."""
        records = {name: told for name, told in self._records().items() if name in running}
        for part in parts:
            if part.name in running:
                records[part.name] = {"life": _life(running[part.name]), "digest": digest(part)}
        files.write_file(self._record, json.dumps(records), 0o644)

    def _records(self) -> dict[str, dict[str, object]]:
        try:
            records = json.loads(files.read_file(self._record) or "{}")
        except ValueError:
            return {}
        if not isinstance(records, dict):
            return {}
        return {
            name: told
            for name, told in records.items()
            if isinstance(told, dict) and "digest" in told
        }

    def _of(self, part: Part) -> "pathlib.Path":
        return self._directory / part.folder


def digest(part: Part) -> str:
    """Return the digest of what SIGHUP reads."""
    return hashlib.sha256(json.dumps(dict(part.files)).encode()).hexdigest()


def _life(of: daemon.RunningDaemon) -> list[int]:
    return [of.pid, of.start_ticks]


def _base_name(part: Part) -> str:
    return f"base-{hashlib.sha256(part.base.encode()).hexdigest()[:16]}.conf"
