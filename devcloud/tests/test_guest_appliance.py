"""The appliance's PID 1: what it starts, keeps alive, leaves alone and ends."""

import contextlib
import json
import os
import pathlib
import signal
import sys
import time
import uuid as uuids
from collections.abc import Callable, Iterator

import pytest

from astara_devcloud.guests import kinds
from astara_devcloud.hypervisor import boot, commands, enter, lifecycle, namespace
from astara_devcloud.hypervisor import store as servers

pytestmark = pytest.mark.functional

# Stands where the real agent does, so that it can be made to fail.
AGENT = """#!/bin/sh
echo "agent runs as $$"
[ -e /run/daemon ] || { setsid sleep 1000 & echo $! >/run/daemon; }
exec sleep 1001
"""
CONFIGURE = """#!/bin/sh
cat /mnt/openstack/latest/user_data
exit "$(cat /mnt/exit-status)"
"""


class Appliance:
    """A server that boots the appliance's script with programs of the test's making."""

    def __init__(self, path: pathlib.Path) -> None:
        self.store = servers.Store(path / "instances")
        self.uuid = str(uuids.uuid4())
        self.store.create(servers.Server(self.uuid, "instance-1", "a", "ap", "appliance"))
        self.programs = path / "programs"
        self.programs.mkdir()
        self.program("astara-appliance", AGENT)
        self.program("astara-configure-management", CONFIGURE)
        self.drive("openstack/latest/user_data", "the user's data\n")
        self.drive("exit-status", "0")

    def program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def drive(self, name: str, text: str) -> None:
        path = self.store.directory(self.uuid) / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def boot(self) -> None:
        namespace.create(self.uuid, [])
        environment = kinds.environment(self.uuid)
        spec = {
            "uuid": self.uuid,
            "hostname": "ap",
            "directory": str(self.store.directory(self.uuid)),
            "namespace": str(namespace.path(self.uuid)),
            "argv": ["/bin/sh", str(kinds.SCRIPTS["appliance"])],
            "environment": {**environment, "PATH": f"{self.programs}:{environment['PATH']}"},
            "host_paths": [*kinds.host_paths(), str(self.programs)],
            "hidden": [],
        }
        argv = [sys.executable, "-I", "-S", boot.__file__]
        commands.run(argv, stdin=json.dumps(spec))

    def log(self, name: str) -> str:
        path = self.store.directory(self.uuid) / "disk/log/astara" / name
        return path.read_text() if path.exists() else ""

    def console(self) -> str:
        return self.store.console(self.uuid).decode()

    def until(self, truth: Callable[[], object], within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while not truth():
            assert time.monotonic() < deadline, self.console()
            time.sleep(0.05)

    def pids(self, word: str) -> list[int]:
        return [pid for pid in enter.processes(self.uuid) if word in arguments(pid)]

    def clear(self) -> None:
        lifecycle.stop(self.store, self.uuid, grace_s=0)
        self.store.delete(self.uuid)
        assert enter.wait_gone(self.uuid, 10, self.store) == []


def arguments(pid: int) -> str:
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    return ""


@pytest.fixture
def appliance(tmp_path: pathlib.Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path)
    yield appliance
    appliance.clear()


def test_it_configures_management_once_and_starts_the_agent(appliance: Appliance) -> None:
    appliance.boot()
    appliance.until(lambda: "agent runs as" in appliance.log("agent.log"))
    assert appliance.log("configure-management.log") == "the user's data\n"
    assert "management network is configured" in appliance.console()


def test_a_failed_configuration_is_told_and_the_agent_starts_all_the_same(
    appliance: Appliance,
) -> None:
    appliance.drive("exit-status", "3")
    appliance.boot()
    appliance.until(lambda: "agent starts" in appliance.console())
    assert "astara-configure-management ended with status 3" in appliance.console()
    assert "the user's data" in appliance.console()


def test_a_killed_agent_comes_back_and_its_daemons_never_left(appliance: Appliance) -> None:
    appliance.boot()
    appliance.until(lambda: appliance.pids("1001") and appliance.pids("1000"))
    daemon, agent = appliance.pids("1000")[0], appliance.pids("1001")[0]
    os.kill(agent, signal.SIGKILL)
    appliance.until(lambda: appliance.pids("1001") not in ([], [agent]))
    assert appliance.pids("1000") == [daemon]
    assert "agent ended with status 137, starts again in 1 s" in appliance.console()


def test_an_agent_that_keeps_failing_is_tried_less_and_less_often(appliance: Appliance) -> None:
    appliance.program("astara-appliance", "#!/bin/sh\necho broken\nexit 5\n")
    appliance.boot()
    appliance.until(lambda: "starts again in 4 s" in appliance.console())
    console = appliance.console()
    pauses = [line.split(" in ")[1] for line in console.splitlines() if "again in" in line]
    assert pauses == ["1 s:", "2 s:", "4 s:"]
    assert "broken" in console


def test_a_gentle_stop_ends_everything(appliance: Appliance) -> None:
    appliance.boot()
    appliance.until(lambda: appliance.pids("1001"))
    lifecycle.stop(appliance.store, appliance.uuid, grace_s=10)
    assert appliance.console().rstrip().endswith("stopped")
    assert enter.processes(appliance.uuid) == []


def test_it_reaps_what_others_leave(appliance: Appliance) -> None:
    appliance.boot()
    appliance.until(lambda: appliance.pids("1001"))
    command = ["sh", "-c", "(sleep 0.1 &); (sleep 0.1 &)"]
    enter.enter(appliance.uuid, command, 10, appliance.store)
    states = ["sh", "-c", "ps -eo stat= | grep -c Z; true"]
    appliance.until(
        lambda: enter.enter(appliance.uuid, states, 10, appliance.store).stdout == "0\n"
    )
