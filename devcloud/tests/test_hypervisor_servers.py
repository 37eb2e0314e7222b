"""Servers of the running devcloud, made through Nova and seen from their host.

On the shared devcloud. All that is made belongs to the admin project and is removed again.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import openstack.connection
import openstack.exceptions
import pytest

from astara_devcloud import faults, layout, openvswitch
from astara_devcloud.hypervisor import enter

pytestmark = pytest.mark.cloud

MTU = 1400
BOOT_S = 90.0
AGENT = "neutron-openvswitch-agent"


@pytest.fixture(scope="module")
def cloud(admin: openstack.connection.Connection) -> openstack.connection.Connection:
    return admin


class Site:
    """Networks and an image for servers that only exist, and the servers' names."""

    def __init__(self, cloud: openstack.connection.Connection, undo: contextlib.ExitStack) -> None:
        self.cloud = cloud
        self.undo = undo
        self.name = f"hv-{secrets.token_hex(3)}"
        self.image = self._image("idle")
        self.flavor = cloud.compute.find_flavor("m1.tenant", ignore_missing=False)
        self.network = self._network("a", port_security_enabled=False)
        self.subnet = cloud.network.create_subnet(
            network_id=self.network.id, ip_version=4, cidr="10.99.0.0/24", name=self.name
        )
        self.bare = self._network("b", port_security_enabled=False)

    def _network(self, suffix: str, **options: Any) -> Any:
        network = self.cloud.network.create_network(
            name=f"{self.name}-{suffix}", mtu=MTU, **options
        )
        self.undo.callback(self.cloud.network.delete_network, network)
        return network

    def _image(self, guest: str) -> Any:
        image = self.cloud.image.create_image(
            name=f"{self.name}-{guest}",
            disk_format="raw",
            container_format="bare",
            data=b"\0" * 512,
            allow_duplicates=True,
            devcloud_guest=guest,
        )
        self.undo.callback(self.cloud.image.delete_image, image)
        return image

    def image_of(self, guest: str) -> Any:
        return self._image(guest)

    def port(self, network: Any, **options: Any) -> Any:
        port = self.cloud.network.create_port(
            network_id=network.id, name=self.name, port_security_enabled=False, **options
        )
        self.undo.callback(self.cloud.network.delete_port, port.id)
        return port

    def boot(self, *ports: Any, image: Any = None) -> Any:
        server = self.cloud.compute.create_server(
            name=self.name,
            image_id=(image or self.image).id,
            flavor_id=self.flavor.id,
            networks=[{"port": port.id} for port in ports] or "none",
            config_drive=True,
        )
        self.undo.callback(self.delete, server)
        return server

    def delete(self, server: Any) -> None:
        self.cloud.compute.delete_server(server.id)
        self.cloud.compute.wait_for_delete(server, interval=0.3, wait=60)
        assert enter.wait_gone(server.id, 10) == []

    def running(self, *ports: Any) -> Any:
        return self.reaches(self.boot(*ports), "ACTIVE")

    def reaches(self, server: Any, status: str, within_s: float = BOOT_S) -> Any:
        return self.cloud.compute.wait_for_server(
            server, status=status, failures=["ERROR"], interval=0.3, wait=within_s
        )

    def status(self, server: Any) -> str:
        return str(self.cloud.compute.get_server(server.id).status)


@pytest.fixture(scope="module")
def site(cloud: openstack.connection.Connection) -> Iterator[Site]:
    with contextlib.ExitStack() as undo:
        yield Site(cloud, undo)


@pytest.fixture
def scene(site: Site) -> Iterator[Site]:
    """The site, cleared after the test of what the test made."""
    with contextlib.ExitStack() as undo:
        outer, site.undo = site.undo, undo
        try:
            yield site
        finally:
            site.undo = outer


def until(truth: Callable[[], Any], within_s: float = 30.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (value := truth()):
        assert time.monotonic() < deadline, "deadline passed"
        time.sleep(0.2)
    return value


def inside(server: Any, command: str) -> str:
    done = enter.enter(server.id, ["sh", "-c", command])
    assert done.returncode == 0, done.stderr
    return done.stdout


def devices(server: Any) -> dict[str, Any]:
    return {
        link["address"]: link
        for link in json.loads(inside(server, "ip -j link"))
        if link["link_type"] == "ether"
    }


def ovs_ports_of(server: Any) -> str:
    return openvswitch.vsctl(
        layout.current_layout(),
        "--columns=name",
        "--bare",
        "find",
        "Interface",
        f"external_ids:vm-uuid={server.id}",
    ).strip()


def test_servers_on_a_network_reach_each_other_at_full_mtu(scene: Site) -> None:
    ports = [scene.port(scene.network) for _ in range(2)]
    servers = [scene.boot(port) for port in ports]
    for server, port in zip(servers, ports, strict=True):
        scene.reaches(server, "ACTIVE")
        address = port.fixed_ips[0]["ip_address"]
        assert devices(server)[port.mac_address]["mtu"] == MTU
        inside(server, f"ip link set eth0 up && ip address add {address}/24 dev eth0")
    target = ports[1].fixed_ips[0]["ip_address"]
    inside(servers[0], f"ping -c 3 -i 0.2 -W 2 -w 15 -M do -s {MTU - 28} {target}")
    # TCP shows what ping does not: checksums that nobody finished.
    listen = enter.argv_inside(servers[1].id, ["nc", "-l", "-d", "-p", "7000"])
    with subprocess.Popen(
        listen, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as listener:
        until(lambda: ":7000" in inside(servers[1], "ss -ltn"))
        inside(servers[0], f"seq 5000 | timeout 20 nc -q 1 {target} 7000")
        out, _ = listener.communicate(timeout=20)
    assert out.splitlines()[-1] == "5000"


def test_a_port_without_address_is_a_nic_that_the_config_drive_names(scene: Site) -> None:
    ports = [scene.port(scene.bare, fixed_ips=[]), scene.port(scene.network, fixed_ips=[])]
    server = scene.running(*ports)
    data = json.loads(inside(server, "cat /mnt/openstack/latest/network_data.json"))
    wanted = {(port.id, port.mac_address, MTU) for port in ports}
    named = {(li["vif_id"], li["ethernet_mac_address"], li["mtu"]) for li in data["links"]}
    assert named == wanted
    assert {port.mac_address for port in ports} == set(devices(server))
    states = {scene.cloud.network.get_port(port.id).status for port in ports}
    assert states == {"ACTIVE"}


def test_interfaces_come_and_go_while_the_server_runs(scene: Site) -> None:
    first = scene.port(scene.network)
    server = scene.running(first)
    before = enter.first_pid(server.id)
    more = scene.port(scene.bare, fixed_ips=[])
    scene.cloud.compute.create_server_interface(server.id, port_id=more.id)
    until(lambda: scene.cloud.network.get_port(more.id).status == "ACTIVE")
    assert devices(server)[more.mac_address]["ifname"] == "eth1"
    scene.cloud.compute.delete_server_interface(more.id, server=server.id)
    until(lambda: more.mac_address not in devices(server))
    until(lambda: len(ovs_ports_of(server).split()) == 1)
    assert enter.first_pid(server.id) == before


def test_a_port_that_the_agent_forgot_is_plugged_again(scene: Site) -> None:
    port = scene.port(scene.network)
    tap = f"tap{port.id}"[:14]
    where = layout.current_layout()
    with faults.paused(AGENT):
        server = scene.boot(port)
        until(lambda: ovs_ports_of(server) == tap)
        # As when the agent's view of OVSDB lags: told of a port, it does not find its identity.
        openvswitch.vsctl(where, "clear", "Interface", tap, "external_ids")
    scene.reaches(server, "ACTIVE")
    assert ovs_ports_of(server) == tap
    assert scene.cloud.network.get_port(port.id).status == "ACTIVE"


def test_a_port_deleted_under_a_running_server_takes_its_nic_along(scene: Site) -> None:
    kept, doomed = scene.port(scene.network), scene.port(scene.bare, fixed_ips=[])
    server = scene.running(kept, doomed)
    scene.cloud.network.delete_port(doomed.id)
    until(lambda: set(devices(server)) == {kept.mac_address})
    assert scene.status(server) == "ACTIVE"


@pytest.mark.parametrize("kind", ["SOFT", "HARD"])
def test_a_reboot_keeps_the_disk_and_nothing_else(scene: Site, kind: str) -> None:
    port = scene.port(scene.network)
    server = scene.running(port)
    first = enter.first_pid(server.id)
    inside(server, "touch /var/lib/astara/kept /run/lost; ip link add left type bridge")
    scene.cloud.compute.reboot_server(server.id, kind)
    until(lambda: first not in enter.processes(server.id) and enter.processes(server.id))
    scene.reaches(server, "ACTIVE")
    seen = inside(server, "ls /var/lib/astara/kept /run; ip -brief link")
    assert "kept" in seen
    assert "lost" not in seen
    assert "left" not in seen
    assert set(devices(server)) == {port.mac_address}
    assert scene.cloud.network.get_port(port.id).status == "ACTIVE"


def test_power_states_follow_stop_start_and_a_killed_guest(scene: Site) -> None:
    server = scene.running(scene.port(scene.network))
    scene.cloud.compute.stop_server(server.id)
    scene.reaches(server, "SHUTOFF")
    assert enter.processes(server.id) == []
    scene.cloud.compute.start_server(server.id)
    scene.reaches(server, "ACTIVE")
    os.kill(enter.first_pid(server.id), signal.SIGKILL)
    scene.reaches(server, "SHUTOFF")
    scene.cloud.compute.start_server(server.id)
    scene.reaches(server, "ACTIVE")
    console = scene.cloud.compute.get_server_console_output(server.id)["output"]
    assert console.count("idle: up") == 3


def test_a_deleted_server_leaves_nothing(scene: Site) -> None:
    server = scene.running(scene.port(scene.network), scene.port(scene.bare, fixed_ips=[]))
    assert len(ovs_ports_of(server).split()) == 2
    assert enter.leftovers(server.id) != []
    scene.delete(server)
    assert ovs_ports_of(server) == ""


def test_an_image_of_no_known_guest_fails_with_the_reason(scene: Site) -> None:
    server = scene.boot(scene.port(scene.network), image=scene.image_of("toaster"))
    until(lambda: scene.status(server) == "ERROR")
    fault = scene.cloud.compute.get_server(server.id).fault["message"]
    assert "devcloud_guest is 'toaster'" in fault
    assert enter.wait_gone(server.id, 10) == []


def test_servers_live_on_while_nova_compute_is_replaced(scene: Site) -> None:
    server, dies = (scene.boot(scene.port(scene.network)) for _ in range(2))
    scene.reaches(server, "ACTIVE")
    scene.reaches(dies, "ACTIVE")
    pid = enter.first_pid(server.id)
    faults.kill("nova-compute")
    os.kill(enter.first_pid(dies.id), signal.SIGKILL)
    faults.start("nova-compute")
    assert enter.first_pid(server.id) == pid
    # A guest that ended meanwhile went down with its host, for all that Nova knows.
    until(lambda: enter.processes(dies.id))
    scene.reaches(dies, "ACTIVE")
    scene.cloud.compute.reboot_server(server.id, "HARD")
    until(lambda: pid not in enter.processes(server.id))
    scene.reaches(server, "ACTIVE")
    assert scene.status(dies) == "ACTIVE"
