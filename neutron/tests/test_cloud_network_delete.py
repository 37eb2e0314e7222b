"""In a whole cloud: a tenant deletes a network right after its interface; the NIC goes too."""

import time
from typing import Any

import pytest

pytestmark = pytest.mark.cloud

NIC_DEADLINE_S = 60.0


def devices(server: str) -> list[str]:
    """Return the names of an appliance's network devices."""
    from astara_devcloud.hypervisor import enter

    found = enter.enter(server, ["ls", "/sys/class/net"], 10)
    return sorted(found.stdout.split())


def test_a_network_goes_at_once_and_the_appliance_loses_its_nic(
    other_tenant: Any, admin: Any
) -> None:
    from astara_devcloud.story import tenant

    hands, neutron = tenant.Tenant(other_tenant), other_tenant.network
    gone, router = hands.network("gone"), hands.router("leaving")
    try:
        subnet = hands.subnet(gone, "10.77.0.0/24")
        hands.plug(router, subnet)
        hands.wait_router(router)
        [server] = [s for s in admin.compute.servers(all_projects=True) if router.id in s.name]
        before = devices(server.id)

        hands.unplug(router, subnet)
        neutron.delete_network(gone, ignore_missing=False)

        deadline = time.monotonic() + NIC_DEADLINE_S
        while len(devices(server.id)) == len(before) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert len(devices(server.id)) == len(before) - 1
        hands.wait_router(router)
        assert admin.compute.get_server(server.id).status == "ACTIVE", "it is the same appliance"
    finally:
        for port in neutron.ports(device_id=router.id):
            neutron.remove_interface_from_router(router, port=port.id)
        neutron.delete_router(router)
        neutron.delete_network(gone)
