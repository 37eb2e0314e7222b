"""Lets a network go as soon as its last router interface has: no waiting for an appliance.

A carrier stays on a network until the orchestrator has unplugged it from the appliance, some
seconds after the tenant removed the router's interface. Neutron would call the network "in use"
meanwhile. So when a network is about to be deleted and nothing but carriers is left on it, they
are deleted with it, like Neutron's own DHCP ports, and Nova takes the NICs out. No router has a
port there then: it would be on the network too.

Called by the router plug-in before Neutron decides whether a network is in use. It never removes a
port that is not provably ours, and none at all while anything else is on the network.
"""

import logging
from typing import Any

from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory

from . import service_project
from .queries import ports

LOG = logging.getLogger(__name__)


def leave(context: Any, network_id: str) -> None:
    """Delete the carriers on a network if they are all that keeps it in use."""
    idle = _if_alone(context, network_id)
    if not idle:
        return
    ours = service_project.service_project_id()
    if ours is None or any(project_id != ours for project_id in idle.values()):
        return
    LOG.info("carriers.leave network=%s ports=%s", network_id, sorted(idle))
    for port_id in sorted(idle):
        _delete(context.elevated(), port_id)


@db_api.retry_if_session_inactive()
def _if_alone(context: Any, network_id: str) -> dict[str, str]:
    with db_api.CONTEXT_READER.using(context):
        return ports.carriers_alone(context.session, network_id)


def _delete(context: Any, port_id: str) -> None:
    core = directory.get_plugin()
    found = core.get_ports(context, filters={"id": [port_id]})
    core.delete_port(context, port_id)
    for port in found:
        # What the API layer tells its listeners after a request to delete a port. One of them is
        # Neutron's notifier of Nova, which hears of no other deletion.
        registry.publish(
            resources.PORT,
            events.BEFORE_RESPONSE,
            core,
            payload=events.APIEventPayload(
                context,
                "port.delete.end",
                "delete_port",
                states=({}, {"port": port}),
                resource_id=port_id,
                collection_name="ports",
            ),
        )
