"""Let time pass: poll every instance once per period, evenly spread, read its counters once per
another, and run the audit.

Entry of the role `health`. Knows no instance: it names a slice of them, and each worker polls
those of its own that fall into it. Must never probe anything itself.
"""

import logging
import threading
import typing

from oslo_config import cfg

from .. import clock, events, inbox, scheduler
from ..conf import identity
from ..machine.vocabulary import Action
from ..supervisor import roles
from . import audit

LOG = logging.getLogger(__name__)

SLICE_S = 1.0  # about one slice per second keeps bursts small
MAX_SLICES = 600


def slices_of(period_s: float) -> int:
    """Give the number of slices into which a health period is cut."""
    return max(1, min(MAX_SLICES, round(period_s / SLICE_S)))


def tick(
    send: "typing.Callable[[events.Message], object]",
    period_s: float,
    time: clock.Clock,
    stop: threading.Event,
    action: Action = Action.POLL,
) -> None:
    """Name one slice after the other until `stop` is set."""
    slices = slices_of(period_s)
    index = 0
    while not stop.wait(time.jitter(period_s / slices)):
        send(events.PollSlice(index, slices, action))
        index = (index + 1) % slices


def run(conf: cfg.ConfigOpts, _number: int, stop: threading.Event) -> None:
    """Tick and audit until `stop` is set."""
    identity.register(conf)
    time = clock.SystemClock()
    outgoing = scheduler.Scheduler(conf)
    auditor = audit.Auditor(
        roles.load(conf.instance_inventory),
        outgoing.send,
        time,
        interval_s=conf.audit.interval,
        orphan_grace_s=conf.audit.orphan_grace,
    )

    def take(message: events.Message) -> None:
        if isinstance(message, events.AuditRequest):
            auditor.request(message.reason)

    incoming = inbox.Inbox(scheduler.socket_path(conf.state_path, scheduler.HEALTH), take)
    incoming.start()
    auditing = threading.Thread(target=auditor.run, args=(stop,), name="audit", daemon=True)
    auditing.start()
    if conf.metering.period:
        arguments = (outgoing.send, conf.metering.period, time, stop, Action.READ)
        threading.Thread(target=tick, args=arguments, name="metering", daemon=True).start()
    LOG.info("health.started period_s=%s", conf.health_check_period)
    tick(outgoing.send, conf.health_check_period, time, stop)
    incoming.close()
    auditing.join(conf.shutdown_timeout)
    outgoing.close()
    LOG.info("health.stopped")
