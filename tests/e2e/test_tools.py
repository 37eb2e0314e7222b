"""The operator's tools, each used as the operator guide says, against a router of the cloud."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from astara_devcloud import layout
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(300)]

NOBODY = "7a0c1f3e-0000-4000-8000-000000000001"


@dataclasses.dataclass(frozen=True, slots=True)
class Desk:
    """A router, and the shell of an operator who looks after it."""

    router: Any
    appliance: appliance.Appliance

    def run(self, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a tool as on a node."""
        config = layout.current_layout().etc / "orchestrator.ini"
        return subprocess.run(
            [pathlib.Path(sys.executable).with_name(tool), *arguments],
            env={**os.environ, "ASTARA_CONFIG": str(config)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def ctl(self, *arguments: str) -> str:
        """Run astara-ctl, which must succeed, and give what it says."""
        ended = self.run("astara-ctl", *arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def table(self, *arguments: str) -> Any:
        """Run a command that prints a table, as JSON."""
        return json.loads(self.ctl(*arguments, "-f", "json"))

    def moves(self) -> str:
        """Give what the orchestrator tells about the router."""
        return self.ctl("show", self.router.id)


def prepare(clouds: Any) -> Iterator[Desk]:
    tenant = Tenant(clouds.tenant, "tools-")
    tenant.clear()
    try:
        router = tenant.router("router")
        tenant.wait_router(router)
        yield Desk(router, appliance.Appliance(clouds.service, router.id))
    finally:
        tenant.clear()


@pytest.fixture
def desk(stage: Desk) -> Desk:
    return stage


def test_the_views_tell_the_same_router(desk: Desk) -> None:
    [line] = [each for each in desk.table("list") if each["ID"] == desk.router.id]
    assert (line["Name"], line["State"]) == ("tools-router", "configured")
    assert line["Node"] in {node["Host"] for node in desk.table("node", "list")}
    assert {thread["Alive"] for thread in desk.table("worker", "list")} == {"yes"}
    assert desk.appliance.server_id() in desk.ctl("show", "tools-router")
    assert desk.ctl("diff", "tools-router") == ""
    assert "agent starts" in desk.ctl("logs", "tools-router")


def test_ssh_ends_on_the_appliance_as_one_who_may_become_root(desk: Desk) -> None:
    said = desk.ctl("ssh", "tools-router", "--", "id -un; sudo nft list tables")
    assert said.splitlines() == ["astara", "table inet astara"]


def test_an_update_and_a_poll_are_confirmed(desk: Desk) -> None:
    assert desk.router.id in desk.ctl("router", "update", "tools-router")
    assert desk.ctl("poll")


def test_a_router_in_debug_mode_is_walked_by_hand_and_given_back(desk: Desk) -> None:
    walked = ("--router-id", desk.router.id)
    refused = desk.run("astara-debug-router", *walked)
    assert refused.returncode == 1
    assert "not in debug mode" in refused.stderr
    assert "router update" not in desk.run("astara-debug-router", "--dry-run", *walked).stdout

    desk.ctl("router", "debug", "tools-router", "--reason", "by hand")
    try:
        [mode] = [m for m in desk.table("debug", "list") if m["ID"] == desk.router.id]
        assert mode["Reason"] == "by hand"
        rebuild = desk.run("astara-ctl", "router", "rebuild", "tools-router")
        assert rebuild.returncode == 1
        assert "by hand" in rebuild.stderr
        walk = desk.run("astara-debug-router", *walked)
        assert walk.returncode == 0, walk.stderr
        assert "the walk has ended: the instance is configured" in walk.stdout
    finally:
        desk.ctl("router", "manage", "tools-router")
    assert desk.router.id not in {mode["ID"] for mode in desk.table("debug", "list")}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("show", "nonsense"), "unknown-resource"),
        (("router", "update", NOBODY), "unknown-resource"),
        (("router", "rebuild", "tools-router", "--image", NOBODY), "unknown-image"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    desk: Desk, command: tuple[str, ...], reason: str
) -> None:
    refused = desk.run("astara-ctl", *command)
    assert refused.returncode == 1
    assert reason in refused.stderr


def test_a_rebuild_replaces_the_server(desk: Desk) -> None:
    before = desk.appliance.server_id()
    desk.ctl("router", "rebuild", "tools-router")
    probes.wait_until(
        lambda: {server.id for server in desk.appliance.servers()} - {before}, "a server", 120
    )
    probes.wait_until(desk.appliance.answers, "the new appliance answers", 120)
    probes.wait_until(lambda: "configured since" in desk.moves(), "configured", 60)
    assert "a new server was asked for" in desk.moves()
    assert [server.id for server in desk.appliance.servers()] != [before]


def test_the_configuration_is_read_again_and_told(desk: Desk) -> None:
    assert "0 options have changed" in desk.ctl("config", "reload")
