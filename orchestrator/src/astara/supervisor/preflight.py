"""Check configuration, database and cloud and plug the management port, before all other children.

Entry of the role `preflight`. A configuration that cannot work ends the orchestrator with the list
of its faults; a cloud that does not answer yet is tried again by the supervisor.
"""

import logging
import os
import threading

from oslo_config import cfg

from .. import conf as options
from ..conf import validation
from ..machine import instance_port
from . import roles

LOG = logging.getLogger(__name__)


def _check_database(conf: cfg.ConfigOpts) -> None:
    """Raise SystemExit unless the database answers and has the schema of this release."""
    from .. import store  # heavy

    try:
        store.open_store(conf).close()
    except store.NotMigrated as reason:
        LOG.error("database.refused reason=%s", reason)
        raise SystemExit(os.EX_CONFIG) from None
    except store.Unavailable as reason:
        LOG.error("preflight.failed reason=%s", reason)
        raise SystemExit(os.EX_TEMPFAIL) from None


def run(conf: cfg.ConfigOpts, _number: int, _stop: threading.Event) -> None:
    """Raise SystemExit(78) on a faulty configuration; return when the node is ready."""
    try:
        options.check(conf)
    except validation.InvalidConfiguration as invalid:
        for fault in invalid.faults:
            LOG.error("configuration.invalid fault=%s", fault)
        raise SystemExit(os.EX_CONFIG) from None
    _check_database(conf)
    try:
        roles.load(roles.REQUIREMENTS)(conf)
        roles.load(roles.MANAGEMENT)(conf)
    except instance_port.InstanceError as reason:
        LOG.error("preflight.failed reason=%s", reason)
        raise SystemExit(os.EX_TEMPFAIL) from None
    LOG.info("preflight.passed")
