"""Where the cloud keeps its files and which loopback ports it uses.

Decides paths and port numbers only; creates nothing. Everything else in the package asks here, so
that one environment variable (``ASTARA_DEVCLOUD_DIR``) moves the whole cloud.
"""

import dataclasses
import os
import pathlib
import sys

DEFAULT_ROOT = pathlib.Path("/var/lib/astara-devcloud")
ROOT_VARIABLE = "ASTARA_DEVCLOUD_DIR"


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Paths inside the state directory."""

    root: pathlib.Path

    @property
    def etc(self) -> pathlib.Path:
        """Rendered configuration files."""
        return self.root / "etc"

    @property
    def log(self) -> pathlib.Path:
        """One log per service and per set-up step."""
        return self.root / "log"

    @property
    def run(self) -> pathlib.Path:
        """Process records and sockets; worthless after a reboot."""
        return self.root / "run"

    @property
    def state(self) -> pathlib.Path:
        """Databases, images, keys, instances."""
        return self.root / "state"

    @property
    def locks(self) -> pathlib.Path:
        """Lock files of oslo.concurrency."""
        return self.run / "lock"

    @property
    def openvswitch(self) -> pathlib.Path:
        """Run directory of Open vSwitch (``OVS_RUNDIR``)."""
        return self.run / "openvswitch"

    @property
    def database_socket(self) -> pathlib.Path:
        """MariaDB's only way in: it does not listen on TCP."""
        return self.run / "mysql.sock"

    @property
    def nova(self) -> pathlib.Path:
        """Nova's state path; instances live in ``instances/<server id>/``."""
        return self.state / "nova"

    @property
    def credentials(self) -> pathlib.Path:
        """Passwords and shared secrets, mode 0600."""
        return self.state / "credentials.json"

    @property
    def resources(self) -> pathlib.Path:
        """Identifiers of what the bootstrap created."""
        return self.state / "resources.json"

    @property
    def ssh_key(self) -> pathlib.Path:
        """Private key whose public half the orchestrator gives to appliances."""
        return self.state / "ssh" / "id_ed25519"

    def log_of(self, name: str) -> pathlib.Path:
        """Name the log file of a service or set-up step."""
        return self.log / f"{name}.log"


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """Loopback TCP ports.

    They lie below 32768, where Linux starts to hand out ephemeral ports: a passing client
    connection can therefore never occupy one of them.
    """

    amqp: int = 30567
    amqp_distribution: int = 30568
    epmd: int = 30436
    keystone: int = 30500
    neutron: int = 30969
    glance: int = 30929
    placement: int = 30877
    nova: int = 30774
    nova_metadata: int = 30775
    ovsdb: int = 30664
    openflow: int = 30663


def current_layout() -> Layout:
    """Return the layout that the environment asks for."""
    return Layout(pathlib.Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT))


def environment_prefix() -> pathlib.Path:
    """Return the Python environment whose ``bin`` and ``etc`` hold the services."""
    return pathlib.Path(sys.prefix)
