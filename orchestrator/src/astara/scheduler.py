"""Decide which worker process owns a resource, and carry messages there.

A message goes over a SOCK_SEQPACKET Unix socket per worker, so that a killed process takes nothing
down but itself. Sending never blocks the caller: each worker has a bounded outbox; what does not
fit is dropped and counted, and the audit finds it again. Must never look into Neutron. Used by the
sources, and by workers to forward what belongs elsewhere.
"""

import collections
import hashlib
import logging
import pathlib
import socket
import threading
import typing

from . import clock, events, metrics, tracing

if typing.TYPE_CHECKING:
    from oslo_config import cfg

LOG = logging.getLogger(__name__)

SEND_TIMEOUT_S = 2.0
RECONNECT_MIN_S = 0.05
RECONNECT_MAX_S = 1.0
HEALTH = "health"


def socket_path(state_path: str, name: str) -> pathlib.Path:
    """Give the socket of a process, `worker-00` or `health`."""
    return pathlib.Path(state_path) / "run" / f"{name}.sock"


def worker_name(number: int) -> str:
    """Give the name of a worker process."""
    return f"worker-{number:02d}"


def shard(resource: events.Resource, count: int, by: str) -> int:
    """Give the number of the worker process that owns a resource.

    By tenant unless told otherwise; a resource whose tenant is unknown goes by its own id, and is
    forwarded as soon as the worker has learned the tenant.
    """
    key = resource.tenant_id if by == "tenant" and resource.tenant_id else resource.id
    normal = key.replace("-", "").lower().encode()
    return int.from_bytes(hashlib.blake2b(normal, digest_size=8).digest()) % count


class Outbox:
    """A bounded queue to one process, emptied by its own thread."""

    def __init__(self, name: str, path: pathlib.Path, limit: int) -> None:
        self.name = name
        self.dropped = 0
        self._path = path
        self._limit = limit
        self._waiting: collections.deque[bytes] = collections.deque()
        self._changed = threading.Condition()
        self._closed = False
        self._socket: socket.socket | None = None
        metrics.MESSAGES_DROPPED.labels(name)  # none so far, which is worth showing
        self._count()  # what a process before us left waiting is gone
        self._thread = threading.Thread(target=self._run, name=f"to-{name}", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> bool:
        """Queue a message; False if there is no room and it was dropped."""
        with self._changed:
            if len(self._waiting) >= self._limit:
                self.dropped += 1
                metrics.MESSAGES_DROPPED.labels(self.name).inc()
                if self.dropped & (self.dropped - 1) == 0:  # powers of two: a flood logs little
                    LOG.error("message.dropped to=%s count=%d", self.name, self.dropped)
                return False
            self._waiting.append(data)
            self._count()
            self._changed.notify()
        return True

    def close(self, timeout_s: float) -> None:
        """Send what waits, at most for `timeout_s`, and end; the thread ends a moment later."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, timeout_s)
            self._closed = True
            self._changed.notify_all()

    def _count(self) -> None:
        metrics.OUTBOX.labels(self.name).set(len(self._waiting))

    def _run(self) -> None:
        pause_s = RECONNECT_MIN_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    break
                data = self._waiting[0]
            if self._send(data):
                pause_s = RECONNECT_MIN_S
                with self._changed:
                    self._waiting.popleft()
                    self._count()
                    self._changed.notify_all()
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, pause_s)
                pause_s = min(pause_s * 2, RECONNECT_MAX_S)
        self._disconnect()

    def _send(self, data: bytes) -> bool:
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.sendall(data)
        except OSError as reason:
            LOG.debug("message.unsent to=%s reason=%s", self.name, reason)
            self._disconnect()
            return False
        return True

    def _connect(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            link.settimeout(SEND_TIMEOUT_S)
            link.connect(str(self._path))
        except OSError:
            link.close()
            raise
        return link

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Scheduler:
    """Send each message to the worker, or workers, that it concerns."""

    def __init__(self, conf: "cfg.ConfigOpts") -> None:
        self._count: int = conf.num_worker_processes
        self._by: str = conf.shard_by
        names = [worker_name(number) for number in range(self._count)]
        self._workers = [self._outbox(conf, name) for name in names]
        self._health = self._outbox(conf, HEALTH)

    @staticmethod
    def _outbox(conf: "cfg.ConfigOpts", name: str) -> Outbox:
        return Outbox(name, socket_path(conf.state_path, name), conf.worker_inbox_limit)

    def owner(self, resource: events.Resource) -> int:
        """Give the number of the worker process that owns a resource."""
        return shard(resource, self._count, self._by)

    def send(self, message: events.Message) -> bool:
        """Queue a message to whom it concerns; False if it was dropped for anybody."""
        data = events.encode(message)
        if isinstance(message, events.AuditRequest):
            return self._health.put(data)
        if isinstance(message, events.Event):
            outbox = self._workers[self.owner(message.resource)]
            with tracing.span("schedule", to=outbox.name, action=message.action):
                return outbox.put(data)
        # Every worker gets it, also after one that had no room.
        with tracing.span("schedule", to="all"):
            taken = [outbox.put(data) for outbox in self._workers]
        return all(taken)

    def close(self, timeout_s: float = 1.0) -> None:
        """Send what waits and end, within `timeout_s` in all: peers may have ended before us."""
        deadline = clock.SYSTEM.monotonic() + timeout_s
        for outbox in (*self._workers, self._health):
            outbox.close(max(0.0, deadline - clock.SYSTEM.monotonic()))
