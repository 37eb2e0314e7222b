"""What exists: routers that ought to be served, and traces of ours, for population and audit.

Decides only what is ours. Must never read details: a page is one request.
"""

from collections.abc import Iterator, Sequence

from .. import events
from ..clients.connect import Cloud, open_cloud
from ..clients.neutron import router_of
from ..conf import CONF
from ..machine.instance_port import Listed
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

    def traces(self) -> Iterator[events.Resource]:
        """List the routers for which a server or a port of ours exists, each once."""
        seen: set[str] = set()
        with failures.translated():
            for server in self._cloud.nova.our_servers():
                seen.add(names.router_of(server.resource or "") or "")
            for port in self._cloud.neutron.our_ports():
                seen.add(router_of(port) or "")
        for router_id in sorted(seen - {""}):
            yield events.Resource(DRIVER, router_id)

    def close(self) -> None:
        """Close the session."""
        self._cloud.keystone.session.close()


def open_inventory() -> CloudInventory:
    """Open the inventory for the parsed global configuration."""
    return CloudInventory(open_cloud(CONF), CONF.audit.page_size)
