"""What agent and metadata proxy write to their logs: lines that a machine can take apart."""

import json
import re

import pytest

from astara_appliance import logs

pytestmark = pytest.mark.functional

ROUTER = "0f3c9a52-6f0e-4b5a-9d53-5b0d9cbb7d11"
KEY = "5e" * 32
TRACE = "ab" * 16
HEAD = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ (?P<process>[a-z-]+)\[\d+\]/\S+ "
    r"(?P<event>[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+) (router=(?P<router>\S+)|-) ?(?P<facts>.*)"
)


def life(host, eventually):
    """Apply a document, refuse another, fail to apply a third; give the lines of all logs."""
    nic = host.plug("blue")
    host.start_agent()
    blue = host.network("internal", nic, ["192.168.0.1/24"], ["192.168.0.0/24"])
    orchestrator = {"address": "fdca:3ba5:a17a:acda::1", "metadata_key": KEY}
    good = host.document([blue], orchestrator=orchestrator, router_id=ROUTER)
    host.push(good, traceparent=f"00-{TRACE}-{'cd' * 8}-01")
    bad = host.network("internal", nic, ["192.168.0.1/24", "::1/64"], ["192.168.0.0/24"])
    assert host.try_push({**good, "networks": [good["networks"][0], bad]})[0] == 500
    assert host.try_push({"hostname": "no\nname"})[0] == 400
    (host.root / "run/astara/metadata-proxy.json").write_text("not json")
    proxy = host.root / "var/log/astara/metadata-proxy.log"
    eventually(lambda: "settings.unreadable" in proxy.read_text(), what="the proxy complains")
    host.restart_agent()
    files = [host.root / "agent.log", proxy]
    return [line for file in files for line in file.read_text().splitlines()]


def test_each_line_of_text_has_event_and_router(appliance_host, eventually):
    lines = life(appliance_host, eventually)
    assert [line for line in lines if HEAD.fullmatch(line) is None] == []
    told = {(HEAD.fullmatch(line)["event"], HEAD.fullmatch(line)["router"]) for line in lines}
    assert told >= {
        ("push.applied", ROUTER),
        ("push.failed", ROUTER),
        ("settings.unreadable", ROUTER),
    }
    [applied] = [line for line in lines if f"trace={TRACE}" in line]
    assert " push.applied " in applied
    assert not any(KEY in line for line in lines)


def test_each_line_is_json_on_request(appliance_host, eventually, monkeypatch):
    monkeypatch.setenv(logs.FORMAT, "json")
    lines = [json.loads(line) for line in life(appliance_host, eventually)]
    assert {line["process"] for line in lines} == {"agent", "metadata-proxy"}
    [failed] = [line for line in lines if line["event"] == "push.failed"]
    assert failed["resource"] == {"router": ROUTER}
    assert failed["facts"]["rolled_back"] is True
    assert KEY not in json.dumps(lines)
