"""The agent's own death, and what comes through it. Real kernel, real daemons."""

import os
import pathlib
import re
import signal

import pytest

pytestmark = pytest.mark.functional


@pytest.fixture
def router(appliance_host):
    """An appliance that routes network blue, where vm1 lives."""
    nic = appliance_host.plug("blue")
    blue = appliance_host.segments["blue"]
    blue.add_host("vm1", ["192.168.0.10/24"], gateway="192.168.0.1")
    appliance_host.start_agent()
    subnet = {"cidr": "192.168.0.0/24", "gateway_ip": "192.168.0.1", "dhcp_enabled": True}
    appliance_host.blue = appliance_host.network("internal", nic, ["192.168.0.1/24"], [subnet])
    metadata = {"address": "fdca:3ba5:a17a:acda::1", "metadata_key": "ab" * 32}
    appliance_host.good = appliance_host.document([appliance_host.blue], orchestrator=metadata)
    appliance_host.push(appliance_host.good)
    appliance_host.vm = blue.hosts["vm1"]
    return appliance_host


def test_failed_first_push_leaves_a_closed_appliance(appliance_host):
    nic = appliance_host.plug("blue")
    appliance_host.start_agent()
    bad = appliance_host.network("internal", nic, ["10.7.0.1/24", "::1/64"], ["10.7.0.0/24"])
    number, answer = appliance_host.try_push(appliance_host.document([bad]))
    assert (number, answer["error"]["rolled_back"]) == (500, True)
    assert appliance_host.addresses(nic.device) == set()
    assert appliance_host.get("/v1/status")["digest"] is None


def test_lower_epoch_is_refused_also_after_a_restart(router):
    router.push(router.good, **{"Astara-Epoch": "7"})
    router.restart_agent()
    number, answer = router.try_push(router.good, **{"Astara-Epoch": "6"})
    assert (number, answer["error"]["code"]) == (409, "stale-epoch")
    router.push(router.good, **{"Astara-Epoch": "7"})
    assert router.get("/v1/status")["epoch"] == 7
    assert router.try_push(router.good, **{"Astara-Epoch": "-1"})[0] == 400


def test_killed_agent_comes_back_without_anyone_noticing(router):
    ping = router.vm.popen("ping", "-n", "-i", "0.02", "-D", "192.168.0.1", stdout=-1, stderr=-1)
    try:
        before = router.kernel_state(), router.daemons(), router.get("/v1/system/config")
        assert any("dnsmasq" in process for process in before[1])
        started = router.get("/v1/status")["agent_started_at"]
        router.kill_agent(signal.SIGKILL)
        assert router.daemons() == before[1]
        router.start_agent()
        status = router.get("/v1/status")
        assert status["agent_started_at"] != started
        assert status["pushes_applied"] == 1
        # The first repair has run when a push (which waits for it) is through.
        router.push(router.good)
        assert (router.kernel_state(), router.daemons(), router.get("/v1/system/config")) == before
    finally:
        ping.send_signal(signal.SIGINT)
        report = ping.communicate(timeout=10)[0]
    assert " 0% packet loss" in report, report[-300:]


def answers(host):
    try:
        return host.get("/v1/status")
    except OSError:
        return None


def test_agent_that_hangs_is_ended_by_the_kernel(router):
    """The alarm is armed; that it ends the process is the kernel's."""
    timers = pathlib.Path(f"/proc/{router.agent_pid()}/status").read_text()
    caught = int(re.search(r"SigCgt:\s*(\w+)", timers)[1], 16)
    ignored = int(re.search(r"SigIgn:\s*(\w+)", timers)[1], 16)
    assert not (caught | ignored) >> (signal.SIGALRM - 1) & 1
    os.kill(router.agent_pid(), signal.SIGALRM)
    assert router._agent.wait(10) != 0
    router.start_agent()
    assert router.get("/v1/status")["pushes_applied"] == 1


def test_stopped_agent_leaves_traffic_alone(router):
    before = router.daemons()
    router.kill_agent(signal.SIGTERM)
    assert router.vm.pings("192.168.0.1")
    assert router.daemons() == before


def test_rebooted_appliance_returns_to_its_document(router, eventually):
    router.kill_agent()
    router.execute("ip", "addr", "flush", "dev", "eth1")
    router.execute("ip", "link", "set", "eth1", "down")
    router.execute("ip", "addr", "flush", "dev", "eth0")
    router.execute("ip", "link", "set", "eth0", "down")
    router.execute("hostname", "fresh")
    router.start_agent()
    eventually(lambda: router.vm.pings("192.168.0.1"), what="traffic")
    eventually(lambda: router.execute("hostname") == "ak-tenant\n", what="host name")


def test_hot_plugged_nic_appears_and_unplugging_renumbers_nobody(router):
    red, green = router.plug("red", device="ens9"), router.plug("green", device="aaa0")
    names = {nic["lladdr"]: nic["ifname"] for nic in router.get("/v1/status")["interfaces"]}
    assert names[red.mac] == "ge2"
    assert names[green.mac] == "ge3"
    router.push(router.document([router.blue, router.network("internal", green, ["10.3.0.1/24"])]))
    router.unplug(red)
    router.restart_agent()
    names = {nic["lladdr"]: nic["ifname"] for nic in router.get("/v1/status")["interfaces"]}
    assert names[green.mac] == "ge3"
    assert red.mac not in names
