"""Read an appliance's traffic counters and hand on what was used since the last look.

Decides nothing; what cannot be read now is part of what is read next time. Called by the instance.
"""

import logging

from .. import metrics
from ..clients import errors
from ..metering import traffic
from . import names
from .memory import Memory
from .tools import Tools

LOG = logging.getLogger(__name__)


def read(tools: Tools, memory: Memory, router_id: str, tenant_id: str) -> None:
    """Look at the counters once."""
    plug = memory.ports[1] if memory.ports is not None else None
    address = tools.address_of(plug.management) if plug is not None else None
    if address is None:
        return
    try:
        counted = tools.appliances.stats(address, names.appliance(router_id, memory.index))
    except errors.NotFound:
        metrics.STATS_READS.labels("unknown").inc()  # an appliance of a release before
        return
    except errors.ServiceError as error:
        metrics.STATS_READS.labels("failed").inc()
        LOG.debug("counters.unread router=%s reason=%s", router_id, error)
        return
    metrics.STATS_READS.labels("read").inc()
    used = traffic.between(memory.counted, counted)
    memory.counted = counted
    if used is None:
        return
    tools.meter.take(router_id, tenant_id, used)
    for one in used.used:
        if one.kind == "interface":
            before = memory.used.get(one.scope, traffic.Amount())
            # A fresh one: other threads may be reading the old.
            memory.used = {**memory.used, one.scope: before.plus(one.amount)}
