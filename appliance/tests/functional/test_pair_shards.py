"""More hosts than one dnsmasq serves, on a pair: who has a lease keeps it over a failover."""

import os
import signal

import pytest

pytestmark = pytest.mark.functional

HOSTS = 2000
LEASED = "192.168.9.9"


def address(number):
    return f"192.168.{10 + number // 200}.{number % 200 + 1}"


def document(pair, member, vm):
    """The pair's document, its tenants' network wider and full of hosts."""
    whole = pair.document(member)
    blue = whole["networks"][-1]
    blue["interface"]["addresses"][0] = "192.168.0.1/16"
    blue["subnets"][0]["cidr"] = "192.168.0.0/16"
    others = [
        {"mac_address": f"fa:16:3f:00:{n >> 8:02x}:{n & 255:02x}", "hostname": f"host-{n}",
         "ip_addresses": {address(n): True}}
        for n in range(HOSTS)
    ]  # fmt: skip
    mine = {"mac_address": vm.mac, "hostname": "mine", "ip_addresses": {LEASED: True}}
    return whole | {"networks": [*whole["networks"][:-1], blue | {"allocations": [*others, mine]}]}


@pytest.fixture
def lease(tmp_path):
    """A function that asks for a lease and returns its address, empty if nobody answered."""
    script, told = tmp_path / "script", tmp_path / "lease"
    script.write_text(f"#!/bin/sh\n[ $1 = bound ] && echo $ip > {told}\nexit 0\n")
    script.chmod(0o755)

    def ask(vm):
        told.unlink(missing_ok=True)
        asked = ["udhcpc", "-f", "-q", "-n", "-i", "eth0", "-s", str(script), "-t", "5", "-T", "1"]
        vm.run(*asked, check=False)
        return told.read_text().strip() if told.exists() else ""

    return ask


def shards(member):
    return sum("dnsmasq" in line for line in member.daemons())


def test_leases_of_many_hosts_outlive_the_active_appliance(pair, eventually, lease):
    vm = pair.members[0].segments["blue"].add_host("leasing")
    for member in pair.members:
        member.start_agent()
        member.push(document(pair, member, vm))
    pair.settled()
    master, backup = pair.master, pair.backup
    eventually(lambda: shards(master) > 2, 20, "several dnsmasq")
    assert lease(vm) == LEASED

    os.kill(master.init_pid, signal.SIGKILL)
    for nic in master.nics:
        nic.segment.set_port(nic.port, "down")

    eventually(lambda: pair.role(backup) == "master", 20, "the other one is master")
    assert lease(vm) == LEASED
    vm.run("ip", "addr", "add", f"{LEASED}/16", "dev", "eth0")
    query = ["dig", "+short", "+tries=3", "+time=2", "@192.168.0.1", "host-1999"]
    eventually(lambda: address(1999) in vm.run(*query, check=False), 20, "the name of a host")
