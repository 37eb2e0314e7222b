"""Metrics: counted by processes, added up by one, described by a page, used by what we ship."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

from astara import metrics, metrics_page
from astara.api import access

ROOT = pathlib.Path(__file__).parents[2]
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
DASHBOARD = json.loads((ROOT / "deploy/grafana/astara.json").read_text())
SERIES = {
    "counter": ("",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}


def series():
    return {
        one.name + suffix: set(one.labels)
        for one in metrics.declarations()
        for suffix in SERIES[one.kind]
    }


def expressions():
    for rule in ALERTS["groups"][0]["rules"]:
        yield pytest.param(rule["expr"], id=rule["alert"])
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_query_is_about_what_there_is(expression):
    known = series()
    named = re.findall(r"\b(astara_\w+)(?:\{([^}]*)\})?", expression)
    assert named or "up{" in expression
    for name, matchers in named:
        assert name in known
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert labels <= known[name] | {"instance", "job"}


def test_every_metric_is_on_the_dashboard():
    shown = " ".join(t["expr"] for panel in DASHBOARD["panels"] for t in panel["targets"])
    absent = [one.name for one in metrics.declarations() if one.name not in shown]
    assert absent == []


def test_the_page_is_current():
    kept = ROOT / "docs/reference/metrics.md"
    assert kept.read_text() == metrics_page.page(), "run: make docs"


COUNT = """
from astara import metrics
metrics.TRANSITIONS.labels("alive", "stats").inc({amount})
metrics.AUDIT_ORPHANS.set({amount})
metrics.AUDIT_SECONDS.observe(0.2)
"""
NODE = """
import sys
from astara.api import exposition, messages
class Silent:
    def answer(self, question):
        return messages.Report("n", False, "node-silent", "gone")
sys.stdout.buffer.write(exposition.text(Silent()))
"""


def run(program, state_path, name):
    environment = {**os.environ, **metrics.environment(str(state_path), name)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_what_processes_count_is_added_up_also_after_they_died(tmp_path):
    metrics.reset(str(tmp_path))
    run(COUNT.format(amount=2), tmp_path, "worker-00")
    run(COUNT.format(amount=3), tmp_path, "worker-01")
    run(COUNT.format(amount=5), tmp_path, "worker-00")  # started again: it goes on
    told = run(NODE, tmp_path, "api-00")
    assert 'astara_transitions_total{next_state="stats",state="alive"} 10.0' in told
    assert "astara_audit_orphans 5.0" in told
    assert "astara_audit_seconds_count 3.0" in told
    assert "astara_node_faults 1.0" in told
    names = {path.name for path in metrics.directory(str(tmp_path)).iterdir()}
    assert {name.rpartition("_")[2] for name in names} <= {
        "worker-00.db",
        "worker-01.db",
        "api-00.db",
    }
    metrics.reset(str(tmp_path))
    assert not list(metrics.directory(str(tmp_path)).iterdir())


def deny(_headers, _rule):
    raise access.Denied("no", known=False)


def test_the_token_opens_metrics_and_nothing_else():
    guard = access.ScraperFirst("s3cret", deny)
    assert guard({"Authorization": "Bearer s3cret"}, access.METRICS).name == "scraper"
    for headers, rule in (
        ({"Authorization": "Bearer s3cret"}, access.VIEW),
        ({"Authorization": "Bearer other"}, access.METRICS),
        ({"Authorization": "Bearer "}, access.METRICS),
        ({}, access.METRICS),
    ):
        with pytest.raises(access.Denied):
            guard(headers, rule)


KNOWING = """
import sys
from astara.api import exposition, messages
from astara.worker import control_protocol as worker
class Knowing:
    def answer(self, question):
        thread = worker.ThreadView("t00", True)
        one = worker.WorkerView("n", 0, 1, 2, {"idle": 2}, (thread,))
        return messages.NodeView("n", "1", 0.0, ("n",), (one,))
    def figures(self):
        routers = (worker.RouterFigures("r-1", {"external": (10, 1, 20, 2)}, 2e9),)
        return (
            worker.Figures(0, {"configured": 2}, 3, {"fresh": 1, "due": 1}, 1e9, 2e9,
                           {1: (1e9, 3e9)}, routers),
            worker.Figures(1, {"configured": 1, "error": 1}, 0, {"fresh": 2}, 1.5e9, 1.9e9,
                           {1: (1e9, 3e9)}),
            worker.Figures(2),
        )
sys.stdout.buffer.write(exposition.text(Knowing()))
"""


def test_what_workers_know_is_put_together(tmp_path):
    metrics.reset(str(tmp_path))
    told = run(KNOWING, tmp_path, "api-00").splitlines()
    assert set(told) >= {
        'astara_instances{state="configured"} 3.0',
        'astara_instances{state="error"} 1.0',
        'astara_rebuilds_left{worker="00"} 3.0',
        'astara_rebuilds_left{worker="01"} 0.0',
        'astara_certificates{state="fresh"} 3.0',
        "astara_certificate_first_end_timestamp_seconds 1.9e+09",
        'astara_authority_end_timestamp_seconds{number="1"} 3e+09',
        'astara_router_traffic_bytes_total{direction="out",router="r-1",scope="external"} 20.0',
        'astara_router_traffic_packets_total{direction="in",router="r-1",scope="external"} 1.0',
        'astara_router_certificate_end_timestamp_seconds{router="r-1"} 2e+09',
        'astara_worker_threads{state="dead",worker="00"} 0.0',
    }
    [age] = [line for line in told if line.startswith("astara_certificate_oldest_age_seconds ")]
    assert float(age.split()[1]) > 7e8


def test_known_counters_are_shown_before_anything_happens(tmp_path):
    metrics.reset(str(tmp_path))
    run("from astara import metrics; metrics.begin()", tmp_path, "api-00")
    told = run(NODE, tmp_path, "api-00")
    assert 'astara_health_rebuilds_total{verdict="held"} 0.0' in told
    assert 'astara_pushes_total{outcome="refused"} 0.0' in told
