"""Open what makes instances: clients, settings, this node's management address.

Called once per worker process, by the name that ``machine.instance_port`` gives.
"""

from .. import events, store
from ..clients.appliance import Appliances
from ..clients.connect import Cloud, open_cloud
from ..cluster import fence, node
from ..conf import CONF
from ..machine import instance_port
from ..metering import meter, publisher
from ..pki import trust
from . import failures, management, settings
from .briefing import Briefings
from .router_instance import RouterInstance
from .tools import Tools


class Factory:
    """Makes instances that share the clients of this process."""

    def __init__(self, cloud: Cloud, tools: Tools, opened: store.Store | None = None):
        self._cloud = cloud
        self._tools = tools
        self._store = opened

    def create(self, resource: events.Resource) -> instance_port.Instance:
        """Make the instance of a resource, without asking anybody anything."""
        return RouterInstance(resource, self._tools)

    @property
    def briefing(self) -> Briefings:
        """What reads for many walks at once."""
        return self._tools.briefings

    def close(self) -> None:
        """Close the connections."""
        self._tools.appliances.close()
        self._tools.meter.close()
        if self._store is not None:
            self._store.close()

    @property
    def certificates(self) -> trust.Census | None:
        """What is known of certificates; None without TLS."""
        trusted = self._tools.appliances.trust
        return trusted.census() if trusted is not None else None

    @property
    def calls(self) -> dict[str, int]:
        """How often each kind of call was made by this process."""
        clients = (self._tools.neutron, self._tools.nova, self._tools.appliances)
        return {
            operation: count
            for client in clients
            for operation, count in client.calls.snapshot().items()
        }


def open_factory() -> Factory:
    """Open a factory for the parsed global configuration; the database is asked when needed."""
    values = settings.from_conf(CONF)
    opened = store.store_of(CONF)
    own = fence.Fence(opened.epochs, node.this_node(CONF).owner)
    with failures.translated():
        cloud = open_cloud(CONF)
        address = management.recorded_address(CONF.state_path)
        trusted = trust.from_conf(CONF, opened)
        return from_cloud(cloud, values, address, own, opened, trusted, _metering())


def _metering() -> meter.Meter:
    if not CONF.metering.notify:
        return meter.Meter()
    sending = publisher.Publisher(CONF)
    return meter.Meter(sending.offer, sending.close)


def from_cloud(
    cloud: Cloud,
    values: settings.Settings,
    own_address: str,
    own: fence.Fence,
    opened: store.Store | None = None,
    trusted: trust.Trust | None = None,
    metering: meter.Meter | None = None,
) -> Factory:
    """Make a factory from open clients; it closes the store with them.

    Without `trusted` it speaks plaintext with appliances, which only those without TLS answer.
    """
    appliances = Appliances(
        values.api_port,
        values.alive_timeout_s,
        values.config_timeout_s,
        trusted,
        metadata_upstream=f"{own_address} {values.metadata_port}",
    )
    tools = Tools(cloud.neutron, cloud.nova, appliances, values, own_address, own, metering)
    return Factory(cloud, tools, opened)
