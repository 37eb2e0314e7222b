"""Listen to Neutron's notifications and pass on what they mean.

Entry of the role `listener`. The queue is this node's own (a pool named after `host`); it outlives
the listener, so that what is published while the listener restarts is read afterwards. A broker
that is away is tried for ever; when it is back an audit is asked for, because its queues may be
gone. Must never keep a notification: it is acknowledged as soon as its hints are with the workers'
outboxes.
"""

import logging
import threading
import typing

from oslo_config import cfg

from .. import bus, events, scheduler
from . import mapping

LOG = logging.getLogger(__name__)

_DRIVER_LOG = "oslo.messaging._drivers.impl_rabbit"
THREADS = 2


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
            LOG.exception("notification.unreadable event_type=%s", event_type)
            return
        for message in messages:
            LOG.debug("notification.mapped event_type=%s message=%s", event_type, message)
            self._send(message)


class ReconnectWatch(logging.Handler):
    """Notice that the driver has reconnected, which it tells nobody but its log.

    Should a later version word it differently, the periodic audit still finds everything.
    """

    def __init__(self, on_reconnect: "typing.Callable[[], object]") -> None:
        super().__init__(logging.INFO)
        self._on_reconnect = on_reconnect

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line of the driver's log."""
        if "Reconnected to AMQP server" in str(record.msg):
            self._on_reconnect()


def _listener(conf: cfg.ConfigOpts, endpoint: Endpoint) -> typing.Any:
    oslo_messaging = bus.load()
    transport = oslo_messaging.get_notification_transport(conf)
    targets = [
        oslo_messaging.Target(exchange=conf.neutron_control_exchange, topic=topic)
        for topic in conf.notification_topics
    ]
    return oslo_messaging.get_notification_listener(
        transport, targets, [endpoint], executor="threading", pool=f"astara.{conf.host}"
    )


def run(conf: cfg.ConfigOpts, _number: int, stop: threading.Event) -> None:
    """Listen until `stop` is set."""
    outgoing = scheduler.Scheduler(conf)

    def ask_for_audit() -> None:
        outgoing.send(events.AuditRequest("the message broker is back"))

    logger = logging.getLogger(_DRIVER_LOG)
    logger.setLevel(logging.INFO)
    logger.addHandler(ReconnectWatch(ask_for_audit))
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
