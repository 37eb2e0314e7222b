"""Listen to the notifications of Neutron and Nova and pass on what they mean.

Entry of the role `listener`. The queue is this node's own (a pool named after `host`); it outlives
the listener, so that what is published while the listener restarts is read afterwards. A broker
that is away is tried for ever; when it is back an audit is asked for, because its queues may be
gone. Must never keep a notification: it is acknowledged as soon as its hints are with the workers'
outboxes.
"""

import logging
import threading
import typing

import msgspec
from oslo_config import cfg

from .. import bus, events, metrics, scheduler, tracing
from . import mapping

LOG = logging.getLogger(__name__)

_DRIVER_LOG = "oslo.messaging._drivers.impl_rabbit"
THREADS = 2
COMPLAINT_TO_AUDIT_S = 5.0


class Endpoint:
    """What oslo.messaging calls for every notification of priority info."""

    def __init__(self, send: "typing.Callable[[events.Message], object]") -> None:
        self._send = send

    def info(
        self,
        context: dict[str, typing.Any],
        _publisher_id: str,
        event_type: str,
        payload: dict[str, typing.Any],
        _metadata: dict[str, typing.Any],
    ) -> None:
        """Pass on one notification."""
        tenant_id = str(context.get("project_id") or context.get("tenant_id") or "")
        try:
            messages = mapping.messages_of(event_type, payload, tenant_id)
        except (AttributeError, TypeError, ValueError):
            # Not the shape that is known: the audit will find what it was about.
            metrics.NOTIFICATIONS.labels("unreadable").inc()
            LOG.exception("notification.unreadable event_type=%s", event_type)
            return
        metrics.NOTIFICATIONS.labels("used" if messages else "ignored").inc()
        if messages:
            with tracing.root(event_type, **_named(messages)) as trace:
                self._pass_on(event_type, messages, trace)

    def _pass_on(self, event_type: str, messages: list[events.Message], trace: str) -> None:
        for message in messages:
            LOG.debug("notification.mapped event_type=%s message=%s", event_type, message)
            if trace and isinstance(message, events.Event | events.Hint):
                message = msgspec.structs.replace(message, trace=trace)
            self._send(message)


def _named(messages: list[events.Message]) -> dict[str, str]:
    """Give the resource that a notification names, for its span."""
    found = [one.resource for one in messages if isinstance(one, events.Event)]
    return {found[0].driver: found[0].id} if found else {}


class BrokerWatch(logging.Handler):
    """Ask for an audit when the broker may have lost something.

    The driver tells nobody but its log. When it says that it has reconnected, an audit is due at
    once. Some ways back are silent (a permission that was withdrawn and given again), so every
    complaint is followed by an audit as well, a little later; a long outage thus means an audit
    every few seconds in place of notifications. Should a later version word its log differently,
    the periodic audit still finds everything.
    """

    def __init__(
        self, ask: "typing.Callable[[], object]", quiet_s: float = COMPLAINT_TO_AUDIT_S
    ) -> None:
        super().__init__(logging.INFO)
        self._ask = ask
        self._quiet_s = quiet_s
        self._timer: threading.Timer | None = None
        self._again = False

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line of the driver's log; the handler's lock is held."""
        if "Reconnected to AMQP server" in str(record.msg):
            self._ask()
        elif record.levelno >= logging.WARNING:
            if self._timer is None:
                self._arm()
            else:
                self._again = True  # the audit that is due may come before the end of this one

    def _arm(self) -> None:
        self._again = False
        self._timer = threading.Timer(self._quiet_s, self._fire)
        self._timer.daemon = True
        self._timer.start()

    def _fire(self) -> None:
        self._ask()
        self.acquire()
        try:
            self._timer = None
            if self._again:
                self._arm()
        finally:
            self.release()


def _listener(conf: cfg.ConfigOpts, endpoint: Endpoint) -> typing.Any:
    oslo_messaging = bus.load()
    transport = oslo_messaging.get_notification_transport(conf)
    exchanges = filter(None, (conf.neutron_control_exchange, conf.nova_control_exchange))
    targets = [
        oslo_messaging.Target(exchange=exchange, topic=topic)
        for exchange in exchanges
        for topic in conf.notification_topics
    ]
    return oslo_messaging.get_notification_listener(
        transport, targets, [endpoint], executor="threading", pool=f"astara.{conf.host}"
    )


def run(conf: cfg.ConfigOpts, _number: int, stop: threading.Event) -> None:
    """Listen until `stop` is set."""
    outgoing = scheduler.Scheduler(conf)

    def ask_for_audit() -> None:
        outgoing.send(events.AuditRequest("the message broker was away"))

    logger = logging.getLogger(_DRIVER_LOG)
    logger.setLevel(logging.INFO)
    logger.addHandler(BrokerWatch(ask_for_audit))
    listener = _listener(conf, Endpoint(outgoing.send))
    conf.set_override("executor_thread_pool_size", THREADS)
    # Starting declares the queue and blocks while the broker is away.
    start = threading.Thread(target=listener.start, name="listen", daemon=True)
    start.start()
    LOG.info("listener.started host=%s exchange=%s", conf.host, conf.neutron_control_exchange)
    stop.wait()
    # What is not acknowledged stays in the queue, so stopping need not be waited for.
    threading.Thread(target=listener.stop, name="stop", daemon=True).start()
    outgoing.close()
    LOG.info("listener.stopped")
