"""Send notifications to the message bus from a thread of its own.

Whoever offers one never waits: there is a bounded queue, what finds no room is dropped and
counted. A broker that is away holds up this thread alone. Imports the message bus when it is made,
so only a process that notifies pays for it. Made by `instance.factory`.
"""

import logging
import queue
import threading
import typing

from .. import bus, metrics

if typing.TYPE_CHECKING:
    from oslo_config import cfg

LOG = logging.getLogger(__name__)

LIMIT = 2000
RETRIES = 3
END_S = 5.0


class Publisher:
    """Notifications on their way."""

    def __init__(self, conf: "cfg.ConfigOpts") -> None:
        oslo_messaging = bus.load()
        self._notifier = oslo_messaging.Notifier(
            oslo_messaging.get_notification_transport(conf),
            publisher_id=f"astara.{conf.host}",
            driver="messagingv2",
            topics=[conf.metering.topic],
            retry=RETRIES,
        )
        self._waiting: queue.Queue[tuple[str, dict[str, typing.Any]] | None] = queue.Queue(LIMIT)
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def offer(self, event_type: str, payload: dict[str, typing.Any]) -> bool:
        """Queue one; False if there was no room."""
        try:
            self._waiting.put_nowait((event_type, payload))
        except queue.Full:
            metrics.NOTIFIED.labels("dropped").inc()
            return False
        return True

    def close(self) -> None:
        """Send what waits, for a moment."""
        try:
            self._waiting.put(None, timeout=END_S)
        except queue.Full:
            LOG.warning("publisher.cut_off waiting=%d", self._waiting.qsize())
            return
        self._thread.join(END_S)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._notifier.info({}, *item)
            except Exception:  # the boundary of one notification: the next ones are still wanted
                metrics.NOTIFIED.labels("failed").inc()
                LOG.exception("notification.not_sent event_type=%s", item[0])
            else:
                metrics.NOTIFIED.labels("sent").inc()
