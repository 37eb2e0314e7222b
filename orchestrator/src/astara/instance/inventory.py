"""What exists: routers that ought to be served, and traces of ours, for population and audit.

Decides only what is ours. Must never read details: a page is one request.
"""

from collections.abc import Iterator, Sequence

from .. import events
from ..clients.connect import Cloud, open_cloud
from ..clients.neutron import router_of
from ..conf import CONF
from ..machine.instance_port import Listed, Trace
from . import failures, names

DRIVER = "router"


class CloudInventory:
    """Lists resources from Neutron and their traces from Neutron and Nova."""

    def __init__(self, cloud: Cloud, page_size: int):
        self._cloud = cloud
        self._page_size = page_size

    def pages(self) -> Iterator[Sequence[Listed]]:
        """List the routers page by page; in whole-cloud mode every router is ours."""
        with failures.translated():
            for page in self._cloud.neutron.router_pages(self._page_size):
                yield [
                    Listed(
                        events.Resource(DRIVER, router.id, router.project_id), router.generation
                    )
                    for router in page
                ]

    def traces(self) -> Iterator[Trace]:
        """List the routers for which a server or a port of ours exists, each once."""
        seen: set[str] = set()
        appliances: set[str] = set()
        doubled: set[str] = set()
        with failures.translated():
            for server in self._cloud.nova.our_servers():
                router_id = names.router_of(server.resource or "") or ""
                seen.add(router_id)
                # Each appliance has a name of its own, the two of a pair as well.
                if server.task_state != "deleting" and names.of_router(server.name, router_id):
                    if server.name in appliances:
                        doubled.add(router_id)
                    appliances.add(server.name)
            for port in self._cloud.neutron.our_ports():
                seen.add(router_of(port) or "")
        for router_id in sorted(seen - {""}):
            yield Trace(events.Resource(DRIVER, router_id), router_id in doubled)

    def close(self) -> None:
        """Close the session."""
        self._cloud.keystone.session.close()


def open_inventory() -> CloudInventory:
    """Open the inventory for the parsed global configuration."""
    return CloudInventory(open_cloud(CONF), CONF.audit.page_size)
