"""network_data.json names every VIF."""

from typing import Any

import pytest

from astara_devcloud.hypervisor import network_data

VIF = {
    "id": "port-1",
    "type": "ovs",
    "devname": "tapport-1",
    "address": "fa:16:3e:00:00:01",
    "network": {"meta": {"mtu": 1400}},
}
LINK = {
    "id": "tapport-1",
    "vif_id": "port-1",
    "type": "ovs",
    "mtu": 1400,
    "ethernet_mac_address": "fa:16:3e:00:00:01",
}
NOVAS: dict[str, Any] = {"links": [{"vif_id": "port-0"}], "networks": [1], "services": [2]}


@pytest.mark.parametrize(
    ("data", "links"),
    [(None, [LINK]), (NOVAS, [{"vif_id": "port-0"}, LINK]), ({**NOVAS, "links": [LINK]}, [LINK])],
    ids=["nothing from nova", "left out", "named already"],
)
def test_links_that_nova_leaves_out_are_added(
    data: dict[str, Any] | None, links: list[Any]
) -> None:
    result = network_data.with_all_links(data, [VIF])
    assert result["links"] == links
    assert set(result) == {"links", "networks", "services"}
    if data:
        assert result["networks"] == data["networks"]
