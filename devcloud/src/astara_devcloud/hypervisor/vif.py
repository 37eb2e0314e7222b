"""Plugging of VIFs: a veth pair, one end in the integration bridge, the other for the guest.

It decides what the two ends look like and what Open vSwitch is told, so that Neutron's agent finds
the port. The bridge end stays for the life of the attachment: power cycles never flap a Neutron
port. It must never give the host an address on, or an opinion about, what the guests say to each
other. Called by the driver.
"""

import contextlib
import itertools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import commands, errors
from .store import Nic

OVS_TIMEOUT_S = 10
DEFAULT_MTU = 1500
_NET = pathlib.Path("/sys/class/net")


def tap_name(vif: Mapping[str, Any]) -> str:
    """Return the name of a VIF's bridge end: Nova's choice, else what Neutron's agents expect."""
    return str(vif.get("devname") or ("tap" + str(vif["id"]))[:14])


def plugged(nic: Nic) -> bool:
    """Tell whether a NIC's bridge end exists."""
    return (_NET / nic.tap).exists()


def assign(have: Sequence[Nic], vifs: Iterable[Mapping[str, Any]]) -> list[Nic]:
    """Return the NICs a server has once these VIFs are among them.

    A NIC that was there keeps its device name and its place; a new one gets the first name that is
    free. Raise UnsupportedVif for a port that was not bound for Open vSwitch.
    """
    nics = {nic.tap: nic for nic in have}
    for vif in vifs:
        tap = tap_name(vif)
        used = {nic.device for nic in nics.values()}
        device = nics[tap].device if tap in nics else _first_free(used)
        nics[tap] = _nic(vif, device)
    return list(nics.values())


def _first_free(used: set[str]) -> str:
    return next(name for name in map("eth{}".format, itertools.count()) if name not in used)


def _nic(vif: Mapping[str, Any], device: str) -> Nic:
    if vif["type"] != "ovs":
        kind = f"port {vif['id']} is bound as {vif['type']!r}"
        raise errors.UnsupportedVif(f"{kind}, only 'ovs' can be plugged")
    network = vif["network"]
    return Nic(
        tap=tap_name(vif),
        device=device,
        mac=vif["address"],
        mtu=int((network.get("meta") or {}).get("mtu") or DEFAULT_MTU),
        bridge=network["bridge"],
        port_id=vif.get("ovs_interfaceid") or vif["id"],
    )


def plug(uuid: str, nics: Sequence[Nic]) -> None:
    """Make the veth pairs that are missing and put all bridge ends into their bridge.

    Idempotent: Nova calls it for every server when nova-compute starts.
    """
    new = [nic for nic in nics if not plugged(nic)]
    if new:
        commands.run(["ip", "-batch", "-"], stdin="".join(map(_add_pair, new)))
        for nic in new:
            _quieten(nic)
        up = "".join(f"link set {nic.tap} up\n" for nic in new)
        commands.run(["ip", "-batch", "-"], stdin=up)
    if nics:
        _vsctl(arg for nic in nics for arg in _port_arguments(uuid, nic))


def _add_pair(nic: Nic) -> str:
    inside = f"name {nic.parked} address {nic.mac} mtu {nic.mtu}"
    return (
        f"link add {nic.tap} mtu {nic.mtu} type veth peer {inside}\nlink set {nic.tap} arp off\n"
    )


def _quieten(nic: Nic) -> None:
    # Open vSwitch in user space reads the bridge end as a packet socket, so the host's own stack
    # hears the guest as well: it must not answer, nor believe a guest's router advertisements.
    for end in (nic.tap, nic.parked):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            pathlib.Path(f"/proc/sys/net/ipv6/conf/{end}/disable_ipv6").write_text("1")
    # Nor does that datapath finish partial checksums: TCP and DHCP would fail where ping works.
    commands.run(["ethtool", "-K", nic.parked, "tx", "off"])


def _port_arguments(uuid: str, nic: Nic) -> list[str]:
    return [
        *("--", "--may-exist", "add-port", nic.bridge, nic.tap),
        *("--", "set", "Interface", nic.tap),
        f"external_ids:iface-id={nic.port_id}",
        f"external_ids:attached-mac={nic.mac}",
        f"external_ids:vm-uuid={uuid}",
        "external_ids:iface-status=active",
    ]


def replug(uuid: str, nics: Sequence[Nic]) -> None:
    """Take bridge ends out of their bridge and put them in again; the pairs stay."""
    if nics:
        _take_out(nic.tap for nic in nics)
        plug(uuid, nics)


def tagged() -> set[str]:
    """Return the names of all ports of Open vSwitch that have a VLAN tag."""
    return set(_vsctl(["--bare", "--columns=name", "find", "Port", "tag!=[]"]).split())


def unplug(taps: Iterable[str]) -> None:
    """Take bridge ends out of their bridge and remove the pairs, wherever their other ends are."""
    names = sorted(set(taps))
    if not names:
        return
    try:
        _take_out(names)
    finally:
        # Also when Open vSwitch does not answer: without the device its port carries nothing.
        lines = "".join(f"link del {tap}\n" for tap in names)
        commands.run(["ip", "-force", "-batch", "-"], stdin=lines, check=False)


def _take_out(taps: Iterable[str]) -> None:
    _vsctl(arg for tap in taps for arg in ("--", "--if-exists", "del-port", tap))


def _vsctl(arguments: Iterable[str]) -> str:
    # Its own --timeout makes ovs-vsctl say what it waited for; ours is for an ovs-vsctl that
    # cannot even do that.
    argv = ["ovs-vsctl", f"--timeout={OVS_TIMEOUT_S}", *arguments]
    try:
        return commands.run(argv, timeout_s=OVS_TIMEOUT_S + 5)
    except (errors.CommandFailed, errors.CommandTimedOut) as exc:
        raise type(exc)(f"Open vSwitch does not do what it is asked: {exc}") from exc
