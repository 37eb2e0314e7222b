"""Answer neighbour solicitations on external networks for the IPv6 addresses of internal hosts.

For a provider that does not route the tenants' prefixes to the router. The kernel answers; here is
decided for whom: each address of an allocation, no whole prefix, so that nobody outside can fill
our neighbour tables by asking for addresses that nobody has. In a pair nobody is answered for:
both members would. Addresses are parsed, devices vetted; nothing else reaches a command. Called by
the pipeline.
"""

import dataclasses
import ipaddress
from typing import TYPE_CHECKING

from ...system import netlink, process, sysctl
from .. import base, links

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths

_NAME = "neighbours"
_SWITCH = "net/ipv6/conf/{}/proxy_ndp"


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """On which devices and for whom: (device, address); as desired or as observed."""

    devices: frozenset[str]
    entries: frozenset[tuple[str, str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """Switches to turn and entries to add and to remove."""

    on: tuple[str, ...]
    off: tuple[str, ...]
    add: tuple[tuple[str, str], ...]
    remove: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.on or self.off or self.add or self.remove)


class NeighboursDriver:
    """See `base.Driver` for the verbs."""

    name = _NAME

    def __init__(self, paths: "Paths") -> None:
        del paths  # the kernel holds all our state

    def render(self, document: "Document", facts: base.Facts) -> Answers:
        """Compute for whom we answer."""
        if document.ha_resource:
            return Answers(frozenset(), frozenset())
        of = links.links(document, facts)
        outside = {link.device for link in of if link.role == "external" and _asked(link)}
        inside = {address for link in of if link.role == "internal" for address in _hosts(link)}
        entries = {(device, str(address)) for device in outside for address in inside}
        return Answers(frozenset(outside), frozenset(entries))

    def check(self, desired: Answers) -> None:
        """Accept: parsed addresses and vetted devices leave nothing to refuse."""

    def observe(self) -> Answers:
        """Read entries and switches from the kernel."""
        with netlink.opened() as kernel:
            entries = kernel.proxied()
        return Answers(sysctl.devices_with(_SWITCH, "1"), entries)

    def diff(self, observed: Answers, desired: Answers) -> Change:
        """Compute what differs."""
        return Change(
            on=tuple(sorted(desired.devices - observed.devices)),
            off=tuple(sorted(observed.devices - desired.devices)),
            add=tuple(sorted(desired.entries - observed.entries)),
            remove=tuple(sorted(observed.entries - desired.entries)),
        )

    def explain(self, change: Change) -> tuple[str, ...]:
        """Name what differs."""
        return (
            *(f"proxy NDP is off on {device}" for device in change.on),
            *(f"proxy NDP is on on {device}" for device in change.off),
            *(f"nobody answers for {address} on {device}" for device, address in change.add),
            *(f"answers for {address} on {device}" for device, address in change.remove),
        )

    def apply(self, change: Change) -> None:
        """Do it, all entries by one command."""
        for device in change.on:
            sysctl.put(_SWITCH.format(device), "1")
        for device in change.off:
            sysctl.put(_SWITCH.format(device), "0")
        lines = [f"neighbour del proxy {address} dev {dev}\n" for dev, address in change.remove]
        lines += [f"neighbour add proxy {address} dev {dev}\n" for dev, address in change.add]
        if lines:
            process.run(["ip", "-6", "-batch", "-"], stdin="".join(lines))

    def verify(self, desired: Answers) -> None:
        """Raise VerifyFailed when the kernel differs."""
        left = self.diff(self.observe(), desired)
        if left:
            raise base.VerifyFailed(_NAME, "; ".join(self.explain(left)[:5]))


def _asked(link: links.Link) -> bool:
    return link.network.proxy_ndp


def _hosts(link: links.Link) -> set[ipaddress.IPv6Address]:
    parsed = {
        ipaddress.ip_address(text)
        for allocation in link.network.allocations
        for text in allocation.ip_addresses
    }
    return {
        address
        for address in parsed
        if isinstance(address, ipaddress.IPv6Address) and not address.is_link_local
    }
