"""What a whole node writes to its log: every line in one form, as text and as JSON."""

import json
import re
import signal

import pytest
from scripted_node import Node, wait_until

pytestmark = pytest.mark.functional

SECRET = "a-secret-that-no-log-may-hold"
HEAD = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) [a-z]+(-\d\d)?\[\d+\]/\S+ "
    r"(?P<event>[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+) (router=(?P<router>\S+)|-)"
    r"(?P<facts>( [a-z_]+=(\"([^\"\\\\]|\\\\.)*\"|[^\s\"]+))*| \|.*)"
)


def life(root, **options):
    """Play the life of a node: serve, meet what cannot be read, a crash and a failure; end."""
    node = Node(root)
    node.configure(debug=True, metadata_proxy_shared_secret=SECRET, **options)
    try:
        for number in range(3):
            node.cloud.router(f"r{number}", tenant=f"tenant-{number}")
        process = node.start()
        wait_until(lambda: len(node.applied()) == 3, "three routers are configured")
        node.cloud.remove("routers", "r1")
        (node.root / "cloud/servers/r2.json").write_text(f"this is no server: {SECRET}")
        node.cloud.router("r2", tenant="tenant-2", generation="g2")
        wait_until(lambda: "step.crashed" in node.log.read_text(), "a step crashes")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        node.clean()
    return node.log.read_text().splitlines()


def test_each_line_of_text_has_event_and_resource(tmp_path):
    lines = life(tmp_path)
    assert [line for line in lines if HEAD.fullmatch(line) is None] == []
    events = {HEAD.fullmatch(line)["event"] for line in lines}
    assert events >= {"supervisor.started", "worker.started", "walk.moved", "step.crashed"}
    moved = [HEAD.fullmatch(line) for line in lines if " walk.moved " in line]
    assert {match["router"] for match in moved} >= {"r0", "r1", "r2"}
    crashed = [line for line in lines if " step.crashed router=r2 | " in line]
    assert any("Traceback" in line for line in crashed)
    assert not any(SECRET in line for line in lines)


def test_each_line_is_json_on_request(tmp_path):
    lines = [json.loads(line) for line in life(tmp_path, use_json=True)]
    moved = [line for line in lines if line["event"] == "walk.moved"]
    assert {line["resource"]["router"] for line in moved} >= {"r0", "r1", "r2"}
    [crashed, *_] = [line for line in lines if line["event"] == "step.crashed"]
    assert crashed["resource"] == {"router": "r2"}
    assert "Traceback" in crashed["traceback"]
    assert {line["process"] for line in lines} >= {"supervisor", "worker-00", "health-00"}
    assert SECRET not in json.dumps(lines)
