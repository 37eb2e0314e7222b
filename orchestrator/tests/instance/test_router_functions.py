"""Sections that hooks of other packages put into a router's document."""

import pytest

from astara.clients import topology
from astara.drivers.router import document, functions
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
