"""Plug by an internal port of Open vSwitch's integration bridge.

Neutron's openvswitch agent (or ovn-controller) recognises the port by its iface-id and wires it.
A device of our own that belongs to another port is pulled out: it is what a port that somebody
deleted has left.
"""

from .command import run
from .port import LocalPort, device_name

OWNED = "astara-management"


def plug(port: LocalPort) -> str:
    """Make the internal port and return its device name."""
    device = device_name("tap", port.port_id)
    for stale in _owned(port.bridge) - {device}:
        run("ovs-vsctl", "--if-exists", "del-port", port.bridge, stale)
    settings = [
        "type=internal",
        f"external_ids:iface-id={port.port_id}",
        "external_ids:iface-status=active",
        f'external_ids:attached-mac="{port.mac_address}"',
        f"external_ids:{OWNED}=true",
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


def _owned(bridge: str) -> set[str]:
    """Name the devices of this bridge that an earlier call made."""
    marked = run(
        "ovs-vsctl",
        *("--bare", "--columns=name", "find", "Interface", f"external_ids:{OWNED}=true"),
    )
    on_bridge = run("ovs-vsctl", "list-ports", bridge)
    return set(marked.split()) & set(on_bridge.split())
