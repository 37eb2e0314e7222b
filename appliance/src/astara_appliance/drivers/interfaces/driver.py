"""Bring NICs into the state that `plan` computed, by netlink and /proc/sys.

It never touches lo and never takes an address from management. Neighbours hear of each added
address at once, and connections of a removed IPv4 address are forgotten, so that none lives on
with an address that is no longer ours. Called by the pipeline.
"""

import ipaddress
from typing import TYPE_CHECKING

from ...system import addresses, announce, netlink, process, sysctl
from .. import base
from . import plan

if TYPE_CHECKING:
    from astara_contract.document import Document

    from ...system.paths import Paths


_MANY = 500  # addresses that come or go at once


class InterfacesDriver:
    """Links, addresses, kernel parameters."""

    name = "interfaces"

    def __init__(self, paths: "Paths") -> None:
        del paths  # the kernel holds all our state
        self._announcer = announce.Announcer()
        self._book = addresses.Book()

    def render(self, document: "Document", facts: base.Facts) -> plan.Desired:
        """Compute what every NIC is to be."""
        return plan.plan_interfaces(document, facts)

    def check(self, desired: plan.Desired) -> None:
        """Refuse what the kernel is known to refuse."""
        reason = plan.complaint(desired)
        if reason is not None:
            raise base.CheckFailed(self.name, reason)

    def observe(self) -> plan.Observed:
        """Read links, addresses and parameters."""
        with netlink.opened() as kernel:
            links = kernel.links()
        v4, v6 = self._book.read()
        keys = [*plan.HOST_SYSCTLS]
        for link in links:
            keys += [key.format(link.device) for key in plan.CARRIER_SYSCTLS]
        values = {key: sysctl.get(key) for key in keys}
        return plan.Observed(
            links=tuple(
                _observed(link, v4.get(link.index, frozenset()), v6.get(link.index, frozenset()))
                for link in links
            ),
            sysctls={key: value for key, value in values.items() if value is not None},
        )

    def diff(self, observed: plan.Observed, desired: plan.Desired) -> plan.Change:
        """Compute what has to change."""
        return plan.change_interfaces(observed, desired)

    def explain(self, change: plan.Change) -> tuple[str, ...]:
        """Name devices and what they have or lack."""
        return plan.explain_interfaces(change)

    def apply(self, change: plan.Change) -> None:
        """Make the changes, host first, then NIC by NIC."""
        if sum(len(link.add) + len(link.remove) for link in change.links) > _MANY:
            self._book.forget()
        for key, value in change.sysctls:
            self._set(key, value)
        with netlink.opened() as kernel:
            links = {link.device: link for link in kernel.links()}
            for wanted in change.links:
                link = links.get(wanted.device)
                if link is None:
                    raise base.ApplyFailed(self.name, f"NIC {wanted.device} is gone")
                self._change(kernel, link, wanted)
        self._announcer.announce(_announcements(change))
        _forget_connections(change)

    def verify(self, desired: plan.Desired) -> None:
        """Raise VerifyFailed when anything differs."""
        observed = self.observe()
        left = self.diff(observed, desired)
        if left:
            raise base.VerifyFailed(self.name, f"not in effect: {left}")
        present = {link.device for link in observed.links}
        missing = [wanted.device for wanted in desired.links if wanted.device not in present]
        if missing:
            raise base.VerifyFailed(self.name, f"NIC {missing[0]} is gone")

    def _change(
        self, kernel: netlink.Netlink, link: netlink.Link, wanted: plan.LinkChange
    ) -> None:
        # MTU first: below 1280 the kernel drops all of IPv6 on the device, above it makes it anew.
        if wanted.mtu is not None:
            kernel.set_link(link, mtu=wanted.mtu)
        for key, value in wanted.sysctls:
            self._set(key, value)
        kernel.remove_addresses(link, wanted.remove_first)
        # Or router advertisements would carry the metadata address, whenever it is the newer.
        missing = {address: address == plan.METADATA_V6 for address in wanted.add}
        if wanted.up:
            # On a device that is up the kernel walks all addresses once more for each added one.
            first = {address: False for address in missing if ":" not in address}
            kernel.add_addresses(link, first)
            kernel.set_link(link, up=True)
            missing = {address: old for address, old in missing.items() if address not in first}
        kernel.add_addresses(link, missing)
        kernel.remove_addresses(link, wanted.remove)
        if wanted.up is False:
            kernel.set_link(link, up=False)

    def _set(self, key: str, value: str) -> None:
        try:
            sysctl.put(key, value)
        except OSError as error:
            reason = f"kernel refused {key}={value}: {error.strerror}"
            raise base.ApplyFailed(self.name, reason) from error


def _observed(link: netlink.Link, v4: frozenset[str], v6: frozenset[str]) -> plan.ObservedLink:
    return plan.ObservedLink(
        device=link.device,
        mac=link.mac,
        up=link.up,
        mtu=link.mtu,
        addresses=v4 | {plan.normal(address) for address in v6},
    )


def _announcements(change: plan.Change) -> list[announce.Announcement]:
    return [
        announce.Announcement(link.device, link.mac, address.partition("/")[0])
        for link in change.links
        for address in link.add
    ]


def _forget_connections(change: plan.Change) -> None:
    added = {address.partition("/")[0] for link in change.links for address in link.add}
    for link in change.links:
        for address in (*link.remove_first, *link.remove):
            ip = ipaddress.ip_interface(address).ip
            floating = address.endswith("/32")  # the firewall ends theirs
            if ip.version == 4 and not floating and str(ip) not in added:
                _forget_connections_of(str(ip))


def _forget_connections_of(address: str) -> None:
    """Delete the conntrack entries of connections to `address`, and of those translated to it.

    They would live on by their entries alone.
    """
    for direction in ("--orig-dst", "--reply-dst"):
        # Status 1 says that no entry matched.
        process.run(["conntrack", "-D", direction, address], accept=frozenset({0, 1}))
