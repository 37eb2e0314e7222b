"""This node's own port on the management network: find or make it, plug it, address it.

Decides nothing about appliances. May be called at every start: what is right already is left
alone, so that connections survive. Called by the preflight; what other processes need is left in
``management.json`` under ``state_path``.
"""

import ipaddress
import logging
import os
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from .. import clock
from ..clients import errors
from ..clients.connect import open_cloud
from ..clients.neutron import Neutron, Port
from ..machine import instance_port
from . import failures, ports
from .plugging import address, bridge, openvswitch
from .plugging.command import CommandFailed
from .plugging.port import LocalPort

LOG = logging.getLogger(__name__)

NAME = "ASTARA:RUG:SERVICE"
OWNER = "network:astara"
RECORD = "management.json"
_ACTIVE = "ACTIVE"
_ACTIVE_TIMEOUT_S = 30.0
_PAUSE_S = 0.5
_DRIVERS: dict[str, Callable[[LocalPort], str] | None] = {
    "openvswitch": openvswitch.plug,
    "bridge": bridge.plug,
    "null": None,
}
_HISTORIC = {
    "OVSInterfaceDriver": "openvswitch",
    "BridgeInterfaceDriver": "bridge",
    "NullDriver": "null",
}


class Record(msgspec.Struct, frozen=True):
    """What is left for the other processes of this node."""

    address: str
    prefix_length: int
    device: str
    port_id: str


def ensure_local_port(conf: Any) -> str:
    """Plug this node's management port and return its address.

    Raises ``instance_port.Retry`` while Neutron is away, ``OperatorError`` with a remedy if no
    retry helps.
    """
    with failures.translated():
        neutron = open_cloud(conf).neutron
        port = find_or_create(neutron, conf)
        local = _describe(neutron, conf, port)
    device = _plug(driver_name(conf.interface_driver), local)
    if device:
        with failures.translated():
            _wait_until_active(neutron, port.id)
    _write(conf.state_path, Record(local.address, local.prefix_length, device, port.id))
    LOG.info("management.ready device=%s address=%s port=%s", device, local.address, port.id)
    return local.address


def recorded_address(state_path: str) -> str:
    """Return the address that ``ensure_local_port`` left for the processes of this node."""
    path = pathlib.Path(state_path) / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record).address
    except (OSError, msgspec.MsgspecError) as error:
        reason = f"{path} does not tell the management address ({error}); run the preflight"
        raise instance_port.OperatorError(reason) from error


def driver_name(configured: str) -> str:
    """Return the short name of an interface driver that may be given by its historic path."""
    short = configured.rpartition(".")[2]
    name = _HISTORIC.get(short, short)
    if name not in _DRIVERS:
        known = ", ".join(sorted(_DRIVERS))
        raise instance_port.OperatorError(
            f"interface_driver is {configured!r}, not one of {known}"
        )
    return name


def find_or_create(neutron: Neutron, conf: Any) -> Port:
    """Return this node's port, made if need be; a second node has a port of its own."""
    device_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, conf.host))
    found = neutron.ports(
        project_id=neutron.project_id,
        network_id=conf.management_network_id,
        device_id=device_id,
        device_owner=OWNER,
    )
    if found:
        return min(found, key=lambda port: (port.created_at, port.id))
    return neutron.create_port(
        {
            "name": NAME,
            "network_id": conf.management_network_id,
            "fixed_ips": [{"subnet_id": conf.management_subnet_id}],
            "device_id": device_id,
            "device_owner": OWNER,
            "binding:host_id": conf.management_binding_host or conf.host,
            "port_security_enabled": False,
            "security_groups": [],
            "admin_state_up": True,
        }
    )


def _describe(neutron: Neutron, conf: Any, port: Port) -> LocalPort:
    own = ports.address_of(port, conf.management_subnet_id)
    if own is None:
        reason = f"management port {port.id} has no address: check management_subnet_id"
        raise instance_port.OperatorError(reason)
    subnet = neutron.subnet(conf.management_subnet_id)
    mtu = conf.network_device_mtu or neutron.network(conf.management_network_id).mtu
    return LocalPort(
        host=conf.host,
        port_id=port.id,
        network_id=port.network_id,
        mac_address=port.mac_address,
        address=own,
        prefix_length=ipaddress.ip_network(subnet.cidr).prefixlen,
        mtu=mtu,
        is_active=port.status == _ACTIVE,
        bridge=conf.ovs_integration_bridge,
    )


def _plug(name: str, local: LocalPort) -> str:
    """Plug and address the device; return its name, empty if somebody else does that."""
    plug = _DRIVERS[name]
    if plug is None:
        return ""
    try:
        device = plug(local)
        address.bring_up(device, local)
    except CommandFailed as error:
        reason = f"cannot plug the management port by interface_driver {name}: {error}"
        raise instance_port.OperatorError(reason) from error
    return device


def _wait_until_active(neutron: Neutron, port_id: str) -> None:
    """Wait until Neutron's agent has wired the port."""
    deadline = clock.SYSTEM.monotonic() + _ACTIVE_TIMEOUT_S
    while (port := neutron.port(port_id)).status != _ACTIVE:
        if clock.SYSTEM.monotonic() > deadline:
            reason = (
                f"port {port_id} is {port.status} after {_ACTIVE_TIMEOUT_S:.0f} s: does Neutron's "
                "agent run on this node, and under the name of [DEFAULT] host, or of "
                "management_binding_host?"
            )
            raise errors.Unavailable("network", "wait for the management port", reason)
        clock.SYSTEM.sleep(_PAUSE_S)


def _write(state_path: str, record: Record) -> None:
    """Leave the record in one step, so that no reader sees half of it."""
    path = pathlib.Path(state_path) / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(record))
    os.replace(fresh, path)
