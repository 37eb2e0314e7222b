"""What the appliance has: its NICs, their stable names and their observed state.

A NIC is known to the outside as geN. ge0 is management; the others are numbered in the order in
which they were first seen, and a number belongs to its MAC for good: unplugging one NIC never
renumbers another, whatever the kernel calls them. Numbers are kept in the state directory. It
never changes a device. Called by the pipeline, the API and the agent.
"""

import logging
import pathlib
import threading
from collections.abc import Iterable, Mapping

import msgspec

from astara_contract import status

from .drivers import base
from .system import files, netlink

LOG = logging.getLogger(__name__)

NAMES_FILE = "nics.json"


class NicNames:
    """The memory of which MAC has which geN name."""

    def __init__(self, state_dir: pathlib.Path, management_mac: str | None) -> None:
        self._file = state_dir / NAMES_FILE
        self._management_mac = management_mac.lower() if management_mac else None
        self._numbers: Mapping[str, int] = _load(self._file)
        self._on_disk: Mapping[str, int] = self._numbers
        self._lock = threading.Lock()

    def learn(self, macs: Iterable[str]) -> Mapping[str, str]:
        """Return the name of each of `macs`; new ones get a number, which is on disk before this
        returns, if the disk takes it.
        """
        present = [mac.lower() for mac in macs]
        with self._lock:
            numbers = number_nics(self._numbers, present, self._management_mac)
            if numbers != self._on_disk:
                self._keep(numbers)
            self._numbers = numbers
        return {mac: f"ge{numbers[mac]}" for mac in present}

    def _keep(self, numbers: Mapping[str, int]) -> None:
        try:
            files.write_file(self._file, msgspec.json.encode(numbers).decode() + "\n", 0o600)
        except OSError as error:
            # A name that is only good until the restart is better than none; we try again.
            LOG.error("nic_names.not_kept file=%s error=%s", self._file, error)
        else:
            self._on_disk = numbers


def number_nics(
    known: Mapping[str, int], present: Iterable[str], management_mac: str | None
) -> dict[str, int]:
    """Return `known` and a number for each new MAC of `present`: 0 for management, else one never
    used.

    Without a known management MAC the first NIC ever seen is management.
    """
    numbers = dict(known)
    if management_mac is not None:
        numbers = {mac: n for mac, n in numbers.items() if n != 0 or mac == management_mac}
        numbers[management_mac] = 0
    for mac in present:
        if mac not in numbers:
            lowest = 0 if management_mac is None and not numbers else 1
            numbers[mac] = max([lowest - 1, *known.values(), *numbers.values()]) + 1
    return numbers


def gather(names: NicNames) -> base.Facts:
    """Return the NICs as they are plugged now."""
    with netlink.opened() as kernel:
        links = kernel.links()
    known = names.learn(link.mac for link in links)
    return base.Facts({x.mac: base.Nic(x.mac, x.device, known[x.mac]) for x in links})


def interfaces(names: NicNames) -> tuple[status.InterfaceState, ...]:
    """Return the observed state of each NIC, in the order of their names."""
    with netlink.opened() as kernel:
        links, addresses = kernel.links(), kernel.addresses()
    known = names.learn(link.mac for link in links)
    states = (
        status.InterfaceState(
            ifname=known[link.mac],
            lladdr=link.mac,
            device=link.device,
            mtu=link.mtu,
            addresses=tuple(sorted(addresses.get(link.index, ()))),
            state="up" if link.up else "down",
        )
        for link in links
    )
    return tuple(sorted(states, key=lambda state: int(state.ifname.removeprefix("ge"))))


def _load(path: pathlib.Path) -> dict[str, int]:
    text = files.read_file(path)
    if text is None:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, int])
    except msgspec.DecodeError as error:
        # Names may change, which costs less than an appliance that does not start.
        LOG.error("nic_names.unreadable file=%s error=%s", path, error)
        return {}
