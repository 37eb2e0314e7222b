"""Plug by an internal port of Open vSwitch's integration bridge.

Neutron's openvswitch agent (or ovn-controller) recognises the port by its iface-id and wires it.
A device of this node's own that belongs to another port is pulled out: it is what a port that
somebody deleted has left. Those of other nodes on this machine are theirs. One whose port is not
ACTIVE is plugged afresh: the agent may have overlooked it, and would never look again.
"""

from .command import run
from .port import LocalPort, device_name

OWNED = "astara-management"


def plug(port: LocalPort) -> str:
    """Make the internal port and return its device name."""
    device = device_name("tap", port.port_id)
    right = {device} if port.is_active else set()
    for stale in _owned(port) - right:
        run("ovs-vsctl", "--if-exists", "del-port", port.bridge, stale)
    settings = [
        "type=internal",
        f"external_ids:iface-id={port.port_id}",
        "external_ids:iface-status=active",
        f'external_ids:attached-mac="{port.mac_address}"',
        _mark(port),
        f'mac="{port.mac_address}"',
    ]
    if port.mtu is not None:
        settings.append(f"mtu_request={port.mtu}")
    run(
        "ovs-vsctl",
        "--timeout=15",
        *("--may-exist", "add-port", port.bridge, device),
        *("--", "set", "Interface", device, *settings),
    )
    return device


def _owned(port: LocalPort) -> set[str]:
    """Name the devices of this bridge that an earlier call of this node made."""
    marked = run("ovs-vsctl", *("--bare", "--columns=name", "find", "Interface", _mark(port)))
    on_bridge = run("ovs-vsctl", "list-ports", port.bridge)
    return set(marked.split()) & set(on_bridge.split())


def _mark(port: LocalPort) -> str:
    return f'external_ids:{OWNED}="{port.host}"'
