"""The management NIC: what boot told us about it, and bringing it up.

Everything else the appliance does needs this one address, so it is set up before the agent and
outside the pipeline. The settings are kept in the state directory, so that the agent finds them
after a reboot without a config drive too. Called by astara-configure-management and at the start
of the agent.
"""

import ipaddress
import logging
import pathlib

import msgspec

from . import announce, files, netlink, sysctl

LOG = logging.getLogger(__name__)

SETTINGS_FILE = "management.json"
API_PORT = 5000


class Management(msgspec.Struct, frozen=True, kw_only=True):
    """How this appliance is reached; `routes` are [destination, next hop] pairs."""

    mac: str
    addresses: tuple[str, ...]
    mtu: int | None = None
    api_port: int = API_PORT
    routes: tuple[tuple[str, str], ...] = ()


class ManagementError(Exception):
    """The management NIC cannot be set up; the text says why."""


def load(state_dir: pathlib.Path) -> Management | None:
    """Return the settings that boot left, None if there are none (or none that can be read)."""
    text = files.read_file(state_dir / SETTINGS_FILE)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Management)
    except msgspec.DecodeError as error:
        LOG.error("management-settings-unreadable error=%s", error)
        return None


def save(state_dir: pathlib.Path, settings: Management) -> None:
    """Keep the settings for the agent."""
    files.write_file(state_dir / SETTINGS_FILE, msgspec.json.encode(settings).decode() + "\n")


def check(settings: Management) -> None:
    """Raise ManagementError if the settings make no sense."""
    try:
        for address in settings.addresses:
            ipaddress.ip_interface(address)
        for destination, nexthop in settings.routes:
            ipaddress.ip_network(destination)
            ipaddress.ip_address(nexthop)
    except ValueError as error:
        raise ManagementError(str(error)) from error
    if not settings.addresses:
        raise ManagementError("no management address given")


def bring_up(settings: Management) -> str:
    """Give the management NIC its state, MTU, addresses and routes; return its device name.
    Idempotent.
    """
    with netlink.opened() as kernel:
        link = _find(kernel, settings.mac)
        for key, value in (("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")):
            _set(f"net/ipv6/conf/{link.device}/{key}", value)
        if settings.mtu is not None and settings.mtu != link.mtu:
            kernel.set_link(link, mtu=settings.mtu)
        if not link.up:
            kernel.set_link(link, up=True)
        present = kernel.addresses().get(link.index, frozenset())
        present = frozenset(_normal(address) for address in present)
        missing = [address for address in settings.addresses if _normal(address) not in present]
        for address in missing:
            kernel.add_address(link, address)
        for destination, nexthop in settings.routes:
            hop = netlink.Nexthop(nexthop, link.device, onlink=True)
            kernel.replace_route(
                netlink.Route(destination, (hop,)), netlink.BOOT_PROTOCOL, netlink.BOOT_METRIC
            )
    announce.Announcer(repeat_after_s=()).announce(
        [announce.Announcement(link.device, link.mac, a.partition("/")[0]) for a in missing]
    )
    return link.device


def _normal(address: str) -> str:
    return ipaddress.ip_interface(address).with_prefixlen


def _find(kernel: netlink.Netlink, mac: str) -> netlink.Link:
    for link in kernel.links():
        if link.mac == mac.lower():
            return link
    raise ManagementError(f"no NIC has the management MAC {mac}")


def _set(key: str, value: str) -> None:
    try:
        sysctl.put(key, value)
    except OSError as error:
        # A kernel without IPv6 still has a management address over IPv4.
        LOG.warning("sysctl-refused key=%s error=%s", key, error)
