"""Everything that rendering a configuration file may depend on, as one value.

The renderers in ``config`` are pure functions of ``Settings``; only ``lifecycle`` and the command
line build one.
"""

import dataclasses
import pathlib

from astara_devcloud import credentials as credentials_module
from astara_devcloud import layout as layout_module

HOST = "devcloud"
REGION = "RegionOne"
SERVICE_PROJECT = "service"
DNS_DOMAIN = "devcloud.example."
PHYSICAL_NETWORK = "public"
EXTERNAL_BRIDGE = "br-ex"
INTEGRATION_BRIDGE = "br-int"


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The cloud's paths, ports, secrets and Python environment."""

    layout: layout_module.Layout
    ports: layout_module.Ports
    credentials: credentials_module.Credentials
    prefix: pathlib.Path

    @property
    def bin(self) -> pathlib.Path:
        """Directory of the services' programs."""
        return self.prefix / "bin"

    @property
    def keystone_url(self) -> str:
        """Identity endpoint without version."""
        return f"http://127.0.0.1:{self.ports.keystone}"

    @property
    def glance_url(self) -> str:
        """Image endpoint."""
        return f"http://127.0.0.1:{self.ports.glance}"

    @property
    def neutron_url(self) -> str:
        """Network endpoint."""
        return f"http://127.0.0.1:{self.ports.neutron}"

    @property
    def nova_url(self) -> str:
        """Compute endpoint."""
        return f"http://127.0.0.1:{self.ports.nova}/v2.1"

    @property
    def placement_url(self) -> str:
        """Placement endpoint."""
        return f"http://127.0.0.1:{self.ports.placement}"

    def database_url(self, name: str) -> str:
        """Return the SQLAlchemy URL of a database; the socket's directory is the guard."""
        socket = self.layout.database_socket
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={socket}&charset=utf8mb3"

    def broker_url(self, user: str, password: str) -> str:
        """Return the oslo.messaging transport URL for a RabbitMQ user."""
        return f"rabbit://{user}:{password}@127.0.0.1:{self.ports.amqp}/"

    @property
    def services_broker_url(self) -> str:
        """Return the transport URL of the OpenStack services."""
        return self.broker_url("openstack", self.credentials.broker)

    @property
    def orchestrator_broker_url(self) -> str:
        """Return the orchestrator's own transport URL, so that faults can cut off it alone."""
        return self.broker_url("astara", self.credentials.broker_astara)


def load(layout: layout_module.Layout) -> Settings:
    """Return the settings of a cloud that was started before; FileNotFoundError if none was."""
    return _with(layout, credentials_module.load(layout.credentials))


def load_or_create(layout: layout_module.Layout) -> Settings:
    """Return the settings, drawing secrets at the first start. The state directory must exist."""
    return _with(layout, credentials_module.load_or_create(layout.credentials))


def _with(layout: layout_module.Layout, secrets: credentials_module.Credentials) -> Settings:
    return Settings(layout, layout_module.Ports(), secrets, layout_module.environment_prefix())
