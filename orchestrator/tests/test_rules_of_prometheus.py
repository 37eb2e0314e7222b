"""What we ship for Prometheus, as Prometheus itself takes it."""

import json
import pathlib
import shutil
import subprocess

import pytest
import yaml

pytestmark = pytest.mark.functional

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy/prometheus"


def promtool(*words, cwd):
    done = subprocess.run(
        ["promtool", *words], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def installed(tmp_path):
    for name in ("alerts.yml", "scrape.yml"):
        shutil.copy(DEPLOY / name, tmp_path)
    token = tmp_path / "token"
    token.write_text("secret")
    scrape = tmp_path / "scrape.yml"
    text = scrape.read_text().replace("/etc/prometheus/astara-metrics-token", str(token))
    scrape.write_text(text)
    return tmp_path


def test_scrape_job_and_rules_load(installed):
    told = promtool("check", "config", "scrape.yml", cwd=installed)
    assert "SUCCESS" in told


# Series with a value a minute, when to look, and the alerts that must fire then; none in between.
STORIES = {
    "AstaraNodeDown": ({'up{job="astara",instance="n"}': "0x20"}, "5m"),
    "AstaraWorkerSilent": ({'astara_node_faults{instance="n"}': "1x20"}, "5m"),
    "AstaraConfigurationRefused": (
        {'astara_pushes_total{instance="n",outcome="refused"}': "0 0 2 4 6 8x10"},
        "10m",
    ),
    "AstaraRebuildsHeld": (
        {'astara_health_rebuilds_total{instance="n",verdict="held"}': "0 0 1x10"},
        "5m",
    ),
    "AstaraCertificateEnds": (
        {'astara_certificate_first_end_timestamp_seconds{instance="n"}': "80000x60"},
        "30m",
    ),
    "AstaraAuthorityEnds": (
        {'astara_authority_end_timestamp_seconds{instance="n",number="1"}': "7000000x20"},
        "5m",
    ),
    "AstaraRenewalsFail": (
        {'astara_certificate_renewals_total{instance="n",outcome="failed"}': "0+1x60"},
        "30m",
    ),
    "AstaraChildDies": (
        {'astara_child_starts_total{instance="n",role="worker"}': "1+1x20"},
        "12m",
    ),
    "AstaraBudgetSpent": ({'astara_rebuilds_left{instance="n",worker="00"}': "0x20"}, "10m"),
    "AstaraInstancesInError": (
        {'astara_instances{instance="n",state="error"}': "2x60"},
        "45m",
    ),
    "AstaraEventsDropped": (
        {'astara_messages_dropped_total{instance="n",to="worker-00"}': "0 0 5x20"},
        "5m",
    ),
    "": (  # a healthy node: nothing fires
        {
            'up{job="astara",instance="n"}': "1x60",
            'astara_node_faults{instance="n"}': "0x60",
            'astara_pushes_total{instance="n",outcome="refused"}': "0x60",
            'astara_certificate_first_end_timestamp_seconds{instance="n"}': "500000x60",
            'astara_authority_end_timestamp_seconds{instance="n",number="1"}': "300000000x60",
            'astara_rebuilds_left{instance="n",worker="00"}': "3x60",
            'astara_instances{instance="n",state="error"}': "0x60",
            'astara_child_starts_total{instance="n",role="worker"}': "2x60",
        },
        "45m",
    ),
}


def test_alerts_fire_when_they_should(installed):
    rules = yaml.safe_load((installed / "alerts.yml").read_text())["groups"][0]["rules"]
    names = [rule["alert"] for rule in rules]
    assert set(STORIES) - {""} <= set(names)
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": text} for name, text in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count by (alertname) (ALERTS{{alertstate="firing",{_of(name)}}})',
                    "eval_time": moment,
                    "exp_samples": (
                        [{"labels": f'{{alertname="{name}"}}', "value": 1}] if name else []
                    ),
                }
            ],
        }
        for name, (series, moment) in STORIES.items()
    ]
    story = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests}
    (installed / "stories.yml").write_text(json.dumps(story))
    assert "SUCCESS" in promtool("test", "rules", "stories.yml", cwd=installed)


def _of(name):
    return f'alertname="{name}"' if name else 'alertname=~".+"'
