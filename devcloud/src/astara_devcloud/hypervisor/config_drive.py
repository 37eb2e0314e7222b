"""The files of a server's config drive, as cloud-init knows them, in a directory.

It decides one thing that Nova does not: VIFs without addresses are named in network_data.json too.
Called by the driver's spawn.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from nova.api.metadata import base as instance_metadata
from nova.network import model
from nova.virt import netutils

from . import vif as vif_plugging


def write(
    directory: pathlib.Path, instance: Any, files: Any, password: str | None, vifs: Sequence[Any]
) -> None:
    """Write the config drive of an instance into a directory."""
    info = model.NetworkInfo(vifs)
    metadata = instance_metadata.InstanceMetadata(
        instance,
        content=files,
        extra_md={"admin_pass": password} if password else {},
        network_info=info,
        network_metadata=with_all_links(netutils.get_network_metadata(info), vifs),
    )
    for name, data in metadata.metadata_for_config_drive():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)


def with_all_links(network_data: dict[str, Any] | None, vifs: Sequence[Any]) -> dict[str, Any]:
    """Return network_data with a link for each VIF that has none.

    Nova leaves out a VIF whose network has no subnet, or whose port has no address; a real
    hypervisor's guest would find the NIC all the same, and learn its MTU from the drive.
    """
    data = network_data or {"links": [], "networks": [], "services": []}
    known = {link["vif_id"] for link in data["links"]}
    missing = [
        {
            "id": vif_plugging.tap_name(vif),
            "vif_id": vif["id"],
            "type": vif["type"],
            "mtu": (vif["network"].get("meta") or {}).get("mtu"),
            "ethernet_mac_address": vif["address"],
        }
        for vif in vifs
        if vif["id"] not in known
    ]
    return {**data, "links": [*data["links"], *missing]}
