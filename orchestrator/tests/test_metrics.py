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
