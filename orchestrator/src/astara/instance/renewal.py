"""Give an appliance its next certificate when the one that it shows is half over.

Decides nothing that `pki.trust` did not: it acts after a probe that was answered, on the
connection's own authority. A failure harms nobody, as half of the time is left; the next health
check tries again. Called by `probe`.
"""

import logging

from .. import metrics
from ..clients import errors
from ..store import StoreError
from .tools import Tools

LOG = logging.getLogger(__name__)


def renew_if_due(tools: Tools, router_id: str, address: str) -> bool:
    """Renew the certificate of the appliance at `address`; tell whether it was."""
    trust = tools.appliances.trust
    if trust is None or not trust.due(router_id):
        return False
    try:
        bundle = trust.next(router_id)
        tools.appliances.renew(address, bundle, router_id)
    except (errors.ServiceError, StoreError) as error:
        metrics.RENEWALS.labels("failed").inc()
        LOG.warning("certificate.not_renewed router=%s reason=%s", router_id, error)
        return False
    trust.renewed(router_id)
    metrics.RENEWALS.labels("done").inc()
    LOG.info("certificate.renewed router=%s not_after=%d", router_id, bundle.not_after)
    return True
