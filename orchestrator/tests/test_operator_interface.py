"""What operators are answered: the node's sentences, the cluster's merging, HTTP and its codes."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest
from oslo_config import cfg

from astara import conf as options
from astara.api import access, cluster, http, messages, node, openapi, rpc
from astara.machine.vocabulary import Action
from astara.worker import control, control_protocol

ROOT = pathlib.Path(__file__).parents[2]
A, B, C = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abc")


def line(resource_id, **more):
    values = {"driver": "router", "tenant_id": "t1", "node": "n1", "worker": 0, "name": "web"} | {
        "instance": "configured"
    }
    return control_protocol.ResourceLine(id=resource_id, **{**values, **more})


class FakeDesk:
    """Answers as a worker does, from a dictionary."""

    def __init__(self, *lines):
        self.lines = {each.id: each for each in lines}
        self.submitted = []

    def answer(self, question):
        match question:
            case control_protocol.ListResources(after, limit):
                later = sorted(name for name in self.lines if name > after)
                chosen = tuple(self.lines[name] for name in later[:limit])
                return control_protocol.Lines(chosen, more=len(later) > limit)
            case control_protocol.ShowResource(name):
                known = self.lines.get(name)
                return (
                    control_protocol.ResourceDetail(known)
                    if known
                    else control_protocol.Unknown(name)
                )
            case control_protocol.Submit(name, action, image):
                if name not in self.lines:
                    return control_protocol.Unknown(name)
                self.submitted.append((name, action, image))
                return control_protocol.Submitted(1, self.lines[name])
            case control_protocol.PollAll():
                return control_protocol.Submitted(len(self.lines))
            case control_protocol.ShowWorker():
                threads = (control_protocol.ThreadView("t00", True),)
                return control_protocol.WorkerView("n1", 0, 1, len(self.lines), {}, threads)


@pytest.fixture
def conf(tmp_path):
    made = cfg.ConfigOpts()
    options.register(made)
    path = tmp_path / "o.ini"
    path.write_text(
        f"[DEFAULT]\nhost=n1\nstate_path={tmp_path}\nnum_worker_processes=1\nboot_timeout=5\n"
    )
    made(args=[], default_config_files=[str(path)])
    return made


@pytest.fixture
def desk():
    return FakeDesk(line(A, name="web"), line(B, name="db", instance="error"), line(C, name="db"))


@pytest.fixture
def own(conf, desk):
    server = control.Server(control_protocol.path_of(conf.state_path, 0), desk.answer)
    server.start()
    made = node.Node(conf)
    yield made
    made.close()
    server.close()


class Carrier:
    """Asks nodes of this process; the others are silent."""

    def __init__(self, **nodes):
        self.nodes = nodes

    def ask(self, host, question):
        found = self.nodes.get(host or "n1")
        if found is None:
            raise rpc.NodeSilent(f"node {host} is silent")
        text = messages.encode(found.answer(messages.decode_question(messages.encode(question))))
        return messages.decode_answer(text)


@pytest.fixture
def everyone(own):
    made = cluster.Cluster(Carrier(n1=own))
    yield made
    made.close()


def command(name, reference="", **more):
    return messages.Command(f"resource-{name}", reference, by="tester", **more)


def test_a_name_is_as_good_as_an_id(everyone, desk):
    [report] = everyone.command(command("update", "web"), "router")
    assert report.done
    assert A in report.text
    assert desk.submitted == [(A, Action.UPDATE, None)]


@pytest.mark.parametrize(
    ("reference", "driver", "code"),
    [
        ("db", "", "ambiguous-name"),
        ("nobody", "", "unknown-resource"),
        ("web", "loadbalancer", "unknown-resource"),
        (A, "loadbalancer", "wrong-kind"),
    ],
    ids=["two of that name", "no such name", "name of another kind", "id of another kind"],
)
def test_a_reference_that_does_not_fit_is_refused(everyone, desk, reference, driver, code):
    with pytest.raises(cluster.Refused) as caught:
        everyone.command(command("update", reference), driver)
    assert caught.value.report.code == code
    assert desk.submitted == []


def test_all_that_are_in_error_can_be_meant(everyone, desk):
    [report] = everyone.command(command("rebuild", "error"), "router")
    assert report.done
    assert desk.submitted == [(B, Action.REBUILD, None)]


def test_what_is_in_debug_mode_is_refused_with_who_and_why(everyone, desk):
    [entered] = everyone.command(command("debug", A, reason="case 4711"))
    assert entered.done
    assert everyone.resources().resources[0].debug == "resource"
    [refused] = everyone.command(command("rebuild", A))
    assert refused.code == "in-debug-mode"
    assert "tester: case 4711" in refused.text
    assert desk.submitted == []
    [left] = everyone.command(command("manage", A))
    assert left.done
    [again] = everyone.command(command("manage", A))
    assert again.code == "not-in-debug-mode"
    assert everyone.command(command("rebuild", A))[0].done


@pytest.mark.parametrize("scope", ["tenant", "global"])
def test_wider_debug_modes_cover_the_resource(everyone, scope):
    if scope == "tenant":
        everyone.command(messages.Command("tenant-debug", "t1", by="x"))
    else:
        everyone.command(messages.Command("global-debug-enable", by="x"))
    assert everyone.command(command("update", A))[0].code == "in-debug-mode"
    assert {each.debug for each in everyone.resources().resources} == {scope}
    assert everyone.debug_modes()[0].scope == scope


def test_a_silent_worker_is_told_and_not_taken_for_unknown(conf):
    alone = node.Node(conf)
    try:
        listed = alone.answer(messages.ListResources())
        assert "worker-00 does not answer" in listed.faults[0]
        assert alone.answer(command("update", A)).code == "worker-silent"
        assert alone.answer(messages.Command("poll")).code == "worker-silent"
    finally:
        alone.close()


def test_a_silent_node_does_not_hide_the_others(own):
    own._members = lambda: ("n1", "n2")
    everyone = cluster.Cluster(Carrier(n1=own))
    found = everyone.resources()
    assert len(found.resources) == 3
    assert found.faults == ("node n2 is silent",)
    reports = everyone.command(messages.Command("poll"))
    assert [report.code for report in reports] == ["done", "node-silent"]
    assert everyone.nodes()[1] == ("node n2 is silent",)
    everyone.close()


def test_reload_names_what_needs_a_restart(conf, own, tmp_path, monkeypatch):
    signals = []
    monkeypatch.setattr(node.os, "kill", lambda _pid, number: signals.append(number))
    path = tmp_path / "o.ini"
    path.write_text(path.read_text().replace("boot_timeout=5", "boot_timeout=7"))
    report = own.answer(messages.Command("config-reload"))
    assert report.done
    assert "[DEFAULT] boot_timeout: 5.0 -> 7.0" in report.details[0]
    assert len(signals) == 1
    path.write_text("nonsense")
    assert own.answer(messages.Command("config-reload")).code == "invalid"


@pytest.fixture
def web(own, everyone):
    return http.build_app(own, everyone, lambda headers, _rule: access.Caller("web")).test_client()


def test_seed_routes_answer(web, desk):
    assert web.put("/poll/").json["reports"][0]["done"]
    assert web.put("/workers/debug/").status_code == 200
    image = "11111111-0000-4000-8000-000000000000"
    assert web.put(f"/router/update/{A}/--reason/x").status_code == 200
    assert web.put(f"/router/rebuild/{A}").status_code == 200
    assert desk.submitted[-1] == (A, Action.REBUILD, None)
    answer = web.put(f"/router/rebuild/{A}/--router_image_uuid/{image}")
    assert answer.status_code in (500, 502)  # there is no Glance here
    assert "error" in answer.json


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("put", "/router/rebuild/nobody", 404, "unknown-resource"),
        ("put", "/router/rebuild/db", 409, "ambiguous-name"),
        ("put", f"/router/rebuild/{A}/--reason", 400, "invalid"),
        ("put", f"/router/rebuild/{A}/--bogus/1", 400, "invalid"),
        ("put", f"/router/explode/{A}", 404, "not-found"),
        ("put", f"/spaceship/update/{A}", 404, "not-found"),
        ("get", "/nope", 404, "not-found"),
        ("post", "/poll", 405, "method-not-allowed"),
        ("put", f"/router/manage/{A}", 409, "not-in-debug-mode"),
    ],
)
def test_errors_are_json_with_a_stable_code(web, method, path, status, code):
    answer = getattr(web, method)(path)
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)


def test_views_filter_and_page(web):
    assert [r["id"] for r in web.get("/resources").json["resources"]] == [A, B, C]
    assert [r["id"] for r in web.get("/resources?instance=error").json["resources"]] == [B]
    assert [r["id"] for r in web.get(f"/resources?limit=1&marker={A}").json["resources"]] == [B]
    assert web.get("/resources/web").json["resource"]["id"] == A
    assert web.get("/nodes").json["nodes"][0]["host"] == "n1"
    assert web.get("/workers").json["workers"][0]["threads"]
    assert web.get("/healthz").json == {"healthy": True, "faults": []}


def test_without_a_token_nothing_is_told_and_roles_decide(conf, own, everyone):
    guard = access.guard(conf)
    client = http.build_app(own, everyone, guard).test_client()
    assert client.get("/resources").json["error"]["code"] == "unauthenticated"
    assert client.get("/healthz").status_code == 200
    known = {"X-Identity-Status": "Confirmed", "X-User-Name": "alice"}
    member = client.put("/poll", headers={**known, "X-Roles": "member"})
    assert (member.status_code, member.json["error"]["code"]) == (403, "forbidden")
    assert client.put("/poll", headers={**known, "X-Roles": "admin"}).status_code == 200
    assert client.get("/nodes", headers={**known, "X-Roles": "service"}).status_code == 200


def test_openapi_names_every_route(own, everyone):
    app = http.build_app(own, everyone, access.guard)
    described = {
        (path.replace("{", "<").replace("}", ">"), method.upper())
        for path, methods in openapi.document()["paths"].items()
        for method in methods
    }
    for rule in app.url_map.iter_rules():
        if rule.rule == "/openapi.json" or "<path:options>" in rule.rule:
            continue
        [method] = rule.methods & {"GET", "PUT"}
        assert (rule.rule, method) in described
    json.dumps(openapi.document())


def ctl(*words):
    return subprocess.run(
        [sys.executable, "-m", "astara.cmd.ctl", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_tool_helps_with_examples_and_says_what_is_wrong(tmp_path):
    helped = ctl("router", "rebuild", "--help")
    assert helped.returncode == 0
    assert "astara-ctl router rebuild error" in helped.stdout
    absent = ctl("--config-file", str(tmp_path / "absent.ini"), "poll")
    assert absent.returncode == 78
    assert "absent.ini" in absent.stderr
    assert ctl("router", "explode").returncode == 2


def test_the_sample_configuration_is_current(tmp_path):
    out = tmp_path / "sample"
    generator = pathlib.Path(sys.executable).with_name("oslo-config-generator")
    subprocess.run(
        [
            str(generator),
            "--config-file",
            str(ROOT / "deploy/astara/sample-generator.conf"),
            "--output-file",
            str(out),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    kept = ROOT / "deploy/astara/orchestrator.ini.sample"
    assert out.read_text() == kept.read_text(), (
        "run: oslo-config-generator --config-file deploy/astara/sample-generator.conf"
    )


def test_a_broker_that_is_away_is_told_of_and_not_waited_for(tmp_path):
    file = tmp_path / "orchestrator.ini"
    # Port 1 is nobody's.
    file.write_text("[DEFAULT]\ntransport_url = rabbit://u:p@127.0.0.1:1/\n")
    argv = [sys.executable, "-m", "astara.cmd.ctl", "--config-file", str(file), "list"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3, done.stderr
    assert "the message broker of transport_url does not answer (127.0.0.1:1" in done.stderr


def test_a_configuration_without_a_broker_is_refused(tmp_path):
    file = tmp_path / "orchestrator.ini"
    file.write_text("[DEFAULT]\n")
    argv = [sys.executable, "-m", "astara.cmd.ctl", "--config-file", str(file), "list"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == os.EX_CONFIG, done.stderr
    assert "transport_url is required" in done.stderr


# Connection.Start of AMQP 0-9-1: version, no properties, one mechanism, one locale.
START = b"\x00\x09\x00\x00\x00\x00" + b"\x00\x00\x00\x08AMQPLAIN" + b"\x00\x00\x00\x05en_US"
METHOD = b"\x00\x0a\x00\x0a" + START
FRAME = b"\x01\x00\x00" + len(METHOD).to_bytes(4) + METHOD + b"\xce"


@contextlib.contextmanager
def frozen_broker(words):
    """A port whose connections the kernel takes; whoever listens says little, or nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            kept = []
            while True:
                try:
                    kept.append(listening.accept()[0])
                    kept[-1].sendall(words)
                except OSError:
                    break
            for each in kept:
                each.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def _listing(directory, broker):
    """A tool that asks by way of this broker."""
    file = directory / f"{broker}.ini"
    file.write_text(f"[DEFAULT]\ntransport_url = rabbit://u:p@127.0.0.1:{broker}/\n")
    argv = [sys.executable, "-m", "astara.cmd.ctl", "--config-file", str(file)]
    argv += ["--timeout", "1", "list"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_broker_that_hangs_is_given_up_within_the_deadline(tmp_path):
    expected = {
        b"": "the message broker of transport_url does not answer",
        FRAME: "the message broker does not answer within 3 s",
    }
    with contextlib.ExitStack() as stack:
        tools = [
            _listing(tmp_path, stack.enter_context(frozen_broker(words))) for words in expected
        ]
        for tool, told in zip(tools, expected.values(), strict=True):
            # The library by itself would try for ever.
            _, said = tool.communicate(timeout=120)
            assert tool.returncode == 3, said
            assert told in said
