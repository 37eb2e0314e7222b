"""Keep BIRD running with its configuration, by its control socket; nothing else.

BIRD compares a new configuration with the old one itself: sessions that do not differ stay up. It
tells by a digest which configuration it has taken, so that an agent that was killed between file
and command is noticed. Called by the pipeline.
"""

import dataclasses
import pathlib
import tempfile
import time
from typing import TYPE_CHECKING

from ...system import daemon, files, process
from .. import base
from . import config

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_NAME = "bgp"
_DAEMON = "bird"
_READY_TIMEOUT_S = 10.0
_POLL_S = 0.05
_REFUSED_STATUS = frozenset({0, 1})


@dataclasses.dataclass(frozen=True, slots=True)
class Desired:
    """The configuration; None means that BIRD is not to run."""

    text: str | None = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """BIRD, its file, and the digest of the configuration that it has taken."""

    running: bool
    text: str | None = dataclasses.field(repr=False)
    taken: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What to do; `write` may hold passwords."""

    stop: bool = False
    write: str | None = dataclasses.field(default=None, repr=False)
    start: bool = False

    def __bool__(self) -> bool:
        return self.stop or self.write is not None


class BgpDriver:
    """See `base.Driver` for the verbs."""

    name = _NAME

    def __init__(self, paths: "Paths") -> None:
        self._file = paths.run_dir / "bird.conf"
        self._socket = paths.run_dir / "bird.ctl"
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)
        argv = (_DAEMON, "-f", "-c", str(self._file), "-s", str(self._socket))
        self._spec = daemon.DaemonSpec(_DAEMON, argv)

    def render(self, document: "Document", facts: base.Facts) -> Desired:
        """Compute BIRD's configuration."""
        return Desired(config.configuration(document, facts))

    def check(self, desired: Desired) -> None:
        """Let BIRD read its configuration."""
        if desired.text is None:
            return
        with tempfile.TemporaryDirectory(prefix="astara-") as directory:
            path = pathlib.Path(directory) / "bird.conf"
            files.write_file(path, desired.text, 0o600)
            try:
                process.run([_DAEMON, "-p", "-c", str(path)])
            except process.CommandFailed as failed:
                reason = f"BIRD refuses its configuration: {failed.stderr.strip()[-200:]}"
                raise base.CheckFailed(_NAME, reason) from failed

    def observe(self) -> Observed:
        """Look for BIRD and its file, and ask it what it has taken."""
        running = self._daemons.is_running(_DAEMON)
        taken = config.mark_of(self._ask("show protocols all device1")) if running else ""
        return Observed(running, files.read_file(self._file), taken)

    def diff(self, observed: Observed, desired: Desired) -> Change:
        """Compute what to do."""
        if desired.text is None:
            return Change(stop=observed.running or observed.text is not None)
        if not observed.running:
            return Change(write=desired.text, start=True)
        as_taken = observed.taken == config.mark_of(desired.text)
        if as_taken and observed.text == desired.text:
            return Change()
        return Change(write=desired.text)

    def explain(self, change: Change) -> tuple[str, ...]:
        """Tell how BIRD differs."""
        told = (
            ("BIRD runs, but is not wanted", change.stop),
            ("BIRD does not run", change.start),
            ("BIRD has another configuration", change.write is not None and not change.start),
        )
        return tuple(line for line, is_so in told if is_so)

    def apply(self, change: Change) -> None:
        """Do it; BIRD takes its learned routes out of the kernel when it is stopped."""
        if change.stop:
            self._daemons.stop(_DAEMON)
            files.remove_file(self._file)
            return
        if change.write is not None:
            files.write_file(self._file, change.write, 0o600)
        if change.start:
            self._daemons.start(self._spec)
            return
        answer = self._ask("configure")
        if "Reconfigur" not in answer:
            raise base.ApplyFailed(_NAME, f"BIRD did not take it: {answer.strip()[-200:]}")

    def verify(self, desired: Desired) -> None:
        """Wait until BIRD tells that it has taken the configuration."""
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while self.diff(self.observe(), desired):
            if time.monotonic() > deadline:
                tail = self._daemons.log_tail(_DAEMON, 200)
                raise base.VerifyFailed(_NAME, f"BIRD is not as wanted; its log ends: {tail}")
            time.sleep(_POLL_S)

    def _ask(self, command: str) -> str:
        """Return BIRD's answer to a command; empty while it does not listen."""
        argv = ["birdc", "-s", str(self._socket), *command.split()]
        done = process.run(argv, accept=_REFUSED_STATUS)
        return done.stdout
