"""The node's metrics, read as Prometheus reads them, tell of what really happened."""

import configparser
import re
import subprocess

import pytest

from astara_devcloud import layout

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(300)]


@pytest.fixture
def scrape(devcloud):
    config = configparser.ConfigParser(strict=False, interpolation=None)
    config.read(layout.current_layout().etc / "orchestrator.ini")
    token = config["DEFAULT"]["metrics_token"]
    [listening] = {
        line.split()[3]
        for line in subprocess.run(
            ["ss", "-H", "-l", "-t", "-n"], capture_output=True, text=True, check=True, timeout=20
        ).stdout.splitlines()
        if line.split()[3].endswith(":44250")
    }

    def read(*headers):
        argv = ["curl", "-q", "-g", "-s", "-m", "20", *headers, f"http://{listening}/metrics"]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout

    return read, ("-H", f"Authorization: Bearer {token}")


def test_what_happened_is_counted_and_only_the_token_opens_it(scrape):
    read, token = scrape
    assert "unauthenticated" in read()
    told = read(*token)
    values = dict(re.findall(r"^(astara_[^ ]+) ([0-9.e+]+)$", told, re.MULTILINE))
    assert float(values['astara_audits_total{outcome="done"}']) >= 1
    assert values["astara_node_faults"] == "0.0"
    assert float(values['astara_worker_threads{state="alive",worker="00"}']) > 0
    reads = 'astara_service_request_seconds_count{code="2xx",method="GET",service="network"}'
    assert float(values[reads]) > 0
