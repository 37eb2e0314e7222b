"""The table of services: what each is, how it starts, what it needs, how it shows that it answers.

Declares only. ``supervise`` starts and stops what is declared here; ``lifecycle`` joins it with
the set-up steps of ``schema``, ``bootstrap``, ``openvswitch`` and ``outside``, whose names appear
in ``needs``.
"""

from astara_devcloud import settings
from astara_devcloud.services import apis, infrastructure, orchestrator, workers
from astara_devcloud.services.model import Files, Service, environment, fingerprint

__all__ = ["ALIASES", "ORCHESTRATOR", "Files", "Service", "declare", "environment", "fingerprint"]

ORCHESTRATOR = orchestrator.NAME
ALIASES = {"orchestrator": ORCHESTRATOR}


def declare(cloud: settings.Settings) -> dict[str, Service]:
    """Return every service by name, in the order in which ``status`` shows them."""
    table = (
        *infrastructure.stores(cloud),
        *apis.apis(cloud),
        *workers.network(cloud),
        *infrastructure.switch(cloud),
        *workers.compute(cloud),
        *infrastructure.internet(cloud),
        orchestrator.declare(cloud),
    )
    return {service.name: service for service in table}
