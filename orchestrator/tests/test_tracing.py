"""Traces: what is sent to a collector, how they travel, and that they cost nothing when off."""

import http.server
import subprocess
import sys
import threading

import otlp_receiver
import pytest
from oslo_config import cfg
from scripted_node import Node, wait_until

from astara import conf as options
from astara import events, scheduler, tracing
from astara.clients import appliance, errors
from astara.machine.vocabulary import Action

TRACE = "ab" * 16
PARENT = f"00-{TRACE}-{'cd' * 8}-01"


def configured(endpoint="", ratio=1.0):
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf([], project="test", default_config_files=[])
    conf.set_override("otlp_endpoint", endpoint or None, group="tracing")
    conf.set_override("sample_ratio", ratio, group="tracing")
    conf.set_override("host", "node-1")
    return conf


@pytest.fixture
def receiver():
    with otlp_receiver.Receiver() as running:
        yield running


@pytest.fixture
def traced(receiver):
    tracing.start(configured(receiver.url), "worker-00")
    yield receiver
    tracing.start(configured(), "worker-00")


def test_off_nothing_is_imported_and_nothing_carried():
    program = """
import sys
from astara import tracing
with tracing.root("router.update.end", router="r") as context:
    with tracing.span("GET network", call=True):
        tracing.note(status=200)
        assert (context, tracing.headers(), tracing.request_id()) == ("", {}, "")
with tracing.resumed("walk", [tracing.asked("")]) as trace:
    assert trace == ""
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_trace_goes_on_in_another_process(traced):
    with tracing.root("router.update.end", router="r-1") as context:
        asked = tracing.asked(context)
    with (
        tracing.resumed("walk", [asked], router="r-1") as trace,
        tracing.span("ConfigureVM"),
        tracing.span("configure appliance", call=True),
    ):
        tracing.note(status=200)
        assert tracing.headers()["traceparent"].split("-")[1] == trace
        assert tracing.request_id().removeprefix("req-").replace("-", "") == trace
    tracing.stop()
    spans = traced.spans(trace)
    push = next(one for one in spans if one.name == "configure appliance")
    way = ["router.update.end", "walk", "ConfigureVM", "configure appliance"]
    assert otlp_receiver.path_to(push, spans) == way
    assert push.facts == {"status": 200}
    assert push.process == "node-1/worker-00"
    waited = next(one for one in spans if one.name == "wait")
    walk = next(one for one in spans if one.name == "walk")
    assert waited.begin_ns <= waited.end_ns <= walk.begin_ns
    assert walk.facts == {"router": "r-1"}


def test_a_merged_event_points_to_the_walk_that_served_it(traced):
    asking = []
    for _ in range(2):
        with tracing.root("router.update.end") as context:
            asking.append(tracing.asked(context))
    with tracing.resumed("walk", asking) as trace:
        pass
    tracing.stop()
    [merged] = [one for one in traced.spans() if one.name == "merged"]
    assert merged.trace != trace
    assert merged.links == (trace,)


def test_outside_of_a_trace_nothing_is_recorded(traced):
    with tracing.span("status appliance", call=True):
        assert tracing.headers() == {}
    tracing.stop()
    assert traced.spans() == []


def test_the_share_that_is_traced_is_the_operators(receiver):
    tracing.start(configured(receiver.url, ratio=0.0), "listener-00")
    with tracing.root("router.update.end"), tracing.span("schedule"):
        pass
    tracing.stop()
    tracing.start(configured(), "listener-00")
    assert receiver.spans() == []


def test_a_push_carries_its_trace(traced):
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("traceparent"))
            self.send_error(503)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        asking = appliance.Appliances(server.server_port, 5, 5)
        with tracing.resumed("walk", [tracing.asked(PARENT)]), pytest.raises(errors.Unavailable):
            asking.stats("127.0.0.1")
        with pytest.raises(errors.Unavailable):
            asking.stats("127.0.0.1")
        server.shutdown()
    assert seen[0].split("-")[1] == TRACE
    assert seen[1] is None


@pytest.mark.functional
def test_a_walk_of_a_whole_node_is_part_of_the_events_trace(tmp_path, receiver):
    node = Node(tmp_path)
    node.configure()
    with node.config.open("a") as file:
        file.write(f"\n[tracing]\notlp_endpoint = {receiver.url}\n")
    node.cloud.router("r0", tenant="tenant-0")
    try:
        node.start()
        wait_until(lambda: node.applied() == ["r0"], "it is served")
        node.cloud.router("r0", tenant="tenant-0", generation="g2")
        resource = events.Resource("router", "r0", "tenant-0")
        number = scheduler.shard(resource, 2, "tenant")
        name = scheduler.worker_name(number)
        path = scheduler.socket_path(str(node.root / "state"), name)
        outbox = scheduler.Outbox(name, path, 10)
        outbox.put(events.encode(events.Event(resource, Action.UPDATE, trace=PARENT)))
        wait_until(lambda: node.applied() == ["r0"], "the change is applied")
        names = {"wait", "walk", "Alive", "ConfigureVM"}
        receiver.wait_for(
            lambda spans: names <= {one.name for one in spans if one.trace == TRACE}, names
        )
        outbox.close(1)
        walk = next(one for one in receiver.spans(TRACE) if one.name == "walk")
        assert walk.facts["router"] == "r0"
        assert walk.process.endswith(f"/{name}")
        assert {one.trace for one in receiver.spans()} == {TRACE}
        line = next(one for one in node.log.read_text().splitlines() if f"trace={TRACE}" in one)
        assert " walk.moved router=r0 " in line
    finally:
        node.clean()
