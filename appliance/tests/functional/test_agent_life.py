"""The agent over HTTP: pushes, refusals, roll-back, its own death. Real kernel, real daemons."""

import pytest

pytestmark = pytest.mark.functional


def test_push_configures_addresses(appliance_host):
    nic = appliance_host.plug("blue")
    vm = appliance_host.segments["blue"].add_host(
        "vm1", ["192.168.0.10/24"], gateway="192.168.0.1"
    )
    appliance_host.start_agent()
    network = appliance_host.network("internal", nic, ["192.168.0.1/24"], ["192.168.0.0/24"])
    answer = appliance_host.push(appliance_host.document([network]))
    assert vm.pings("192.168.0.1")
    assert appliance_host.get("/v1/status")["digest"] == answer["digest"]
