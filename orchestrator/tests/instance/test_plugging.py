"""Plugging the management port into real switches, in a throw-away network namespace."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import uuid

import pytest

pytestmark = pytest.mark.functional

PORT = {
    "host": "node-1",
    "port_id": "f6dcd49d-a7a0-4e81-84ea-f9b743282ba8",
    "network_id": "5c35a127-d5f4-4c8a-915e-c9658d8dbffc",
    "mac_address": "fa:16:3e:c2:7c:4a",
    "address": "fdca:3ba5:a17a:acda::9",
    "prefix_length": 64,
    "mtu": 1400,
    "is_active": True,
    "bridge": "br-int",
}
CHILD = """
import importlib, json, sys
from astara.instance.plugging import address
from astara.instance.plugging.port import LocalPort
kind, port = json.loads(sys.argv[1])
local = LocalPort(**port)
device = importlib.import_module("astara.instance.plugging." + kind).plug(local)
address.bring_up(device, local)
print(device)
"""


class Namespace:
    def __init__(self):
        self.name = f"astara-plug-{uuid.uuid4().hex[:8]}"
        self.environment = dict(os.environ)
        subprocess.run(["ip", "netns", "add", self.name], check=True, timeout=10)

    def run(self, *argv):
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *argv],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def plug(self, kind, **changes):
        return self.run(sys.executable, "-c", CHILD, json.dumps([kind, PORT | changes])).strip()

    def link(self, device):
        [link] = json.loads(self.run("ip", "-json", "-details", "address", "show", "dev", device))
        return link

    def addresses(self, device):
        return {
            f"{item['local']}/{item['prefixlen']}"
            for item in self.link(device)["addr_info"]
            if item["scope"] == "global"
        }

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False, timeout=10)


@pytest.fixture
def namespace():
    namespace = Namespace()
    yield namespace
    namespace.remove()


@pytest.fixture
def open_vswitch(namespace):
    """A private Open vSwitch with the userspace datapath and an integration bridge."""
    with tempfile.TemporaryDirectory(prefix="astara-ovs-") as folder:
        started = []
        namespace.environment |= {"OVS_RUNDIR": folder, "OVS_LOGDIR": folder, "OVS_DBDIR": folder}
        database = f"{folder}/conf.db"
        schema = "/usr/share/openvswitch/vswitch.ovsschema"
        subprocess.run(["ovsdb-tool", "create", database, schema], check=True, timeout=10)
        try:
            for daemon in (
                ["ovsdb-server", database, f"--remote=punix:{folder}/db.sock"],
                ["ovs-vswitchd", f"unix:{folder}/db.sock", "--disable-system"],
            ):
                argv = [
                    "ip",
                    "netns",
                    "exec",
                    namespace.name,
                    *daemon,
                    f"--pidfile={folder}/{daemon[0]}.pid",
                    "-vconsole:off",
                    f"--log-file={folder}/{daemon[0]}.log",
                ]
                started.append(subprocess.Popen(argv, env=namespace.environment))
                wait_for(lambda name=daemon[0]: pathlib.Path(f"{folder}/{name}.pid").exists())
            namespace.run("ovs-vsctl", "--no-wait", "init")
            namespace.run(
                "ovs-vsctl",
                "--timeout=10",
                "add-br",
                "br-int",
                "--",
                "set",
                "Bridge",
                "br-int",
                "datapath_type=netdev",
            )
            yield namespace
        finally:
            for process in reversed(started):
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                process.wait(10)


def wait_for(condition, deadline_s=10):
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def check(namespace, device):
    link = namespace.link(device)
    assert link["address"] == PORT["mac_address"]
    assert link["mtu"] == 1400
    assert "UP" in link["flags"]
    assert namespace.addresses(device) == {"fdca:3ba5:a17a:acda::9/64"}


def test_a_linux_bridge_gets_the_far_end_and_we_the_near_one(namespace):
    device = namespace.plug("bridge")

    assert device == "ns-f6dcd49d-a7"
    check(namespace, device)
    far = namespace.link("tapf6dcd49d-a7")
    assert (far["master"], far["mtu"]) == ("brq5c35a127-d5", 1400)


def test_plugging_again_changes_nothing(namespace):
    first = namespace.plug("bridge")
    index = namespace.link(first)["ifindex"]

    assert namespace.plug("bridge") == first
    assert namespace.link(first)["ifindex"] == index
    check(namespace, first)


def test_an_address_that_neutron_changed_is_replaced(namespace):
    device = namespace.plug("bridge")

    namespace.plug("bridge", address="192.0.2.7", prefix_length=24)

    assert namespace.addresses(device) == {"192.0.2.7/24"}


def test_open_vswitch_gets_an_internal_port_that_agents_recognise(open_vswitch):
    device = open_vswitch.plug("openvswitch")

    assert device == "tapf6dcd49d-a7"
    check(open_vswitch, device)
    ids = open_vswitch.run("ovs-vsctl", "get", "Interface", device, "external_ids")
    assert 'attached-mac="fa:16:3e:c2:7c:4a"' in ids
    assert "iface-id=" in ids
    assert PORT["port_id"] in ids
    assert "iface-status=active" in ids
    assert open_vswitch.plug("openvswitch") == device
    check(open_vswitch, device)


def test_a_port_that_was_deleted_in_neutron_is_pulled_out_of_open_vswitch(open_vswitch):
    open_vswitch.plug("openvswitch", port_id="aaaaaaaa-a7a0-4e81-84ea-f9b743282ba8")

    device = open_vswitch.plug("openvswitch")

    assert open_vswitch.run("ovs-vsctl", "list-ports", "br-int").split() == [device]


def test_the_port_of_another_node_on_this_machine_stays(open_vswitch):
    other = open_vswitch.plug(
        "openvswitch", host="node-2", port_id="aaaaaaaa-a7a0-4e81-84ea-f9b743282ba8"
    )

    device = open_vswitch.plug("openvswitch")

    assert set(open_vswitch.run("ovs-vsctl", "list-ports", "br-int").split()) == {device, other}


def test_a_device_whose_port_is_not_wired_is_plugged_afresh(open_vswitch):
    def birth():
        return open_vswitch.run("ovs-vsctl", "get", "Interface", device, "_uuid")

    device = open_vswitch.plug("openvswitch", is_active=False)
    first = birth()
    open_vswitch.plug("openvswitch")
    assert birth() == first
    assert open_vswitch.plug("openvswitch", is_active=False) == device
    assert birth() != first
    check(open_vswitch, device)
