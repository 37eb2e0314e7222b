"""Give a plugged device its MAC, MTU and address.

The address is set by hand even on a SLAAC subnet: it is the one that Neutron chose, and nobody has
to advertise the prefix. Another global address on the device is removed, since replies would
leave with it.
"""

import ipaddress
import logging
import pathlib

import msgspec

from .command import run
from .port import LocalPort

LOG = logging.getLogger(__name__)


class _Address(msgspec.Struct, frozen=True):
    local: str
    prefixlen: int
    scope: str = "global"


class _Link(msgspec.Struct, frozen=True):
    ifname: str
    addr_info: tuple[_Address, ...] = ()


def bring_up(device: str, port: LocalPort) -> None:
    """Make ``device`` carry the port's address and nothing else."""
    _ignore_advertisements(device)
    mtu = ["mtu", str(port.mtu)] if port.mtu is not None else []
    run("ip", "link", "set", device, "address", port.mac_address, *mtu, "up")
    wanted = f"{port.address}/{port.prefix_length}"
    present = _global_addresses(device)
    if wanted not in present:
        no_dad = ["nodad"] if ipaddress.ip_address(port.address).version == 6 else []
        run("ip", "address", "replace", wanted, "dev", device, *no_dad)
    for other in present - {wanted}:
        run("ip", "address", "del", other, "dev", device)


def _global_addresses(device: str) -> set[str]:
    links = msgspec.json.decode(
        run("ip", "-json", "address", "show", "dev", device), type=list[_Link]
    )
    return {
        f"{address.local}/{address.prefixlen}"
        for link in links
        for address in link.addr_info
        if address.scope == "global"
    }


def _ignore_advertisements(device: str) -> None:
    """Take no route or address from what others advertise on the management network."""
    setting = pathlib.Path(f"/proc/sys/net/ipv6/conf/{device}/accept_ra")
    try:
        setting.write_text("0")
    except OSError as error:
        LOG.info("management.accept_ra device=%s reason=%s", device, error)
