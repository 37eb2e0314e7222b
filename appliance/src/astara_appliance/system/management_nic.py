"""Bring the management NIC up.

Everything else the appliance does needs this one NIC, so it is set up before the agent and outside
the pipeline. It never takes an address away. Called by astara-configure-management.
"""

import ipaddress
import logging

from . import announce, management, netlink, sysctl

LOG = logging.getLogger(__name__)


def bring_up(settings: management.Management) -> str:
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
        kernel.add_addresses(link, dict.fromkeys(missing, False))
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
    raise management.ManagementError(f"no NIC has the management MAC {mac}")


def _set(key: str, value: str) -> None:
    try:
        sysctl.put(key, value)
    except OSError as error:
        # A kernel without IPv6 still has a management address over IPv4.
        LOG.warning("sysctl.refused key=%s error=%s", key, error)
