"""Open vSwitch with its userspace datapath: database file, bridges, and what it leaves behind.

The userspace datapath makes tap devices (``br-int``, ``ovs-netdev``, ...) in the host's network
namespace which outlive ``ovs-vswitchd``. The database names every one of them, also offline.
"""

import json
import pathlib

from astara_devcloud import commands, layout, settings

SCHEMA = pathlib.Path("/usr/share/openvswitch/vswitch.ovsschema")
BRIDGES = (settings.INTEGRATION_BRIDGE, settings.EXTERNAL_BRIDGE)
DATAPATH_DEVICE = "ovs-netdev"
TUNNEL_BRIDGE = "br-tun"
NET = pathlib.Path("/sys/class/net")
SELECT_INTERFACES = json.dumps(
    ["Open_vSwitch", {"op": "select", "table": "Interface", "where": [], "columns": ["name"]}]
)


class ForeignDeviceError(Exception):
    """A network device that we would create exists already and is not ours."""


def database_path(where: layout.Layout) -> pathlib.Path:
    """Return the database file."""
    return where.openvswitch / "conf.db"


def require_no_other(where: layout.Layout) -> None:
    """Raise ForeignDeviceError if the devices that we would create belong to somebody else."""
    if database_path(where).exists():
        return
    names = (*BRIDGES, TUNNEL_BRIDGE, DATAPATH_DEVICE)
    foreign = [name for name in names if (NET / name).exists()]
    if foreign:
        raise ForeignDeviceError(
            f"network devices {', '.join(foreign)} exist: another Open vSwitch uses this host"
        )


def create_database(where: layout.Layout) -> None:
    """Create the database unless it exists."""
    path = database_path(where)
    if not path.exists():
        commands.run(["ovsdb-tool", "create", str(path), str(SCHEMA)])


def vsctl(where: layout.Layout, *arguments: str) -> str:
    """Run ovs-vsctl against our instance."""
    environment = {"OVS_RUNDIR": str(where.openvswitch)}
    return commands.run(["ovs-vsctl", "--timeout=20", *arguments], environment=environment)


def create_bridges(where: layout.Layout) -> None:
    """Make sure that the integration and the external bridge exist."""
    vsctl(where, "--no-wait", "init")
    arguments: list[str] = []
    for name in BRIDGES:
        arguments += ["--", "--may-exist", "add-br", name]
        arguments += ["--", "set", "bridge", name, "datapath_type=netdev"]
    arguments += ["--", "set", "bridge", settings.INTEGRATION_BRIDGE, "fail_mode=secure"]
    vsctl(where, *arguments)


def interface_names(where: layout.Layout) -> list[str]:
    """List the interfaces in the database file; works with the server down."""
    path = database_path(where)
    if not path.exists():
        return []
    answer = commands.run(["ovsdb-tool", "query", str(path), SELECT_INTERFACES])
    return parse_interfaces(answer)


def parse_interfaces(answer: str) -> list[str]:
    """Read the names from ovsdb-tool's answer (RFC 7047, section 5.2.2)."""
    (result,) = json.loads(answer)
    return [str(row["name"]) for row in result["rows"]]


def remove_devices(where: layout.Layout) -> None:
    """Delete the devices that a stopped Open vSwitch left, and its database."""
    path = database_path(where)
    if not path.exists():
        return
    for name in (*interface_names(where), DATAPATH_DEVICE):
        if (NET / name).exists():
            commands.run(["ip", "link", "delete", name])
    path.unlink()
