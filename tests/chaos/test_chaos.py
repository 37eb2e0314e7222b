"""A few rounds of chaos on the shared cloud: one orchestrator, faults that heal quickly.

`ASTARA_CHAOS_SEED` draws others; `make chaos` plays all kinds of faults on two orchestrators.
"""

import contextlib
import json
import os
import pathlib
import random
import sys
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from havoc import cloud, report, run, schedule

if TYPE_CHECKING:
    from openstack.connection import Connection

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(600)]

SEED = int(os.environ.get("ASTARA_CHAOS_SEED", "7"))
# Two at a time. The first pair strikes while the only router is being made, the second when it is
# served. What takes a restart of the cloud's services, or a boot of its own, is for the long run.
MAKING = ["compute: 500", "compute: answer lost", "network: answer lost", "killed while creating"]
ANYTIME = ["process killed", "tokens revoked", "network: 503", "broker connections cut"]
SERVING = ["database away", "agent killed", "appliance answers garbage", "process killed"]
HOLD_S = 2.0


def _rounds() -> list[schedule.Round]:
    chance = random.Random(SEED)
    chosen = (chance.choice(MAKING), chance.choice(ANYTIME)), chance.sample(SERVING, 2)
    return [
        tuple(
            schedule.Strike(kind, at_s=number / 2, hold_s=HOLD_S, seed=chance.randrange(2**32))
            for number, kind in enumerate(pair)
        )
        for pair in chosen
    ]


def _leftover(service: "Connection", *, marked: bool) -> tuple[str, str]:
    """Make a server and a port as an interrupted orchestrator leaves them; return their ids.

    Without the marks they only look like ours.
    """
    gone = str(uuid.uuid4())
    mark = {"description": f"astara:router:{gone}"} if marked else {}
    network = service.network.find_network("mgt", ignore_missing=False)
    port = service.network.create_port(
        network_id=network.id, name=f"ASTARA:VRRP:{gone}", port_security_enabled=False, **mark
    )
    server = service.compute.create_server(
        name=f"ak-router-{gone}_0",
        image_id=service.image.find_image("tenant-vm", ignore_missing=False).id,
        flavor_id=service.compute.find_flavor("m1.tenant", ignore_missing=False).id,
        networks=[{"port": port.id}],
        **({"metadata": {"astara_resource": f"router:{gone}"}} if marked else {}),
    )
    return server.id, port.id


def _there(service: "Connection", server_id: str, port_id: str) -> tuple[bool, bool]:
    servers = {each.id for each in service.compute.servers()}
    return server_id in servers, port_id in {each.id for each in service.network.ports()}


def test_whatever_fails_all_is_right_in_the_end(
    devcloud: None, tmp_path: pathlib.Path, tell: Callable[[str], None]
) -> None:
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(cloud.opened(tmp_path, SEED, ["single"]))
        except cloud.InUseError as reason:
            pytest.skip(str(reason))
        alike = _leftover(made.service, marked=False)
        stack.callback(made.service.network.delete_port, alike[1])
        stack.callback(made.service.compute.delete_server, alike[0])
        orphan = _leftover(made.service, marked=True)
        runner = run.Runner(made, SEED, lambda text: None, most=1)
        runner.begin(0)
        outcomes = [runner.play(strikes) for strikes in _rounds()]
        assert runner.truth is not None
        assert runner.truth.differences() == []
        assert _there(made.service, *orphan) == (False, False), "provably ours, of no router"
        assert _there(made.service, *alike) == (True, True), "a name proves nothing"
        made.tenant.clear()
    told = report.as_json(report.Run(SEED, 0.0, outcomes))
    tell(f"chaos: seed {SEED}: {json.dumps(told['kinds'])}")
    assert [strike.missed for each in outcomes for strike in each.strikes] == [""] * 4
