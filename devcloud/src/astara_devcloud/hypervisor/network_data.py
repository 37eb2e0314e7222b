"""What network_data.json of a config drive must name besides what Nova writes into it.

Pure. Called by `config_drive`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from . import vif as vif_plugging


def with_all_links(
    network_data: dict[str, Any] | None, vifs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
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
