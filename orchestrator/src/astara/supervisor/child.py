"""Start one child process, listen to its pulse, and keep the account of its restarts.

Decides when a child that died may start again, and for how long one is silent. Used by
`supervisor.parent` alone; never from a thread.
"""

import contextlib
import logging
import os
import subprocess
import sys
import typing

from .. import metrics
from ..cmd import child as command

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import clock
    from . import roles

LOG = logging.getLogger(__name__)

PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 30.0
_CHUNK = 4096
START_S = 60.0  # that it may take before its first beat: it has libraries to load
STEADY_S = 60.0  # a child that lived this long starts its account anew


class Child:
    """One process that ought to run."""

    def __init__(self, role: "roles.Role", number: int, time: "clock.Clock") -> None:
        self.role = role
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.start_at = time.monotonic()
        self.hung = False  # given up, and told so
        self._pulse = -1
        self._heard_at = 0.0
        self._clock = time
        self._started_at = 0.0
        self._failures = 0

    @property
    def name(self) -> str:
        """Give the name for the log."""
        return f"{self.role}-{self.number:02d}"

    def start(
        self, options: "Sequence[str]", lock_fd: int, lifeline_fd: int, state_path: str
    ) -> None:
        """Start the process; it inherits the lock, the lifeline, its pulse, and nothing else."""
        argv = [sys.executable, "-m", command.__name__, str(self.role), str(self.number), *options]
        counting = metrics.environment(state_path, self.name)
        self._pulse, beating = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        inherited = {command.LIFELINE: str(lifeline_fd), command.PULSE: str(beating)}
        self.process = subprocess.Popen(
            argv,
            env={**os.environ, **counting, **inherited},
            stdin=subprocess.DEVNULL,
            pass_fds=(lock_fd, lifeline_fd, beating),
        )
        os.close(beating)
        self._started_at = self._clock.monotonic()
        self._heard_at = self._started_at + START_S
        LOG.info("child.started name=%s pid=%d", self.name, self.process.pid)

    def reap(self) -> int | None:
        """Give the exit status of a process that has just ended and schedule the next start."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        now = self._clock.monotonic()
        if now - self._started_at > STEADY_S:
            self._failures = 0
        pause_s = min(PAUSE_MAX_S, PAUSE_MIN_S * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self.start_at = now + self._clock.jitter(pause_s)
        self.process = None
        self.hung = False
        os.close(self._pulse)
        return status

    def silent_s(self, now: float) -> float:
        """Give the seconds since it was last heard; 0 if it does not run, or has just started."""
        if self.process is None:
            return 0.0
        with contextlib.suppress(BlockingIOError):
            while os.read(self._pulse, _CHUNK):
                self._heard_at = now
        return max(0.0, now - self._heard_at)

    def pardon(self, now: float) -> None:
        """Take it as heard: we were not there to listen."""
        self._heard_at = max(self._heard_at, now)

    @property
    def running(self) -> bool:
        """Tell whether the process exists."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal if the process runs."""
        if self.process is not None and self.running:
            self.process.send_signal(number)
