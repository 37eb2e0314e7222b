"""The agent and what it starts hold the capabilities that drivers need, and no other."""

import pathlib
import re

import pytest

from astara_appliance.system import privileges

UNIT = "image/contents/files/usr/lib/systemd/system/astara-appliance.service"
ALLOWED = sum(1 << number for number in privileges.NEEDED.values())


def sets_of(status):
    """The capability sets in the text of /proc/PID/status."""
    found = re.findall(r"^(Cap\w+):\s+([0-9a-f]+)$", status, flags=re.MULTILINE)
    return {name: int(value, 16) for name, value in found}


def test_unit_of_the_image_names_the_same():
    text = (pathlib.Path(__file__).parents[3] / UNIT).read_text()
    lines = re.findall(r"^CapabilityBoundingSet=(.*)$", text, flags=re.MULTILINE)
    assert {word for line in lines for word in line.split()} == set(privileges.NEEDED)
    assert "CAP_SYS_ADMIN" not in privileges.NEEDED
    assert "NoNewPrivileges=yes" in text


@pytest.mark.functional
def test_no_process_of_an_appliance_has_more_than_it_needs(appliance_host):
    nic, outside = appliance_host.plug("blue"), appliance_host.plug("ext")
    appliance_host.start_agent()
    networks = [
        appliance_host.network("internal", nic, ["192.168.0.1/24"], ["192.168.0.0/24"]),
        appliance_host.network("external", outside, ["203.0.113.2/24"], ["203.0.113.0/24"]),
    ]
    networks[0]["subnets"][0]["dhcp_enabled"] = True
    appliance_host.push(appliance_host.document(networks, hostname="small"))
    assert appliance_host.execute("hostname").strip() == "small"
    script = "for f in /proc/[0-9]*/task/*/status; do cat $f; echo =; done"
    held = {}
    for status in appliance_host.execute("sh", "-c", script).split("=\n"):
        name = status.partition("\n")[0].removeprefix("Name:").strip()
        if name in ("sh", "cat", "sleep", "") or "CapEff" not in status:
            continue
        sets = sets_of(status)
        held[name] = sets
        assert sets["CapBnd"] == ALLOWED, name
        assert not (sets["CapPrm"] | sets["CapEff"] | sets["CapInh"]) & ~ALLOWED, name
        assert not sets["CapAmb"], name
        assert re.search(r"^NoNewPrivs:\s+1$", status, flags=re.MULTILINE), name
    assert len(held) > 1, held  # the agent and its dnsmasq
    # dnsmasq has given up root and keeps what DHCP needs: less than we have.
    assert held["dnsmasq"]["CapEff"] < ALLOWED
