"""Ask the cloud and an appliance about one resource: documents to compare, console, images.

Reads only; must never change anything. Opens its clients at the first need, so that a node whose
cloud is away still answers everything else. Raises `machine.instance_port.InstanceError`. Used by
`node`.
"""

import threading
import typing

import msgspec
from oslo_config import cfg

from astara_contract import document as contract

from .. import store
from ..clients import appliance, connect, errors
from ..drivers.router import needs
from ..instance import failures, management, names, pair, ports, probe, settings
from ..instance.tools import Tools
from ..machine import instance_port
from ..pki import trust
from . import messages

_SECRETS = ("_key", "password", "secret", "psk")


class Appliances:
    """The clients of the api process."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._lock = threading.Lock()
        self._tools: Tools | None = None
        self._cloud: connect.Cloud | None = None
        self._store: store.Store | None = None

    def _open(self) -> tuple[connect.Cloud, Tools]:
        with self._lock:
            if self._tools is None or self._cloud is None:
                values = settings.from_conf(self._conf)
                own = management.recorded_address(self._conf.state_path)
                with failures.translated():
                    cloud = connect.open_cloud(self._conf)
                self._store = store.store_of(self._conf)
                http = appliance.Appliances(
                    values.api_port,
                    values.alive_timeout_s,
                    values.config_timeout_s,
                    trust.from_conf(self._conf, self._store),
                )
                self._cloud = cloud
                self._tools = Tools(cloud.neutron, cloud.nova, http, values, own)
            return self._cloud, self._tools

    def documents(self, router_id: str, member: int = 0) -> messages.Documents:
        """Read what a router's appliance ought to run, and what it committed.

        `member` is the second one of a pair if it is 1.
        """
        _, tools = self._open()
        with failures.translated():
            router = tools.neutron.router(router_id)
            if router is None:
                raise instance_port.OperatorError(f"Neutron has no router {router_id}")
            needed = needs.carrier_networks(router)
            plug, peer = (
                ports.look(tools.neutron, tools.wish(router_id, needed, index))
                for index in (member, 1 - member)
            )
            if not plug.complete:
                raise instance_port.OperatorError(
                    f"router {router_id} has no complete set of ports yet: "
                    "the desired document names their MACs"
                )
            interval_ms = tools.settings.pair_advert_interval_ms
            told = pair.section(tools.address_of(peer.management), member, interval_ms)
            desired = probe.build_document(tools, router, plug, told)
            address = tools.address_of(plug.management)
            if address is None:
                raise instance_port.Retry("the management port has no address")
            running = tools.appliances.committed(address, names.appliance(router_id, member))
        committed = running.configuration
        return messages.Documents(
            id=router_id,
            desired=_text(desired),
            committed=None if committed is None else _text(committed, running.unknown),
            desired_digest=contract.digest(desired),
            committed_digest=running.digest or "",
        )

    def console(self, server_id: str, lines: int) -> str:
        """Read the end of a server's console."""
        cloud, _ = self._open()
        with failures.translated():
            return cloud.nova.console(server_id, lines)

    def image_exists(self, image_id: str) -> bool:
        """Tell whether Glance has an image, usable."""
        cloud, _ = self._open()
        with failures.translated():
            try:
                return cloud.glance.image_status(image_id) == "active"
            except errors.NotFound:
                return False

    def close(self) -> None:
        """Close connections."""
        with self._lock:
            if self._tools is not None:
                self._tools.appliances.close()
            if self._store is not None:
                self._store.close()


def _text(document: contract.Document, unknown: tuple[str, ...] = ()) -> str:
    """Give a document as text that can be compared line by line; secrets are hidden, and so is
    the node: an appliance that another one takes over is not configured anew.

    `unknown` are paths of what an appliance of a later release runs beside it.
    """
    whole = msgspec.json.decode(
        contract.encode(contract.without_owner(contract.canonical(document)))
    )
    if unknown:
        whole["(not known to this release)"] = list(unknown)
    return msgspec.json.format(msgspec.json.encode(_hidden(whole), order="sorted")).decode()


def _hidden(value: typing.Any, key: str = "") -> typing.Any:
    """Replace secrets: appliances do not tell theirs either, so they cannot be compared."""
    if isinstance(value, dict):
        return {name: _hidden(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(inner) for inner in value]
    if isinstance(value, str) and key.endswith(_SECRETS):
        return "(hidden)"
    return value
