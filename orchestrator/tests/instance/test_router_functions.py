"""Sections that hooks of other packages put into a router's document."""

import dataclasses
import threading
import time

import pytest

from astara import events
from astara.clients import topology
from astara.cluster import fence
from astara.drivers.router import document, functions
from astara.instance.router_instance import RouterInstance
from astara.instance.tools import Tools
from astara.machine import instance_port
from astara.machine.vocabulary import InstanceState
from astara_contract import document as contract

MANAGEMENT = document.Nic("fa:16:3e:00:00:01", "net-mgt", ("fdca::5/64",), 1400)


def quiet(router):
    return {"blackholes": ["192.0.2.0/24"]} if router.name.endswith("-quiet") else None


def build(name, **keys):
    router = topology.RouterDetail(id="r1", project_id="p1", generation="1", name=name, **keys)
    site = document.Site(functions=(functions.Function("sample", quiet),))
    return contract.parse(contract.encode(document.build(router, MANAGEMENT, {}, site)))


def test_a_hook_decides_which_routers_have_its_section():
    assert build("one-quiet").functions == {"sample": {"blackholes": ["192.0.2.0/24"]}}
    assert build("two").functions == {}


def test_a_router_that_is_down_has_no_sections():
    assert build("one-quiet", admin_state_up=False).functions == {}


def test_a_function_that_is_not_installed_is_named():
    with pytest.raises(functions.FunctionMissing, match=r"\[router\] functions names 'nowhere'"):
        functions.load(["nowhere"])


def raises(router):
    return {"port": router.nonsense}


def returns(value):
    return lambda router: value


@pytest.mark.parametrize(
    "hook",
    [raises, returns("text"), returns({"a": object()}), lambda: None],
    ids=["raises", "no-object", "no-data", "wrong-signature"],
)
def test_what_a_hook_does_wrong_is_told_by_function_and_router(hook):
    router = topology.RouterDetail(id="r1", project_id="p1", generation="1")
    with pytest.raises(functions.FunctionFailed, match="'sample' failed for router r1"):
        functions.sections(router, [functions.Function("sample", hook)])


def test_a_hook_that_hangs_is_named_and_takes_no_more_than_a_few_threads():
    release = threading.Event()
    hook = functions.bounded(lambda router: {} if release.wait() else None, 0.05)
    function = functions.Function("slow", hook)
    router = topology.RouterDetail(id="r1", project_id="p1", generation="1")
    before = threading.active_count()
    try:
        for _ in range(10):
            with pytest.raises(functions.FunctionFailed, match=r"'slow' failed .* it hangs"):
                functions.sections(router, [function])
        assert threading.active_count() <= before + functions.MOST_LATE
    finally:
        release.set()
    deadline = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert functions.sections(router, [function]) == {"slow": {}}


def test_what_a_bounded_hook_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        functions.bounded(lambda router: 1 / 0)(None)


def test_a_section_is_a_copy():
    mine = {"blackholes": []}
    found = functions.sections(None, [functions.Function("sample", returns(mine))])
    mine["blackholes"].append("192.0.2.0/24")
    assert found == {"sample": {"blackholes": []}}


def with_hook(rig, router_id, hook):
    """The instance of an orchestrator in which that hook is switched on."""
    own = fence.Fence(rig.epochs, "node1")
    tools = Tools(rig.neutron, rig.nova, rig.appliances, rig.settings, "127.0.0.9", own)
    tools.site = dataclasses.replace(tools.site, functions=(functions.Function("sample", hook),))
    return RouterInstance(events.Resource("router", router_id, ""), tools)


def test_a_broken_hook_stops_its_router_alone_and_takes_nothing_away(rig):
    bad, good = rig.cloud.add_router(), rig.cloud.add_router()

    def hook(router):
        if router.id == bad:
            raise ZeroDivisionError("surprise")

    rig.drive(with_hook(rig, bad, returns({"blackholes": []})))
    pushes = len(rig.cloud.pushes)
    broken = with_hook(rig, bad, hook)
    broken.begin_walk()
    with pytest.raises(instance_port.OperatorError, match=r"'sample'.*Error: surprise"):
        broken.update_state()
    assert broken.set_error("as told") is InstanceState.ERROR
    assert len(rig.cloud.pushes) == pushes

    rig.drive(with_hook(rig, good, hook))
    assert rig.cloud.routers[good]["status"] == "ACTIVE"
