"""Two appliances, one router: what its users notice of the end of one of the two.

Real agents, keepalived and conntrackd. The kernel takes up no connection in its middle here
(nf_conntrack_tcp_loose=0), so one that goes on has come across. Bounds are wide: how long things
take is measured by bench/failover.py.
"""

import contextlib
import os
import signal
import subprocess

import pytest

pytestmark = [pytest.mark.functional, pytest.mark.quiet]


@pytest.fixture(scope="module")
def running(pair):
    pair.start()
    return pair


@pytest.fixture
def flows(running, flow):
    """Established connections: by SNAT, and by a floating IP from outside."""
    running.settled()
    with contextlib.ExitStack() as stack:
        made = [
            flow(running.vm, running.outside, running.OUTSIDE, 7000),
            flow(running.outside, running.public_vm, running.FLOATING, 7001),
        ]
        for item in made:
            stack.callback(item.close)
            item.exchange()
        assert made[0].seen_as == "203.0.113.2"
        yield made


def goes_on(flows):
    for item in flows:
        assert item.exchange() < 15


def synchronised(member, eventually):
    """Wait until the backup knows the connections to both ports."""
    config = str(member.root / "run/astara/conntrackd.conf")
    eventually(
        lambda: all(
            text in member.execute("conntrackd", "-C", config, "-e")
            for text in ("dport=7000", "dport=7001")
        ),
        what="connections on the backup",
    )


def test_backup_is_silent_and_without_addresses(running, eventually):
    running.settled()
    backup = running.backup
    for nic in backup.nics[1:]:
        assert backup.addresses(nic.device) == set()
    assert {m.get("/v1/status")["role"] for m in running.members} == {"master", "backup"}
    asked = ["arping", "-c", "3", "-w", "2", "-I", "eth0", "192.168.0.1"]
    answers = running.vm.run(*asked, check=False)
    assert running.master.nics[2].mac in answers.lower()
    assert backup.nics[2].mac not in answers.lower()
    assert all(member.get("/v1/system/drift")["clean"] for member in running.members)


def test_handing_over_costs_no_connection(running, flows, pinger, eventually):
    master, backup = running.master, running.backup
    synchronised(backup, eventually)
    ping = pinger(running.vm, running.OUTSIDE)
    answer = master.request(
        "PUT", "/v1/system/role", b'{"role": "backup"}', {"Content-Type": "application/json"}
    )
    assert (answer[0], answer[1]["role"]) == (200, "backup")
    eventually(lambda: running.role(backup) == "master", what="the other one is master")
    goes_on(flows)
    assert ping.stop()[0] <= 20
    running.settled()
    assert running.vm.pings("2001:db8:cafe::1", "-6")


def test_hung_master_falls_silent_and_wakes_as_backup(running, flows, eventually):
    hung, other = running.master, running.backup
    synchronised(other, eventually)
    pids = processes(hung)
    send(pids, signal.SIGSTOP)
    try:
        eventually(lambda: running.role(other) == "master", what="the other one is master")
        # Its kernel has the addresses still, but answers nobody once the lease is over.
        asked = ["arping", "-c", "1", "-w", "1", "-I", "eth0", "192.168.0.1"]
        eventually(lambda: hung.nics[2].mac not in running.vm.run(*asked, check=False).lower())
        goes_on(flows)
    finally:
        send(pids, signal.SIGCONT)
    eventually(lambda: running.role(hung) == "backup", what="the woken one is backup")
    assert running.role(other) == "master"
    assert hung.addresses(hung.nics[2].device) == set()
    goes_on(flows)


def test_cut_cable_moves_the_router(running, flows, eventually):
    master, backup = running.master, running.backup
    synchronised(backup, eventually)
    nic = master.nics[2]
    nic.segment.set_port(nic.port, "down")
    try:
        eventually(lambda: running.role(backup) == "master", what="the other one is master")
        eventually(lambda: running.role(master) == "fault", what="a fault")
        goes_on(flows)
    finally:
        nic.segment.set_port(nic.port, "up")
    running.settled()
    assert running.master is backup  # no preemption


def test_dead_keepalived_leaves_no_second_master(running, flows, eventually):
    master, backup = running.master, running.backup
    synchronised(backup, eventually)
    pids = [pid for pid in processes(master) if name_of(pid) == "keepalived"]
    send(pids, signal.SIGKILL)
    eventually(lambda: running.role(backup) == "master", what="the other one is master")
    running.settled()
    assert master.addresses(master.nics[2].device) == set()
    goes_on(flows)


def test_dead_agent_means_nothing(running, flows, pinger):
    master = running.master
    ping = pinger(running.vm, running.OUTSIDE)
    master.restart_agent()
    goes_on(flows)
    assert ping.stop()[0] == 0
    assert running.master is master


def test_crash_of_the_master_costs_no_connection(running, flows, eventually):
    master, backup = running.master, running.backup
    synchronised(backup, eventually)
    send(processes(master), signal.SIGKILL)
    for nic in master.nics:
        nic.segment.set_port(nic.port, "down")
    eventually(lambda: running.role(backup) == "master", what="the other one is master")
    goes_on(flows)


def processes(member):
    shown = subprocess.run(
        ["ip", "netns", "pids", member.netns], capture_output=True, text=True, check=True
    ).stdout
    return [int(pid) for pid in shown.split()]


def name_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as file:
        return file.read().strip()
    return ""


def send(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
