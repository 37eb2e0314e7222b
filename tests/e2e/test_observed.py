"""One orchestrator that tells all: JSON logs, traces, traffic, and metrics for a real Prometheus.

The devcloud's own is stopped meanwhile; this one has its state, and options of its own.
"""

import configparser
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import kombu
import pytest
import yaml

from astara_contract import metadata
from astara_devcloud import faults, layout, outside, services, settings
from astara_devcloud.story import appliance, probes
from astara_devcloud.story.tenant import Tenant

if TYPE_CHECKING:
    from openstack.connection import Connection

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "orchestrator/tests"))

import otlp_receiver

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(600), pytest.mark.quiet]

ROOT = pathlib.Path(__file__).parents[2]
BIN = pathlib.Path(sys.executable).parent
ORCHESTRATOR = "astara-orchestrator"
OUTSIDE = probes.Vantage("the internet", outside.NAMESPACE)
TOPIC = "astara_observed_test"
PERIOD_S = 3
PATIENCE_S = 180
PING_OCTETS = 1000
INSIDE = "10.44.0.0/24"


class Notifications:
    """What is published under a topic of our own."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("rabbit://", "amqp://")
        self._stop = threading.Event()
        self.got: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        exchange = kombu.Exchange("openstack", type="topic", durable=False)
        queue = kombu.Queue(f"{TOPIC}.info", exchange, f"{TOPIC}.info", durable=False)
        with kombu.Connection(self._url) as link, link.Consumer(queue, callbacks=[self._take]):
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    link.drain_events(timeout=0.5)
            queue(link.default_channel).delete()

    def _take(self, body: Any, message: Any) -> None:
        envelope = body if isinstance(body, dict) else json.loads(body)
        self.got.append(json.loads(envelope["oslo.message"]))
        message.ack()

    def __enter__(self) -> "Notifications":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=20)


class Observed:
    """The orchestrator, a router with a VM behind it, and all who listen."""

    def __init__(self, root: pathlib.Path, stack: contextlib.ExitStack) -> None:
        where = layout.current_layout()
        self.cloud = settings.load(where)
        self.log = root / "orchestrator.log"
        self.config = root / "orchestrator.ini"
        self.collector = stack.enter_context(otlp_receiver.Receiver())
        told = configparser.ConfigParser(strict=False, interpolation=None)
        told.read(where.etc / "orchestrator.ini")
        self.token = told["DEFAULT"]["metrics_token"]
        self.told = told
        told["DEFAULT"].update({"use_json": "true", "debug": "true"})
        told["metering"] = {
            "period": str(PERIOD_S),
            "per_router": "true",
            "notify": "true",
            "topic": TOPIC,
        }
        told["audit"] = {"interval": "3600"}  # else it may hear of a router before Neutron tells
        told["tracing"] = {"otlp_endpoint": self.collector.url}
        with self.config.open("w") as file:
            told.write(file)
        self.bus = stack.enter_context(Notifications(told["DEFAULT"]["transport_url"]))
        self._process = self._start()
        stack.callback(self.stop)

    def _start(self) -> subprocess.Popen[bytes]:
        service = services.declare(self.cloud)[ORCHESTRATOR]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [str(BIN / ORCHESTRATOR), "--config-file", str(self.config)],
                env=services.environment(self.cloud, service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=60)

    def lines(self) -> list[str]:
        """Return the lines of the log that are whole."""
        return self.log.read_text().rpartition("\n")[0].splitlines()

    def ctl(self, *words: str) -> None:
        argv = [str(BIN / "astara-ctl"), "--config-file", str(self.config), *words]
        subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)

    def api(self) -> str | None:
        """Return where the HTTP API listens."""
        for line in self.log.read_text().splitlines():
            if '"api.listening"' in line:
                facts = json.loads(line)["facts"]
                host = facts["address"]
                return f"[{host}]:{facts['port']}" if ":" in host else f"{host}:{facts['port']}"
        return None


class Story:
    """What a tenant drew, and what is seen of it."""

    def __init__(self, observed: Observed, tenant: Tenant, service: "Connection") -> None:
        self.observed = observed
        self.tenant = tenant
        probes.wait_until(
            lambda: any('"audit.done"' in line for line in observed.lines()),
            "it has looked around",
            PATIENCE_S,
            0.5,
        )
        self.network = tenant.network("watched")
        self.subnet = tenant.subnet(self.network, INSIDE)
        self.router = tenant.router("watched", external="public")
        tenant.plug(self.router, self.subnet)
        self.appliance = appliance.Appliance(service, self.router.id, observed.config)
        self.address = probes.wait_until(
            lambda: self._serving(), "the router serves", PATIENCE_S, 0.5
        )

    def _serving(self) -> str | None:
        address = self.tenant.gateway_address(self.router)
        seen = self.tenant.cloud.network.get_router(self.router.id)
        return address if seen.status == "ACTIVE" and OUTSIDE.pings(address) else None

    def send(self, times: int) -> None:
        """Send packets of a known size through the external network to the router."""
        argv = ["ping", "-n", "-c", str(times), "-i", "0.05", "-s", str(PING_OCTETS)]
        assert OUTSIDE.run(*argv, self.address).returncode == 0

    def knock(self) -> None:
        """Send packets to a floating IP behind which nobody answers; they are counted."""
        network = self.tenant.cloud.network
        public = network.find_network("public", ignore_missing=False)
        port = self.tenant.port(self.network)
        made = network.create_ip(floating_network_id=public.id, port_id=port.id)
        probes.wait_until(
            lambda: network.get_ip(made.id).status == "ACTIVE", "it is served", PATIENCE_S, 0.5
        )
        OUTSIDE.run("ping", "-n", "-c", "3", "-W", "1", made.floating_ip_address)


@pytest.fixture(scope="module")
def story(
    devcloud: None,
    tmp_path_factory: pytest.TempPathFactory,
    tenant: "Connection",
    service: "Connection",
) -> Iterator[Story]:
    drawn = Tenant(tenant, "observed-")
    drawn.clear()
    with contextlib.ExitStack() as stack:
        stack.enter_context(faults.stopped(ORCHESTRATOR))
        observed = Observed(tmp_path_factory.mktemp("observed"), stack)
        stack.callback(drawn.clear)
        try:
            yield Story(observed, drawn, service)
        except BaseException:
            sys.stderr.write("\n".join(observed.lines()[-60:]))
            raise


def test_a_change_is_one_trace_from_the_notification_to_the_push(story: Story) -> None:
    collector = story.observed.collector
    known = {span.trace for span in collector.spans()}
    story.tenant.cloud.network.update_router(
        story.router, routes=[{"destination": "192.0.2.0/24", "nexthop": "10.44.0.9"}]
    )

    def pushed(spans: list[otlp_receiver.Span]) -> otlp_receiver.Span | None:
        return next(
            (
                span
                for span in spans
                if span.name == "configure appliance" and span.trace not in known
            ),
            None,
        )

    push = collector.wait_for(pushed, "a push in a new trace", PATIENCE_S)
    collector.wait_for(
        lambda spans: (
            {"walk", "schedule"} <= {span.name for span in spans if span.trace == push.trace}
        ),
        "the rest of the trace",
        PATIENCE_S,
    )
    spans = collector.spans(push.trace)
    way = otlp_receiver.path_to(push, spans)
    assert way == ["router.update.end", "walk", "ConfigureVM", "configure appliance"]
    names = {span.name for span in spans}
    assert names >= {"wait", "schedule", "Alive", "GET network", "status appliance"}
    walk = next(span for span in spans if span.name == "walk")
    assert walk.facts["router"] == story.router.id
    assert {span.process.rpartition("/")[2].partition("-")[0] for span in spans} == {
        "listener",
        "worker",
    }
    moved = [line for line in story.observed.lines() if push.trace in line]
    assert any('"document.pushed"' in line for line in moved)


def test_nova_logs_the_trace_that_a_call_belongs_to(story: Story) -> None:
    """Which trace the boot belongs to is open: an audit may have heard of the router first."""
    spans = story.observed.collector.spans()
    traces = {span.trace for span in spans if span.name.endswith(" compute")}
    log = layout.current_layout().log_of("nova-api").read_text(errors="replace")
    told = set(re.findall(r"req-([0-9a-f-]{36})", log))
    assert traces & {one.replace("-", "") for one in told}


def test_traffic_is_counted_as_it_was_sent_and_told_once(story: Story) -> None:
    told = story.observed.bus

    def external() -> tuple[int, int]:
        mine = [one["payload"] for one in told.got if one["payload"]["uuid"] == story.router.id]
        counted = [
            counter
            for one in mine
            for counter in one["payload"].values()
            if counter["scope"] == "external"
        ]
        return sum(each["in_bytes"] for each in counted), sum(
            each["out_bytes"] for each in counted
        )

    before = external()
    story.send(200)
    least = 200 * (PING_OCTETS + 28)
    probes.wait_until(
        lambda: min(now - was for now, was in zip(external(), before, strict=True)) >= least,
        "the packets are counted",
        PATIENCE_S,
        0.5,
    )
    now = external()
    assert all(one - was < 2 * least for one, was in zip(now, before, strict=True))
    last = next(one for one in reversed(told.got) if one["payload"]["uuid"] == story.router.id)
    assert last["event_type"] == "astara.bandwidth.used"
    assert last["payload"]["tenant_id"] == story.tenant.cloud.current_project_id
    assert last["payload"]["begin"] < last["payload"]["timestamp"]


def test_each_line_is_json_with_event_and_resource(story: Story) -> None:
    lines = [json.loads(line) for line in story.observed.lines()]
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", line["event"]) for line in lines)
    about = [line for line in lines if line["event"] in ("walk.moved", "document.pushed")]
    assert about
    assert all(line["resource"] == {"router": line["resource"]["router"]} for line in about)
    assert {line["process"] for line in lines} >= {"supervisor", "listener-00", "worker-00"}


def secrets_of(story: Story) -> set[str]:
    """Return what nobody may read in a log."""
    told = story.observed.told
    found = {
        told["DEFAULT"]["metadata_proxy_shared_secret"],
        told["DEFAULT"]["metrics_token"],
        told["keystone_authtoken"]["password"],
        str(urllib.parse.urlsplit(told["DEFAULT"]["transport_url"]).password),
    }
    credentials = story.observed.cloud.credentials
    fields = getattr(credentials, "__struct_fields__", None) or credentials.__dataclass_fields__
    found |= {str(getattr(credentials, name)) for name in fields}
    shared = told["DEFAULT"]["metadata_proxy_shared_secret"]
    found.add(metadata.derive_key(shared, story.router.id))
    return {one for one in found if len(one) >= 8}


def test_no_log_holds_a_secret(story: Story) -> None:
    """Of the orchestrator with debug, of appliances with their daemons and consoles, of Nova."""
    secrets = secrets_of(story)
    assert len(secrets) > 5
    where = layout.current_layout()
    logs = [story.observed.log, *where.log.glob("astara*"), *where.log.glob("nova*")]
    logs += [path for path in where.state.rglob("*.log") if path.is_file()]
    assert {path.name for path in logs} >= {"agent.log", "console.log", "nova-compute.log"}
    leaks = {
        (str(path), secret[:2])
        for path in logs
        for secret in {*secrets, "PRIVATE KEY"}
        if secret in path.read_text(errors="replace")
    }
    assert leaks == set()


def test_no_state_file_that_others_can_read_holds_a_secret(story: Story) -> None:
    secrets = secrets_of(story)
    where = layout.current_layout()
    leaks = set()
    for path in [*(where.state / "astara").rglob("*"), *where.state.rglob("*.json")]:
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_mode & 0o077 and not _hidden(path, where.root):
                text = path.read_bytes()
                leaks |= {str(path) for one in secrets if one.encode() in text}
                leaks |= {str(path)} if b"PRIVATE KEY" in text else set()
    assert leaks == set()


def _hidden(path: pathlib.Path, root: pathlib.Path) -> bool:
    """Tell whether a folder on the way keeps others out."""
    return any(
        not parent.stat().st_mode & 0o011 for parent in path.parents if parent.is_relative_to(root)
    )


class Prometheus:
    """A real one that scrapes the orchestrator as `deploy/prometheus` says."""

    def __init__(self, root: pathlib.Path, target: str, token: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        shipped = yaml.safe_load((ROOT / "deploy/prometheus/scrape.yml").read_text())
        (root / "token").write_text(token)
        shipped["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
        shipped["rule_files"] = [str(ROOT / "deploy/prometheus/alerts.yml")]
        [job] = shipped["scrape_configs"]
        job["authorization"]["credentials_file"] = str(root / "token")
        job["static_configs"] = [{"targets": [target]}]
        (root / "prometheus.yml").write_text(yaml.safe_dump(shipped))
        self._log = (root / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={root / 'prometheus.yml'}",
                f"--storage.tsdb.path={root / 'data'}",
                f"--web.listen-address={self.address}",
            ],
            stdout=self._log,
            stderr=self._log,
            env={"PATH": os.environ["PATH"], "GOMAXPROCS": "1"},
        )

    def get(self, path: str, **query: str) -> Any:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]

    def query(self, expression: str) -> list[Any]:
        found: list[Any] = self.get("query", query=expression)["result"]
        return found

    def scrapes(self) -> float:
        with contextlib.suppress(OSError):
            for one in self.query('count_over_time(up{job="astara"}[10m])'):
                if self.query('up{job="astara"}')[0]["value"][1] == "1":
                    return float(one["value"][1])
        return 0.0

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        self._log.close()


@pytest.fixture(scope="module")
def prometheus(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    target = probes.wait_until(story.observed.api, "the API listens", PATIENCE_S, 0.5)
    running = Prometheus(tmp_path_factory.mktemp("prometheus"), target, story.observed.token)
    try:
        probes.wait_until(lambda: running.scrapes() >= 3, "it scrapes", PATIENCE_S, 0.5)
        # Something of every kind happens while it looks.
        story.observed.ctl("poll")
        story.observed.ctl("router", "update", story.router.id)
        story.tenant.cloud.network.update_router(story.router, routes=[])
        story.send(20)
        story.knock()
        seen = running.scrapes()
        probes.wait_until(lambda: running.scrapes() >= seen + 6, "more scrapes", PATIENCE_S, 0.5)
        yield running
    finally:
        running.close()


# On a cloud where nothing fails these have no series: what they count has never happened.
NEVER = {"astara_service_request_seconds_count{.*code!="}


def panels() -> Iterator[Any]:
    dashboard = json.loads((ROOT / "deploy/grafana/astara.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield pytest.param(
                target["expr"], id=f"{panel['title']} {target['refId']}".replace(" ", "-")
            )


@pytest.mark.parametrize("expression", list(panels()))
def test_each_query_of_the_dashboard_has_data(prometheus: Prometheus, expression: str) -> None:
    found = prometheus.query(expression.replace("$node", ".*"))
    assert found or any(re.search(one, expression) for one in NEVER), expression


def test_each_alert_is_evaluated_about_series_that_exist(prometheus: Prometheus) -> None:
    [group] = prometheus.get("rules")["groups"]
    faults_told = {
        rule["name"]: rule["lastError"] for rule in group["rules"] if rule["health"] != "ok"
    }
    assert faults_told == {}
    absent = {
        (rule["name"], name)
        for rule in group["rules"]
        for name in re.findall(r"\b(?:astara_\w+|up)\b", rule["query"])
        if not prometheus.query(name)
    }
    assert absent == set()


def test_a_healthy_cloud_raises_no_alert(prometheus: Prometheus) -> None:
    firing = [
        one["labels"]["alertname"]
        for one in prometheus.get("alerts")["alerts"]
        if one["state"] == "firing"
    ]
    assert firing == []


def test_per_router_series_name_the_router(story: Story, prometheus: Prometheus) -> None:
    router = story.router.id
    [ends] = prometheus.query(
        f'astara_router_certificate_end_timestamp_seconds{{router="{router}"}}'
    )
    assert float(ends["value"][1]) > time.time()
    told = prometheus.query(
        f'astara_router_traffic_bytes_total{{router="{router}",scope="external"}}'
    )
    assert {one["metric"]["direction"] for one in told} == {"in", "out"}
    assert all(float(one["value"][1]) > 0 for one in told)
