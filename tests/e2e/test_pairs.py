"""Routers with ha=True: two appliances, of which one serves; what a tenant notices of their ends.

Kernels take up no connection in its middle here (nf_conntrack_tcp_loose=0), so one that goes on
has come across. How long faults take is measured by bench/failover.py, on appliances alone.
"""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from astara_devcloud import layout, outside
from astara_devcloud.hypervisor import enter
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(600)]

INSIDE = "10.36.1.0/24"
OUTSIDE = probes.Vantage("the internet", outside.NAMESPACE)


@dataclasses.dataclass(slots=True)
class Duo:
    """A pair with a tenant's VM behind it, seen from all sides."""

    tenant: Tenant
    admin: Any
    router: Any
    appliance: appliance.Appliance
    vm: probes.Vantage
    floating: str

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run astara-ctl as an operator on a node."""
        config = layout.current_layout().etc / "orchestrator.ini"
        return subprocess.run(
            [str(pathlib.Path(sys.executable).with_name("astara-ctl")), *arguments],
            env={**os.environ, "ASTARA_CONFIG": str(config)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def seen(self) -> dict[str, Any]:
        """Return what `astara-ctl show` says of the router."""
        shown = self.ctl("show", self.router.id, "-f", "json")
        assert shown.returncode == 0, shown.stderr
        return dict(json.loads(shown.stdout)["resource"])

    def roles(self) -> dict[str, str]:
        """Return the server of each role: {"master": ..., "backup": ...}."""
        return {member["role"]: member["server_id"] for member in self.seen()["members"]}

    def whole(self) -> bool:
        """Tell whether both halves are as they should be, in both roles."""
        members = self.seen()["members"]
        well = all(each["state"] == "configured" and each["answering"] for each in members)
        return well and {each["role"] for each in members} == {"master", "backup"}

    def settle(self) -> None:
        """Wait until the pair is whole, and have no kernel guess at connections."""
        probes.wait_until(self.whole, "both appliances well", 240, every_s=1)
        for server in self.roles().values():
            loose = "net.netfilter.nf_conntrack_tcp_loose=0"
            assert enter.enter(server, ["sysctl", "-qw", loose]).returncode == 0

    def shown_to_tenant(self) -> str:
        """Return the status of the router."""
        return str(self.tenant.cloud.network.get_router(self.router.id).status)


def prepare(clouds: Any) -> Iterator[Duo]:
    tenant = Tenant(clouds.tenant, "pairs-")
    tenant.clear()
    try:
        network = tenant.network("home")
        subnet = tenant.subnet(network, INSIDE)
        public = clouds.admin.network.find_network("public", ignore_missing=False)
        router = clouds.admin.network.create_router(
            name="pairs-duo",
            project_id=tenant.cloud.current_project_id,
            is_ha=True,
            external_gateway_info={"network_id": public.id},
        )
        tenant.plug(router, subnet)
        group = tenant.open_security_group()
        server = tenant.server(
            "vm", network, port=tenant.port(network, security_group_ids=[group.id])
        )
        tenant.wait_active(server)
        tenant.wait_router(router, timeout_s=240)
        vm = tenant.vantage(server)
        floating = tenant.floating_ip(server)
        tenant.wait_floating_ip(floating, "ACTIVE")
        seen = appliance.Appliance(clouds.service, router.id)
        yield Duo(tenant, clouds.admin, router, seen, vm, floating.floating_ip_address)
    finally:
        tenant.clear()


@pytest.fixture
def duo(stage: Duo) -> Duo:
    stage.settle()
    return stage


def synchronised(duo: Duo, server: str) -> None:
    """Wait until the backup has heard of the connection to the floating IP."""

    def known() -> bool:
        heard = ["conntrackd", "-C", "/run/astara/conntrackd.conf", "-e"]
        lines = enter.enter(server, heard).stdout.splitlines()
        wanted = (f"dst={duo.floating} ", "ESTABLISHED", "dport=80")
        return any(all(word in line for word in wanted) for line in lines)

    probes.wait_until(known, "the connection on the backup", 30)


def is_master(server: str) -> bool:
    """Tell whether an appliance says that it is master, without asking the orchestrator."""
    told = enter.enter(server, ["cat", "/run/astara/pair-state.json"]).stdout
    return bool(told) and json.loads(told)["told"]["role"] == "master"


def test_an_operator_sees_both_halves(duo: Duo) -> None:
    assert len(duo.appliance.servers()) == 2
    assert duo.admin.network.get_router(duo.router.id).is_ha
    listed = json.loads(duo.ctl("list", "-f", "json").stdout)
    [line] = [each for each in listed if each["ID"] == duo.router.id]
    assert line["State"] == "configured"
    assert line["Active"] in ("0", "1")
    text = duo.ctl("show", duo.router.id).stdout
    assert " master " in text
    assert " backup " in text


def test_a_switchover_costs_the_tenant_nothing(duo: Duo, tell: Callable[[str], None]) -> None:
    before = duo.roles()
    with (
        probes.Stream(OUTSIDE, duo.floating) as stream,
        probes.PingStream(duo.vm, outside.SERVER_V4, 0.02) as ping,
    ):
        synchronised(duo, before["backup"])
        done = duo.ctl("router", "switchover", duo.router.id)
        assert done.returncode == 0, done.stderr
        probes.wait_until(
            lambda: duo.roles().get("master") == before["backup"], "the other one is master", 60
        )
        assert stream.flows(20)
    tell(f"pair, switchover: {ping.lost} of {ping.sent} packets lost, 20 ms apart")
    assert duo.roles() == {"master": before["backup"], "backup": before["master"]}


def test_the_active_half_dies_and_is_replaced(duo: Duo, tell: Callable[[str], None]) -> None:
    before = duo.roles()
    with (
        probes.Stream(OUTSIDE, duo.floating) as stream,
        probes.PingStream(duo.vm, outside.SERVER_V4, 0.02) as ping,
    ):
        synchronised(duo, before["backup"])
        os.kill(enter.first_pid(before["master"]), signal.SIGKILL)
        probes.wait_until(lambda: is_master(before["backup"]), "the backup is master", 30)
        assert stream.flows(30)
        assert duo.vm.pings(outside.SERVER_V4)
    tell(f"pair, death of the active half: {ping.lost} of {ping.sent} packets lost, 20 ms apart")
    assert duo.shown_to_tenant() == "ACTIVE"
    changed = duo.tenant.cloud.network.get_router(duo.router.id)
    assert changed.status == "ACTIVE"
    probes.wait_until(
        lambda: duo.whole() and before["master"] not in duo.roles().values(), "replaced", 240, 1
    )
    assert duo.roles()["master"] == before["backup"], "whoever serves goes on serving"
    assert not enter.wait_gone(before["master"], 30)
    assert duo.vm.pings(outside.SERVER_V4)


@pytest.mark.quiet
def test_a_rebuild_replaces_one_half_after_the_other(
    duo: Duo, tell: Callable[[str], None]
) -> None:
    before = set(duo.roles().values())
    with (
        probes.Stream(OUTSIDE, duo.floating) as stream,
        probes.PingStream(duo.vm, outside.SERVER_V4, 0.02) as ping,
    ):
        assert duo.ctl("router", "rebuild", duo.router.id).returncode == 0
        probes.wait_until(
            lambda: duo.whole() and before.isdisjoint(duo.roles().values()), "rebuilt", 400, 1
        )
        assert stream.flows(20)
    tell(f"pair, rebuild of both halves: {ping.lost} of {ping.sent} packets lost, 20 ms apart")


@pytest.mark.quiet
def test_a_pair_becomes_one_and_a_pair_again(duo: Duo) -> None:
    def set_ha(wanted: bool) -> None:
        duo.admin.network.update_router(duo.router.id, is_ha=wanted)

    with probes.Stream(OUTSIDE, duo.floating) as stream:
        set_ha(False)
        probes.wait_until(
            lambda: len(duo.appliance.servers()) == 1 and not duo.seen()["members"], "one", 240, 1
        )
        probes.wait_until(lambda: duo.seen()["instance"] == "configured", "configured", 60, 1)
        assert stream.flows(20)
        assert duo.shown_to_tenant() == "ACTIVE"
        set_ha(True)
        probes.wait_until(lambda: len(duo.seen()["members"]) == 2 and duo.whole(), "two", 240, 1)
        assert stream.flows(20)
    assert duo.vm.pings(outside.SERVER_V4)
