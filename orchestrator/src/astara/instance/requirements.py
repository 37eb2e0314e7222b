"""What the cloud must offer before anything can be served; asked once at start.

Decides nothing else. Called by the preflight, so that an operator reads one sentence with a
remedy instead of a hundred failed boots.
"""

from typing import Any

from ..clients.connect import open_cloud
from ..clients.errors import NotFound
from ..machine import instance_port
from . import failures


def verify(conf: Any) -> None:
    """Raise ``instance_port.OperatorError`` that names all that is missing, with remedies."""
    cloud = open_cloud(conf)
    with failures.translated():
        faults = [
            f"Neutron lacks the extension {alias}: {remedy}"
            for alias, remedy in sorted(cloud.neutron.missing_extensions().items())
        ]
        try:
            cloud.nova.flavor_id(conf.router.instance_flavor)
        except NotFound:
            faults.append(f"Nova has no flavor {conf.router.instance_flavor!r}: make it")
    if faults:
        raise instance_port.OperatorError("; ".join(faults))
