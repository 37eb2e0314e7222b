"""Whatever is broken behind the agent's back is told, put right and counted. Real kernel, real
daemons.
"""

import json
import os
import signal

import pytest

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def router(shared_appliance_host):
    """An appliance between ext and blue, with DHCP and metadata."""
    host = shared_appliance_host
    ext, blue = host.plug("ext"), host.plug("blue")
    host.start_agent()
    external = host.network(
        "external",
        ext,
        ["203.0.113.9/24"],
        [{"cidr": "203.0.113.0/24", "gateway_ip": "203.0.113.1"}],
        mtu=1500,
    )
    subnet = {"cidr": "192.168.0.0/24", "gateway_ip": "192.168.0.1", "dhcp_enabled": True}
    internal = host.network("internal", blue, ["192.168.0.1/24", "fd00:b::1/64"], [subnet])
    metadata = {"address": "fdca:3ba5:a17a:acda::1", "metadata_key": "ab" * 32}
    host.good = host.document([external, internal], orchestrator=metadata)
    host.push(host.good)
    return host


def kill(router, name):
    pid = next(d["pid"] for d in router.get("/v1/system/facts")["daemons"] if d["name"] == name)
    router.execute("kill", "-KILL", str(pid))


def remove(router, path):
    (router.root / path).unlink()


BREAKS = {
    "address-gone": (
        "interfaces",
        "no address 192.168.0.1/24",
        "ip addr del 192.168.0.1/24 dev eth2",
    ),
    "address-foreign": (
        "interfaces",
        "foreign address 10.66.0.1/24",
        "ip addr add 10.66.0.1/24 dev eth2",
    ),
    "link-down": ("interfaces", "eth2: is down", "ip link set eth2 down"),
    "mtu": ("interfaces", "MTU is not 1500", "ip link set eth1 mtu 1400"),
    "sysctl": ("interfaces", "ip_forward is not 1", "sysctl -w net.ipv4.ip_forward=0"),
    "route-gone": ("routes", "no route 0.0.0.0/0", "ip route del default"),
    "route-foreign": (
        "routes",
        "foreign route 10.55.0.0/16 via 192.168.0.66",
        "ip route add 10.55.0.0/16 via 192.168.0.66",
    ),
    "nft-flushed": ("firewall", "rules are gone", "nft flush ruleset"),
    "nft-rule": (
        "firewall",
        "somebody changed them",
        "nft add rule inet astara forward accept",
    ),
    "nft-element": (
        "firewall",
        "external_if",
        'nft delete element inet astara external_if { "eth1" }',
    ),
    "hostname": ("hostname", "another name", "hostname mallory"),
    "dnsmasq-killed": ("dhcp", "does not run", lambda router: kill(router, "dnsmasq")),
    "proxy-killed": ("metadata", "does not run", lambda router: kill(router, "metadata-proxy")),
    "file-deleted": ("hostname", "hosts differs", lambda router: remove(router, "etc/hosts")),
    "secret-file-deleted": (
        "metadata",
        "settings",
        lambda router: remove(router, "run/astara/metadata-proxy.json"),
    ),
}


def differences(drift):
    return {one["driver"]: one["differences"] for one in drift["drivers"] if one["differences"]}


def repaired(drift, driver):
    return next(one["repaired"] for one in drift["drivers"] if one["driver"] == driver)


@pytest.mark.parametrize("name", BREAKS)
def test_break_is_told_put_right_and_counted(router, name):
    driver, words, breaks = BREAKS[name]
    before = router.get("/v1/system/drift")
    assert before["clean"], before
    # The agent's own round may come in between, and be the one that counts.
    if callable(breaks):
        breaks(router)
    else:
        router.execute(*breaks.split())
    found = router.get("/v1/system/drift")
    if not found["clean"]:
        assert words in " | ".join(differences(found)[driver])
        assert "ab" * 32 not in json.dumps(found)
        number, after = router.request("POST", "/v1/system/drift/repair")
        assert number == 200
        assert driver in after["acted"]
    after = router.get("/v1/system/drift")
    assert after["clean"], after
    assert after["digest"] == router.get("/v1/status")["digest"]
    assert repaired(after, driver) > repaired(before, driver)


def test_unplugged_nic_is_told_and_the_rest_lives_on(router):
    red = router.plug("red")
    with_red = [*router.good["networks"], router.network("internal", red, ["10.3.0.1/24"])]
    router.push(router.good | {"networks": with_red})
    router.unplug(red)
    found = router.get("/v1/system/drift")
    assert red.mac in " ".join(differences(found)["interfaces"])
    router.request("POST", "/v1/system/drift/repair")
    assert list(differences(router.get("/v1/system/drift"))) == ["interfaces"]
    router.push(router.good)
    assert router.get("/v1/system/drift")["clean"]


def test_repairs_are_in_the_metrics(router):
    text = router.get("/metrics")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    of = "astara_appliance_"
    assert float(values[of + 'drift_repairs_total{driver="interfaces"}']) >= 1
    assert float(values[of + 'drift_repair_failures_total{driver="interfaces"}']) == 0
    assert float(values[of + 'pushes_total{result="applied"}']) >= 1
    assert float(values[of + 'applies_total{driver="firewall"}']) >= 1
    assert float(values[of + 'interface_packets_total{direction="in",ifname="ge0"}']) > 0
    assert float(values[of + 'daemon_resident_bytes{daemon="dnsmasq"}']) > 0


def test_facts_tell_what_the_appliance_is_made_of(router):
    told = router.get("/v1/system/facts")
    assert told["kernel"] == os.uname().release
    assert "ge0" in [nic["ifname"] for nic in told["interfaces"]]
    assert all(one["version"] for one in told["programs"]), told["programs"]
    assert {one["name"] for one in told["daemons"]} >= {"dnsmasq", "metadata-proxy"}
    assert told["drivers"][0] == "firewall"
    assert told["memory_total_kib"] > told["agent_resident_kib"] > 0


def test_killed_agent_does_not_count_its_return_as_repair(router):
    router.kill_agent(signal.SIGKILL)
    router.execute("nft", "flush", "ruleset")
    router.start_agent()
    router.request("POST", "/v1/system/drift/repair")
    after = router.get("/v1/system/drift")
    assert after["clean"]
    assert repaired(after, "firewall") == 0
