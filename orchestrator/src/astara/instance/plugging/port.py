"""The facts that plugging a port needs; pure."""

from dataclasses import dataclass

DEVICE_NAME_LENGTH = 14  # IFNAMSIZ is 16; Neutron's agents find devices by this convention


@dataclass(frozen=True, slots=True)
class LocalPort:
    """This node's management port: what Neutron says, and what the device shall be."""

    host: str
    port_id: str
    network_id: str
    mac_address: str
    address: str
    prefix_length: int
    mtu: int | None
    is_active: bool
    """Whether Neutron calls it wired."""

    bridge: str = "br-int"


def device_name(prefix: str, port_id: str) -> str:
    """Return the name under which Neutron's agents look for the device of a port."""
    return (prefix + port_id)[:DEVICE_NAME_LENGTH]
