"""A restart of the orchestrator with many real appliances: how long until all are verified.

The stock L3 agent does the same work, a full sync after its restart, in 122 s for 200 routers on a
machine like this; here each router is a server of its own, so that memory sets the number:
ASTARA_ROUTERS. Figures are printed, and kept where ASTARA_RESULT says.
"""

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from oslo_config import cfg

from astara import conf as options
from astara.worker import control_protocol as protocol
from astara_devcloud import faults, layout
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

if TYPE_CHECKING:
    from openstack.connection import Connection

ROUTERS = int(os.environ.get("ASTARA_ROUTERS", "30"))
AT_ONCE = 5  # boots that the tenant has going at a time
BOOT_S = 600.0
VERIFY_S = 600.0

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.quiet,
    pytest.mark.timeout(int(ROUTERS * 60 + VERIFY_S)),
]


def _conf() -> Any:
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf(
        ["--config-file", str(layout.current_layout().etc / "orchestrator.ini")], project="astara"
    )
    return conf


def _lines(conf: Any) -> list[protocol.ResourceLine]:
    """List what the orchestrator's workers have; nothing of one that does not answer."""
    found: list[protocol.ResourceLine] = []
    for number in range(conf.num_worker_processes):
        path = protocol.path_of(conf.state_path, number)
        with contextlib.suppress(protocol.ControlError):
            answer = protocol.ask(path, protocol.ListResources(limit=10**6), 30)
            assert isinstance(answer, protocol.Lines)
            found += answer.resources
    return found


def _verified(conf: Any, wanted: set[str]) -> bool:
    """Tell whether all are configured, have answered and have nothing to do."""
    right = {
        line.id
        for line in _lines(conf)
        if (line.instance, line.phase) == ("configured", "idle") and line.answering
    }
    return wanted <= right


@pytest.fixture(scope="module")
def routers(other_tenant: "Connection") -> Iterator[list[str]]:
    drawn, made = Tenant(other_tenant, "many-"), []
    drawn.clear()
    try:
        for number in range(ROUTERS):
            network = drawn.network(f"net-{number}")
            router = drawn.router(f"router-{number}", external="public")
            drawn.plug(router, drawn.subnet(network, f"10.90.{number}.0/24"))
            made.append(router)
            for former in made[: -AT_ONCE or None]:
                drawn.wait_router(former, timeout_s=BOOT_S)
        for router in made:
            drawn.wait_router(router, timeout_s=BOOT_S)
        yield [router.id for router in made]
    finally:
        drawn.clear(timeout_s=BOOT_S)


def test_a_restart_verifies_all_and_pushes_nothing(
    routers: list[str], service: "Connection", tell: Callable[[str], None]
) -> None:
    conf, wanted = _conf(), set(routers)
    probes.wait_until(lambda: _verified(conf, wanted), "all routers are right", VERIFY_S, 0.5)
    seen = {each: appliance.Appliance(service, each) for each in routers}
    before = {each: seen[each].status()["pushes_applied"] for each in routers}
    begin = [0.0]
    with faults.stopped("astara-orchestrator"):
        begin[0] = time.monotonic()
    # The context starts it and waits until it answers, which is part of what is measured.
    probes.wait_until(lambda: _verified(conf, wanted), "all are verified", VERIFY_S, 0.1)
    seconds = round(time.monotonic() - begin[0], 1)
    assert {each: seen[each].status()["pushes_applied"] for each in routers} == before
    load = os.getloadavg()[0]
    tell(f"{ROUTERS} real appliances verified {seconds} s after the start (load {load:.1f})")
    if kept := os.environ.get("ASTARA_RESULT"):
        figures = {"routers": ROUTERS, "seconds": seconds, "load_average": round(load, 1)}
        pathlib.Path(kept).write_text(json.dumps({"topic": "restart", **figures}) + "\n")
