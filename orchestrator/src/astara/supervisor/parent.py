"""Start the children of this node, start again those that die or hang, and stop them all.

A child that hangs is killed, and another one starts when it has ended: never are there two that
own the same resources. Single-threaded and small: it imports no client and does no work of its
own, so that nothing but a signal ends it. Children are started afresh by exec, never forked from a
process with threads. Must never give up on a child. Called by `astara.cmd.orchestrator`.
"""

import logging
import os
import signal
import typing

from .. import clock
from . import child, roles

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

    from oslo_config import cfg

LOG = logging.getLogger(__name__)

_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STOPPING = (signal.SIGTERM, signal.SIGINT)
TICK_S = 5.0  # how long a lost SIGCHLD could go unnoticed
KILL_SPARE_S = 2.0


class Supervisor:
    """The parent of all processes of a node."""

    def __init__(self, conf: "cfg.ConfigOpts", options: "Sequence[str]", lock_fd: int) -> None:
        self._clock = clock.SystemClock()
        self._options = list(options)
        self._lock_fd = lock_fd
        self._state_path: str = conf.state_path
        self._shutdown_timeout_s: float = conf.shutdown_timeout
        self._preflight = self._children_of(conf, [roles.Role.PREFLIGHT])
        self._children = self._children_of(
            conf,
            [
                roles.Role.WORKER,
                roles.Role.LISTENER,
                roles.Role.HEALTH,
                roles.Role.METADATA,
                roles.Role.API,
            ],
        )
        shared = conf.coordination.enabled
        self._coordinator = [child.Child(roles.Role.COORDINATOR, 0, self._clock)] if shared else []
        self._lifeline, self._lifeline_end = os.pipe()
        self._patience_s: float = conf.process_heartbeat_timeout
        self._tick_s = min(TICK_S, self._patience_s / 4 or TICK_S)
        self._looked_at = self._clock.monotonic()

    def _children_of(
        self, conf: "cfg.ConfigOpts", kinds: "Sequence[roles.Role]"
    ) -> list[child.Child]:
        """Give the children of those kinds that this node is to run."""
        return [
            child.Child(role, number, self._clock)
            for role in kinds
            if role in conf.enabled_processes
            for number in range(conf.num_worker_processes if role is roles.Role.WORKER else 1)
        ]

    def run(self) -> int:
        """Watch until SIGTERM or SIGINT; give the exit status."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        LOG.info("supervisor.started pid=%d children=%d", os.getpid(), len(self._children))
        status = self._fly(self._preflight, until_success=True) if self._preflight else None
        if status is None:
            everyone = [*self._coordinator, *self._children]
            status = self._fly(everyone, until_success=False)
        self._stop()
        return status or 0

    def _fly(self, children: "Sequence[child.Child]", *, until_success: bool) -> int | None:
        """Keep children running; None when all succeeded, else an exit status to end with."""
        while True:
            for each in children:
                status = each.reap()
                if status is None:
                    continue
                if until_success and status == 0:
                    return None
                if until_success and status == os.EX_CONFIG:
                    return os.EX_CONFIG
                LOG.error("child.died name=%s status=%d", each.name, status)
            self._start_due(children)
            self._end_hung(children)
            caught = self._wait(children)
            if caught in _STOPPING:
                return 0
            if caught == signal.SIGHUP:
                LOG.info("supervisor.reload")
                for each in children:
                    each.signal(signal.SIGHUP)

    def _start_due(self, children: "Sequence[child.Child]") -> None:
        now = self._clock.monotonic()
        for each in children:
            if each.process is None and each.start_at <= now:
                each.start(self._options, self._lock_fd, self._lifeline, self._state_path)

    def _end_hung(self, children: "Sequence[child.Child]") -> None:
        """Kill those that give no sign of life; their end is noticed as any other.

        Had we been stopped ourselves, with all of them, they get their time once more.
        """
        now = self._clock.monotonic()
        late = now - self._looked_at > 2 * self._tick_s
        self._looked_at = now
        for each in children:
            if late:
                each.pardon(now)
            silent_s = each.silent_s(now)
            if not self._patience_s or silent_s <= self._patience_s or each.hung:
                continue
            LOG.error("child.hung name=%s silent_s=%.0f", each.name, silent_s)
            each.hung = True
            each.signal(signal.SIGKILL)

    def _wait(self, children: "Sequence[child.Child]") -> int | None:
        """Sleep until a signal or the next start; give the signal's number."""
        now = self._clock.monotonic()
        starts = [each.start_at - now for each in children if each.process is None]
        caught = signal.sigtimedwait(_SIGNALS, max(0.01, min([self._tick_s, *starts])))
        return caught.si_signo if caught is not None else None

    def _stop(self) -> None:
        """Ask all children to stop, and kill after the deadline those that did not.

        The coordinator comes last: while it keeps us a member, no other node takes over what a
        worker is still busy with.
        """
        deadline = self._clock.monotonic() + self._shutdown_timeout_s + KILL_SPARE_S
        self._end([*self._preflight, *self._children], deadline)
        self._end(self._coordinator, deadline + KILL_SPARE_S)
        LOG.info("supervisor.stopped")

    def _end(self, children: "Sequence[child.Child]", deadline: float) -> None:
        for each in children:
            each.signal(signal.SIGTERM)
        while running := [each for each in children if each.running]:
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0:
                self._kill(running)
                break
            signal.sigtimedwait([signal.SIGCHLD], min(left_s, TICK_S))

    @staticmethod
    def _kill(running: "Sequence[child.Child]") -> None:
        for each in running:
            LOG.error("child.killed name=%s", each.name)
            each.signal(signal.SIGKILL)
            if each.process is not None:
                each.process.wait(timeout=TICK_S)
