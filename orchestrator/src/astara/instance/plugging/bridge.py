"""Plug by a veth pair whose far end lies in the Linux bridge of the network (``brq...``).

The bridge is made here if no agent has made it yet: an agent finds the tap in any bridge that has
the name it would have given.
"""

from .command import CommandFailed, run
from .port import LocalPort, device_name

_BRIDGE_NAME_LENGTH = 14


def plug(port: LocalPort) -> str:
    """Make the pair and return the name of the near end."""
    near = device_name("ns-", port.port_id)
    far = device_name("tap", port.port_id)
    bridge = ("brq" + port.network_id)[:_BRIDGE_NAME_LENGTH]
    if not _exists(bridge):
        run("ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0")
        run("ip", "link", "set", bridge, "up")
    if not _exists(near):
        run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
    mtu = ["mtu", str(port.mtu)] if port.mtu is not None else []
    run("ip", "link", "set", far, *mtu, "master", bridge, "up")
    return near


def _exists(device: str) -> bool:
    try:
        run("ip", "link", "show", "dev", device)
    except CommandFailed:
        return False
    return True
