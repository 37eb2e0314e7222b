"""Look after the appliance between pushes: undo drift, find out whether the gateways answer, and
have the network functions follow the role in a pair; bound the logs of daemons.

Loops in daemon threads, all with jitter and all outliving any single failure. The repair loop
also wakes when the time of a trial is over. They never decide what the appliance should be.
Started by the agent's worker process.
"""

import dataclasses
import logging
import math
import threading
from collections.abc import Callable

from . import clock, errors, facts, pipeline, store
from .drivers.routes import plan
from .pair import news, role
from .pair.settings import Places
from .system import daemon, memory, netlink, process
from .system.paths import Paths

LOG = logging.getLogger(__name__)

REPAIR_EVERY_S = 30.0
REPAIR_RETRY_S = 3.0
OVERDUE_RETRY_S = 0.2
PROBE_EVERY_S = 10.0
PING_TIMEOUT_S = 1
FOLLOW_EVERY_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Reachability:
    """Whether the default gateway of each IP version answered last time."""

    v4: bool = False
    v6: bool = False


class Watch:
    """The loops and what they found."""

    def __init__(
        self,
        line: pipeline.Pipeline,
        names: facts.NicNames,
        paths: Paths,
        repair_every_s: float = REPAIR_EVERY_S,
    ) -> None:
        self._line = line
        self._names = names
        self._paths = paths
        self._daemons = daemon.Daemons(paths.run_dir, paths.log_dir)
        self._repair_every_s = repair_every_s
        self._stopped = threading.Event()
        self._repair_now = threading.Event()
        self._probe_now = threading.Event()
        self.reachability = Reachability()

    def start(self) -> None:
        """Start the loops; the first repair brings a restarted agent back to its document."""
        for task in (self._repair_loop, self._probe_loop, self._follow_loop):
            threading.Thread(target=task, name=task.__name__.strip("_"), daemon=True).start()

    def stop(self) -> None:
        """Let the loops end."""
        self._stopped.set()
        self._repair_now.set()
        self._probe_now.set()
        news.tell(Places(self._paths.run_dir))

    def document_changed(self) -> None:
        """Probe the gateways of the new document now, and mind the end of its trial."""
        self._probe_now.set()
        if self._line.committed.trial:
            self._repair_now.set()

    def _repair_loop(self) -> None:
        self._every(
            self._repair,
            self._repair_now,
            self._repair_every_s,
            REPAIR_RETRY_S,
            self._until_trial_ends,
        )

    def _probe_loop(self) -> None:
        self._every(self._probe, self._probe_now, PROBE_EVERY_S, PROBE_EVERY_S)

    def _follow_loop(self) -> None:
        ear = news.Ear(Places(self._paths.run_dir))
        followed: bool | None = None
        while not self._stopped.is_set():
            ear.wait(clock.jittered(FOLLOW_EVERY_S))
            try:
                held = role.holds(self._paths)
                if held != followed:
                    self._line.follow()
                followed = held
            except Exception:
                # Loop boundary: the next word, or the repair loop, tries again.
                LOG.exception("follow.failed")

    def _every(
        self,
        task: Callable[[], None],
        now: threading.Event,
        pause_s: float,
        retry_s: float,
        longest_s: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Run `task` until stopped; after failures pauses grow from `retry_s` to `pause_s`."""
        failures = 0
        while not self._stopped.is_set():
            try:
                task()
                failures = 0
            except errors.PushFailed as error:
                failures += 1
                LOG.error("repair.failed driver=%s reason=%s", error.driver, error.reason)
            except Exception:
                # Loop boundary: nothing that goes wrong in one round may end the watching.
                failures += 1
                LOG.exception("watch.failed task=%s", task.__name__)
            wait_s = min(pause_s, retry_s * 2 ** (failures - 1)) if failures else pause_s
            now.wait(min(clock.jittered(wait_s), longest_s()))
            now.clear()

    def _until_trial_ends(self) -> float:
        left_s = self._line.trial_left_s()
        # An overdue trial waits for a push that is still being applied.
        return math.inf if left_s is None else max(left_s, OVERDUE_RETRY_S)

    def _repair(self) -> None:
        bounded = self._daemons.bound_logs()
        if bounded:
            LOG.info("logs.bounded names=%s", ",".join(bounded))
        try:
            repaired = self._line.repair()
            self._line.tend()
        finally:
            memory.give_back(thorough=True)
        if repaired:
            LOG.warning("drift.repaired drivers=%s", ",".join(repaired))

    def _probe(self) -> None:
        document = store.document_in_effect(self._line.committed)
        answers = {4: False, 6: False}
        for route in plan.default_routes(document, facts.gather(self._names)):
            answers[6 if ":" in route.destination else 4] = _answers(route)
        self.reachability = Reachability(v4=answers[4], v6=answers[6])


def _answers(route: netlink.Route) -> bool:
    hop = route.nexthops[0]
    target = f"{hop.gateway}%{hop.device}" if hop.gateway.startswith("fe80:") else hop.gateway
    try:
        process.run(
            ["ping", "-n", "-q", "-c", "1", "-W", str(PING_TIMEOUT_S), target], timeout_s=5
        )
    except process.CommandFailed:
        return False
    return True
