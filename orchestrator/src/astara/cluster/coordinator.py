"""Keep this node a member of the group and tell its workers who is there.

Entry of the role `coordinator`. One thread beats, which may hang in the library of the service;
the main thread tells the workers, at every interval, what the last beat saw and how long that
holds. So a service that is away, a hanging library, a frozen coordinator all end in the same way:
the lease runs out and the workers stop acting. Decides no placement; must never prolong a lease
without a beat.
"""

import dataclasses
import functools
import logging
import threading
import typing

from oslo_config import cfg

from .. import clock, events, scheduler
from . import group, members, node, roster

LOG = logging.getLogger(__name__)

STUCK_TIMEOUTS = 3  # a beat that takes this many member_timeouts will not come back


@dataclasses.dataclass(frozen=True, slots=True)
class Beat:
    """What a successful beat saw, and until when it holds."""

    census: members.Census
    lease_until: float


class Heart:
    """Beats in a thread of its own."""

    def __init__(
        self,
        membership: group.Group,
        own: members.Member,
        time: "clock.Clock",
        interval_s: float,
    ) -> None:
        self._group = membership
        self._own = own
        self._clock = time
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._faults: tuple[str, ...] = ()
        self._failing = False
        self.last: Beat | None = None
        self.began_at = time.monotonic()
        self.beaten = threading.Event()  # set after each beat, good or bad
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def leave(self, timeout_s: float) -> None:
        """Beat no more and leave the group, if the service answers in time."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.began_at = self._clock.monotonic()
            try:
                self._beat()
            except Exception as error:  # the boundary of one beat: the next one may succeed
                self._failed(error)
            self.beaten.set()
            self._stop.wait(self._clock.jitter(self._interval_s))
        try:
            self._group.leave()
        except Exception as error:  # the boundary of the end: the service forgets us by itself
            LOG.warning("group.not_left reason=%s", _reason(error))

    def _beat(self) -> None:
        present, lasts_s = self._group.beat()
        census = members.census(present, self._own)
        for fault in census.faults:
            if fault not in self._faults:
                LOG.error("group.fault reason=%s", fault)
        self._faults = census.faults
        self._failing = False
        if census.counts:
            self.last = Beat(census, self.began_at + lasts_s)

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            LOG.warning("group.unreachable reason=%s", _reason(error))
        self._failing = True
        if self.last is None or self._clock.monotonic() >= self.last.lease_until:
            self._reconnect()

    def _reconnect(self) -> None:
        """Let the next beat start afresh; no sooner than others may take over anyway."""
        try:
            self._group.disconnect()
        except Exception as error:  # the boundary of an end that does not matter
            LOG.info("group.not_disconnected reason=%s", _reason(error))


class Announcer:
    """Tells the workers, and the log what changed."""

    def __init__(
        self,
        send: "typing.Callable[[events.Message], object]",
        record: "typing.Callable[[tuple[str, ...]], object]",
        time: "clock.Clock",
    ) -> None:
        self._send = send
        self._record = record
        self._clock = time
        self._hosts: frozenset[str] = frozenset()
        self._certain = False

    def announce(self, beat: Beat | None) -> None:
        """Tell the last beat, however old: workers see from the lease what it is worth."""
        certain = beat is not None and beat.lease_until > self._clock.monotonic()
        if self._certain and not certain:
            LOG.error(
                "group.lease_lost consequence=%s", "nothing is written until the group is back"
            )
        self._certain = certain
        if beat is None:
            return
        hosts = tuple(sorted(beat.census.hosts))
        if beat.census.hosts != self._hosts:
            LOG.info("group.nodes hosts=%s", ",".join(hosts))
            self._record(hosts)
            self._hosts = beat.census.hosts
        self._send(events.Membership(hosts, beat.lease_until))


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def run(conf: cfg.ConfigOpts, _number: int, stop: threading.Event) -> None:
    """Be a member until `stop` is set; raise if the library of the service hangs."""
    options = conf.coordination
    time = clock.SystemClock()
    this = node.this_node(conf)
    own = members.Member(this.host, this.node_id, 2**conf.hash_partition_exponent)
    membership = group.Group(options.url, options.group_id, own, timeout_s=options.member_timeout)
    outgoing = scheduler.Scheduler(conf)
    record = functools.partial(roster.write, conf.state_path)
    announcer = Announcer(outgoing.send, record, time)
    heart = Heart(membership, own, time, options.heartbeat_interval)
    heart.start()
    LOG.info("coordinator.started host=%s node=%s", this.host, this.node_id)
    while not stop.is_set():
        if heart.beaten.wait(options.heartbeat_interval):
            heart.beaten.clear()
        announcer.announce(heart.last)
        if time.monotonic() - heart.began_at > STUCK_TIMEOUTS * options.member_timeout:
            raise RuntimeError("a heartbeat does not come back: starting afresh")
    heart.leave(options.member_timeout)
    outgoing.close()
    LOG.info("coordinator.stopped")
