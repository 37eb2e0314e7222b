"""Sections that an operator has written down for single routers."""

import json

import pytest

from astara.clients import topology
from astara.drivers.router import functions
from astara.instance import written_sections


def sections(found, router_id):
    router = topology.RouterDetail(id=router_id, project_id="p", generation="1")
    return functions.sections(router, found)


def test_each_router_has_what_is_written_for_it(tmp_path):
    file = tmp_path / "sections.json"
    file.write_text(json.dumps({"r1": {"wireguard": {"a": 1}}, "r2": {"wireguard": {}, "x": {}}}))
    found = written_sections.read(str(file))
    assert sections(found, "r1") == {"wireguard": {"a": 1}}
    assert sections(found, "r2") == {"wireguard": {}, "x": {}}
    assert sections(found, "r3") == {}
    assert written_sections.read("") == ()


def test_what_is_written_replaces_what_a_hook_says(tmp_path):
    file = tmp_path / "sections.json"
    file.write_text(json.dumps({"r1": {"sample": {"from": "file"}}}))
    hook = functions.Function("sample", lambda router: {"from": "hook"})
    both = (hook, *written_sections.read(str(file)))
    assert sections(both, "r1") == {"sample": {"from": "file"}}
    assert sections(both, "r2") == {"sample": {"from": "hook"}}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"r1": 1}', '{"r1": {"Bad Name": {}}}', '{"r 1": {}}', '{"r1": {"x": 1}}']
)
def test_a_file_that_is_no_such_object_is_named(tmp_path, text):
    file = tmp_path / "sections.json"
    file.write_text(text)
    with pytest.raises(functions.FunctionMissing, match=r"sections\.json"):
        written_sections.read(str(file))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(functions.FunctionMissing, match="/nowhere"):
        written_sections.read("/nowhere")
