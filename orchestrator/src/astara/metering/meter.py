"""Add up what routers used, for Prometheus and for whoever wants to be told.

Decides which labels there are: none names a router. Safe to share between threads; one per
process. Called by `instance.counters`.
"""

import typing

from .. import metrics
from . import traffic

if typing.TYPE_CHECKING:
    from collections.abc import Callable

EVENT_TYPE = "astara.bandwidth.used"

Publish = typing.Callable[[str, dict[str, typing.Any]], object]


class Meter:
    """Takes intervals of routers; `publish` gets event type and payload."""

    def __init__(
        self, publish: "Publish | None" = None, end: "Callable[[], object]" = lambda: None
    ) -> None:
        self._publish = publish
        self._end = end

    def take(self, router_id: str, tenant_id: str, used: traffic.Interval) -> None:
        """Count what a router used."""
        for one in used.used:
            label = metrics.TRAFFIC_BYTES.labels
            label(one.kind, one.scope, "in").inc(one.amount.in_bytes)
            label(one.kind, one.scope, "out").inc(one.amount.out_bytes)
            label = metrics.TRAFFIC_PACKETS.labels
            label(one.kind, one.scope, "in").inc(one.amount.in_packets)
            label(one.kind, one.scope, "out").inc(one.amount.out_packets)
        if self._publish is not None and used.used:
            self._publish(EVENT_TYPE, payload(router_id, tenant_id, used))

    def close(self) -> None:
        """Tell what is still to be told."""
        self._end()


def payload(router_id: str, tenant_id: str, used: traffic.Interval) -> dict[str, typing.Any]:
    """Write an interval as it is notified: keys of the original service, and what it lost."""
    return {
        "tenant_id": tenant_id,
        "uuid": router_id,
        "timestamp": used.end,
        "begin": used.begin,
        "event_type": EVENT_TYPE,
        "payload": {
            one.name: {"kind": one.kind, "scope": one.scope, **one.amount._asdict()}
            for one in used.used
        },
    }
