"""Servers without a cloud: their namespaces, what they see, and how they end."""

import contextlib
import os
import pathlib
import secrets
import signal
import subprocess
import threading
import time
import uuid as uuids
from collections.abc import Callable, Iterator

import pytest

from astara_devcloud.guests import kinds
from astara_devcloud.hypervisor import commands, enter, errors, lifecycle, namespace, watcher
from astara_devcloud.hypervisor import store as servers

pytestmark = pytest.mark.functional

SECRET = "the cloud's secret"


@pytest.fixture
def store(tmp_path: pathlib.Path) -> servers.Store:
    (tmp_path / "credentials").write_text(SECRET)
    return servers.Store(tmp_path / "instances")


@pytest.fixture
def uuid(store: servers.Store) -> Iterator[str]:
    """A server that exists, is off, and leaves nothing."""
    uuid = str(uuids.uuid4())
    store.create(servers.Server(uuid, "instance-1", "web", "web-host", "idle"))
    yield uuid
    lifecycle.stop(store, uuid, grace_s=0)
    for nic in store.nics(uuid):
        commands.run(["ip", "link", "del", nic.tap], check=False)
    store.delete(uuid)
    assert enter.wait_gone(uuid, 10, store) == []


def until(truth: Callable[[], object], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not truth():
        assert time.monotonic() < deadline, "deadline passed"
        time.sleep(0.05)


def start(store: servers.Store, uuid: str) -> int:
    lifecycle.start(store, uuid, [str(store.root.parent)])
    until(lambda: b"idle: up" in store.console(uuid))
    return enter.first_pid(uuid, store)


def inside(store: servers.Store, uuid: str, command: str) -> str:
    done = enter.enter(uuid, ["sh", "-c", command], 20, store)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_server_has_namespaces_of_its_own(store: servers.Store, uuid: str) -> None:
    pid = start(store, uuid)
    for kind in ("net", "mnt", "pid", "uts", "ipc"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    assert inside(store, uuid, "hostname; cat /etc/hostname").split() == ["web-host"] * 2
    assert inside(store, uuid, "ls /sys/class/net").split() == ["lo"]
    assert "idle.sh" in inside(store, uuid, "cat /proc/1/cmdline")


def test_a_guest_sees_no_secrets_and_no_other_servers(store: servers.Store, uuid: str) -> None:
    start(store, uuid)
    root = store.root.parent
    seen = enter.enter(uuid, ["sh", "-c", f"cat {root}/credentials; ls -A {root}"], 20, store)
    assert SECRET not in seen.stdout
    assert "instances" not in seen.stdout
    assert inside(store, uuid, "ls / | grep home || true") == ""
    # Of the checkout only what the guest runs is there, also where it lies below /root or /tmp.
    found = inside(
        store, uuid, "find /root /tmp -type f -not -path '*/src/*' -not -path '*/.venv/*'"
    )
    assert found == ""


def test_a_guest_cannot_change_the_hosts_kernel_or_programs(
    store: servers.Store, uuid: str
) -> None:
    pid = start(store, uuid)
    before = pathlib.Path("/proc/sys/vm/swappiness").read_text()
    refusals = inside(
        store,
        uuid,
        "for f in /usr/x /proc/sys/vm/swappiness; do (echo 1 >$f) 2>/dev/null || echo no; done",
    )
    assert refusals.split() == ["no", "no"]
    assert pathlib.Path("/proc/sys/vm/swappiness").read_text() == before
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    assert not effective & (1 << 16 | 1 << 27)  # modules, device nodes
    assert effective & (1 << 12)  # its own network


def test_forwarding_in_a_guest_is_not_the_hosts(store: servers.Store, uuid: str) -> None:
    before = pathlib.Path("/proc/sys/net/ipv4/conf/all/rp_filter").read_text()
    start(store, uuid)
    inside(store, uuid, "sysctl -qw net.ipv4.conf.all.rp_filter=2 net.ipv4.ip_forward=1")
    assert pathlib.Path("/proc/sys/net/ipv4/conf/all/rp_filter").read_text() == before


def test_a_guest_may_rename_itself_and_not_the_host(store: servers.Store, uuid: str) -> None:
    name = pathlib.Path("/proc/sys/kernel/hostname")
    before = name.read_text()
    start(store, uuid)
    assert inside(store, uuid, f"echo another >{name} && hostname") == "another\n"
    assert name.read_text() == before


def test_the_disk_outlives_a_reboot_and_the_rest_does_not(store: servers.Store, uuid: str) -> None:
    start(store, uuid)
    kept = ["/var/lib/astara/file", "/var/log/file"]
    lost = ["/tmp/file", "/run/file", "/etc/file", "/root/file", "/var/lib/misc/file"]
    inside(store, uuid, f"touch {' '.join(kept + lost)}")
    lifecycle.stop(store, uuid, grace_s=5)
    assert b"idle: stopping" in store.console(uuid)
    start(store, uuid)
    assert inside(store, uuid, f"ls {' '.join(kept + lost)} || true").split() == kept


def test_the_end_of_pid_1_is_the_end_of_all_its_processes(store: servers.Store, uuid: str) -> None:
    start(store, uuid)
    inside(store, uuid, "setsid sleep 1000 >/dev/null 2>&1 & setsid sleep 1000 >/dev/null 2>&1 &")
    assert len(enter.processes(uuid)) >= 4
    lifecycle.stop(store, uuid, grace_s=0)
    assert enter.processes(uuid) == []
    assert not namespace.path(uuid).exists()


def test_orphans_are_reaped(store: servers.Store, uuid: str) -> None:
    start(store, uuid)
    inside(store, uuid, "(sleep 0.1 & sleep 0.1 &) ; true")
    until(lambda: inside(store, uuid, "ps -eo stat | grep -c Z || true").strip() == "0")


def test_a_command_that_takes_too_long_is_killed_inside(store: servers.Store, uuid: str) -> None:
    start(store, uuid)
    count = len(enter.processes(uuid))
    with pytest.raises(subprocess.TimeoutExpired):
        enter.enter(uuid, ["sh", "-c", "sleep 1000; true"], 0.5, store)
    until(lambda: len(enter.processes(uuid)) == count)


def test_a_server_that_is_off_cannot_be_entered(store: servers.Store, uuid: str) -> None:
    with pytest.raises(enter.NotRunning):
        enter.enter(uuid, ["true"], 5, store)


def test_servers_are_found_by_name_and_beginning(store: servers.Store, uuid: str) -> None:
    pid = start(store, uuid)
    assert enter.find("web", store) == enter.find(uuid[:6], store)
    assert enter.find("web", store).pid == pid
    with pytest.raises(enter.NotRunning):
        enter.find("nobody", store)


def test_a_guest_that_cannot_start_says_why_and_leaves_nothing(
    store: servers.Store, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kinds.SCRIPTS, "idle", pathlib.Path("/no/such/script"))
    monkeypatch.setattr(kinds, "host_paths", lambda: ["/usr", "/no/such/directory"])
    with pytest.raises(errors.BootFailed, match="/no/such/directory"):
        lifecycle.start(store, uuid, [])
    assert enter.processes(uuid) == []
    assert store.recorded_pid(uuid) is None


@pytest.fixture
def nic(store: servers.Store, uuid: str) -> Iterator[servers.Nic]:
    """A veth pair, plugged as the driver would, but into nothing."""
    token = secrets.token_hex(4)
    nic = servers.Nic(f"tap{token}", "eth0", "fa:16:3e:00:00:01", 9000, "br-int", "port")
    store.save_nics(uuid, [nic])
    add = ["ip", "link", "add", nic.tap, "mtu", "9000", "type", "veth", "peer", "name"]
    commands.run([*add, nic.parked, "address", nic.mac, "mtu", "9000"])
    yield nic
    commands.run(["ip", "link", "del", nic.tap], check=False)


def test_nics_go_in_and_come_out_even_when_the_guest_renamed_them(
    store: servers.Store, uuid: str, nic: servers.Nic
) -> None:
    start(store, uuid)
    assert nic.mac in inside(store, uuid, "cat /sys/class/net/eth0/address")
    inside(store, uuid, "ip link set eth0 name ge0; ip address add 10.0.0.1/24 dev ge0")
    lifecycle.stop(store, uuid, grace_s=0)
    assert pathlib.Path(f"/sys/class/net/{nic.parked}/mtu").read_text().strip() == "9000"
    start(store, uuid)
    assert "10.0.0.1" not in inside(store, uuid, "ip address show dev eth0")


def test_a_nic_that_comes_late_is_moved_in_once(
    store: servers.Store, uuid: str, nic: servers.Nic
) -> None:
    store.save_nics(uuid, [])
    start(store, uuid)
    store.save_nics(uuid, [nic])
    for _ in range(2):
        namespace.move_in(uuid, [nic])
    assert inside(store, uuid, "ls /sys/class/net").split() == ["eth0", "lo"]


def watch(store: servers.Store, told: list[str]) -> watcher.Watcher:
    lock = threading.Lock()
    return watcher.Watcher(store, lambda _: contextlib.nullcontext(lock), told.append)


def test_a_vanished_guest_is_told_once_and_a_stopped_one_never(
    store: servers.Store, uuid: str
) -> None:
    told: list[str] = []
    watching = watch(store, told)
    pid = start(store, uuid)
    assert watching.look() == []
    os.kill(pid, signal.SIGKILL)
    until(lambda: lifecycle.running_pid(store, uuid) is None)
    watching.look()
    watching.look()
    assert told == [uuid]
    start(store, uuid)
    lifecycle.stop(store, uuid, grace_s=0)
    assert watching.look() == []


def test_guests_that_nova_will_resume_are_no_news(store: servers.Store, uuid: str) -> None:
    told: list[str] = []
    os.kill(start(store, uuid), signal.SIGKILL)
    until(lambda: lifecycle.running_pid(store, uuid) is None)
    watching = watch(store, told)
    watching.overlook()
    watching.look()
    assert told == []


def test_a_pid_that_now_belongs_to_a_stranger_means_off(store: servers.Store, uuid: str) -> None:
    lifecycle.start(store, uuid, [])
    lifecycle.stop(store, uuid, grace_s=0)
    (store.directory(uuid) / "pid").write_text(str(os.getpid()))
    assert lifecycle.running_pid(store, uuid) is None
    lifecycle.stop(store, uuid, grace_s=1)  # and this process lives
