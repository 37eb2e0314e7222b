"""Compare what ought to be served with what is, without anybody having told.

Reads ids and generations of all resources, page by page, and sends each to the worker that owns
it; a worker whose instance runs that generation does nothing. Afterwards `AuditEnd` makes workers
look at what was not listed. Servers and ports of ours that belong to no listed resource are sent
as deletions after a grace, which the worker checks against Neutron again. Where one appliance has
two servers the worker is told so after the same grace, and finds out which one serves. Decides
nothing about an instance. Run by `health`, at start, when asked, and every `[audit] interval`.
"""

import logging
import threading
import typing
import uuid

from .. import events, metrics
from ..machine import instance_port
from ..machine.vocabulary import Action

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from .. import clock

LOG = logging.getLogger(__name__)

RETRY_MIN_S = 1.0
RETRY_MAX_S = 30.0
ORPHAN = "orphan"
DOUBLED = "doubled"


class _Sightings:
    """What a pass after the other has found, and since when."""

    def __init__(self, kind: str, grace_s: float) -> None:
        self._kind = kind
        self._grace_s = grace_s
        self._since: dict[str, float] = {}

    def learn(self, found: "typing.Iterable[str]", now: float) -> list[str]:
        """Take in the ids that a pass found; give those that have had their grace."""
        before = self._since
        self._since = {name: before.get(name, now) for name in found}
        metrics.AUDIT_FINDINGS.labels(self._kind).inc(len(self._since.keys() - before.keys()))
        return [name for name, since in self._since.items() if now - since >= self._grace_s]


class Auditor:
    """One pass after another, never two at once."""

    def __init__(
        self,
        open_inventory: "Callable[[], instance_port.Inventory]",
        send: "Callable[[events.Message], bool]",
        time: "clock.Clock",
        *,
        interval_s: float,
        orphan_grace_s: float,
    ) -> None:
        self._open = open_inventory
        self._send = send
        self._clock = time
        self._interval_s = interval_s
        self._inventory: instance_port.Inventory | None = None
        self._requested = threading.Event()
        self._orphans = _Sightings(ORPHAN, orphan_grace_s)
        self._doubled = _Sightings(DOUBLED, orphan_grace_s)

    def request(self, reason: str) -> None:
        """Ask for a pass as soon as possible; from any thread."""
        LOG.info("audit.requested reason=%s", reason)
        self._requested.set()

    def run(self, stop: threading.Event) -> None:
        """Audit at once and then again and again until `stop` is set."""
        pause_s = RETRY_MIN_S
        while not stop.is_set():
            self._requested.clear()
            if self._try():
                pause_s = RETRY_MIN_S
                self._sleep(self._clock.jitter(self._interval_s), stop)
            else:
                stop.wait(self._clock.jitter(pause_s))
                pause_s = min(pause_s * 2, RETRY_MAX_S)

    def _sleep(self, seconds: float, stop: threading.Event) -> None:
        """Sleep, but not through a request or the end."""
        deadline = self._clock.monotonic() + seconds
        while not stop.is_set() and (left_s := deadline - self._clock.monotonic()) > 0:
            if self._requested.wait(min(left_s, 1.0)):
                stop.wait(self._clock.jitter(0.2))  # several workers start together: audit once
                return

    def _try(self) -> bool:
        try:
            if self._inventory is None:
                self._inventory = self._open()
            self.audit(self._inventory)
        except instance_port.InstanceError as reason:
            LOG.warning("audit.failed reason=%s", reason)
        except Exception:  # the boundary of one pass: the next one may succeed
            LOG.exception("audit.crashed")
        else:
            metrics.AUDITS.labels("done").inc()
            return True
        metrics.AUDITS.labels("failed").inc()
        return False

    def audit(self, inventory: instance_port.Inventory) -> None:
        """Make one pass; raises what the inventory raises."""
        audit_id = str(uuid.uuid4())
        begin = self._clock.monotonic()
        listed: dict[str, events.Resource] = {}
        complete = True
        for page in inventory.pages():
            for line in page:
                listed[line.resource.id] = line.resource
                complete &= self._send(
                    events.Event(line.resource, Action.UPDATE, line.generation, audit_id)
                )
        if complete:
            self._send(events.AuditEnd(audit_id))
        orphans = self._report_traces(inventory, listed)
        metrics.AUDIT_SECONDS.observe(self._clock.monotonic() - begin)
        metrics.AUDIT_RESOURCES.set(len(listed))
        metrics.AUDIT_ORPHANS.set(orphans)
        LOG.info(
            "audit.done audit=%s resources=%d orphans=%d complete=%s",
            audit_id,
            len(listed),
            orphans,
            complete,
        )

    def _report_traces(
        self, inventory: instance_port.Inventory, listed: dict[str, events.Resource]
    ) -> int:
        """Tell of what is left of resources that are gone, and of what is there twice."""
        now = self._clock.monotonic()
        gone: dict[str, events.Resource] = {}
        doubled: set[str] = set()
        for trace in inventory.traces():
            if trace.resource.id not in listed:
                gone[trace.resource.id] = trace.resource
            elif trace.doubled:
                doubled.add(trace.resource.id)
        for name in self._orphans.learn(gone, now):
            LOG.warning("orphan.found %s=%s", gone[name].driver, name)
            self._send(events.Event(gone[name], Action.DELETE, source=ORPHAN))
        for name in self._doubled.learn(doubled, now):
            LOG.warning("doubled.found %s=%s", listed[name].driver, name)
            event = events.Event(listed[name], Action.UPDATE, source=DOUBLED, recount=True)
            self._send(event)
        return len(gone)
