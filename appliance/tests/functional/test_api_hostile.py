"""Requests that nobody should send: sizes, and whatever the description allows. Real agent."""

import contextlib
import http.client
import json

import hypothesis
import pytest
import schemathesis
from schemathesis import checks

from astara_appliance.api import openapi

pytestmark = pytest.mark.functional

ADDRESS, PORT = "fdca:3ba5:a17a:acda::2", 5000
JSON = {"Content-Type": "application/json"}
HIGHEST_MIB = 128


@pytest.fixture(scope="module")
def appliance(shared_appliance_host):
    host = shared_appliance_host
    host.nic = host.plug("blue")
    host.start_agent()
    host.good = host.document([host.network("internal", host.nic, ["10.0.0.1/8"])])
    host.push(host.good)
    yield host
    # Whatever was sent: the agent lives, and is as it should be.
    host.push(host.good)
    assert host.get("/v1/system/drift")["clean"]


def memory_mib(host, key):
    with open(f"/proc/{host.agent_pid()}/status") as stream:
        words = next(line for line in stream if line.startswith(key)).split()
    return int(words[1]) / 1024


def put_chunked(host, chunks):
    def ask():
        connection = http.client.HTTPConnection(ADDRESS, PORT, timeout=30)
        with contextlib.closing(connection):
            connection.request(
                "PUT", "/v1/system/config", body=chunks, headers=JSON, encode_chunked=True
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    return host.orchestrator.inside(ask)


def test_endless_body_is_cut_off(appliance):
    number, answer = put_chunked(appliance, iter([b" " * 65536] * 140))
    assert (number, answer["error"]["code"]) == (413, "too-large")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 8_000_000,
        b'{"services":{"a":' * 400_000,
        b'{"networks":[' + b"{}," * 2_000_000 + b"{}]}",
        b'{"hostname":"' + b"a" * 8_000_000 + b'"}',
        b'{"floating_ips":['
        + b'{"floating_ip":"1.1.1.1","fixed_ip":"1.1.1.1"},' * 150_000
        + b"]}",
        b"\xff" * 8_000_000,
    ],
    ids=["deep", "deep-objects", "many", "long-text", "repeated", "bytes"],
)
def test_large_nonsense_is_refused_in_little_memory(appliance, body):
    number, answer = appliance.request("PUT", "/v1/system/config", body, JSON)
    assert (number, answer["error"]["code"]) == (400, "invalid-document")
    assert memory_mib(appliance, "VmHWM") < HIGHEST_MIB


def test_ten_thousand_ports_fit_in_memory(appliance):
    allocations = [
        {
            "mac_address": f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}",
            "ip_addresses": {f"10.{number >> 8}.{number & 255}.9": True},
            "hostname": f"host-{number}",
            "device_id": f"11111111-2222-3333-4444-{number:012d}",
            "tenant_id": "tenant",
        }
        for number in range(10_000)
    ]
    subnet = {"cidr": "10.0.0.0/8", "gateway_ip": "10.0.0.1", "dhcp_enabled": True}
    network = appliance.network(
        "internal", appliance.nic, ["10.0.0.1/8"], [subnet], allocations=allocations
    )
    orchestrator = {"address": "fdca:3ba5:a17a:acda::1", "metadata_key": "ab" * 32}
    appliance.push(appliance.document([network], orchestrator=orchestrator))
    assert appliance.get("/v1/system/drift")["clean"]
    assert memory_mib(appliance, "VmHWM") < HIGHEST_MIB
    appliance.push(appliance.good)
    left = memory_mib(appliance, "VmRSS")
    print(f"resident after a large document: {left:.1f} MiB")
    assert left < 80


DESCRIPTION = schemathesis.openapi.from_dict(openapi.describe())


@DESCRIPTION.parametrize()
@hypothesis.settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    database=None,
)
def test_api_keeps_to_its_description(case, appliance):
    url = f"http://[{ADDRESS}]:{PORT}"
    answer = appliance.orchestrator.inside(lambda: case.call(base_url=url, timeout=30))
    # A document may well be refused by the rules beyond its types, and by the NICs that there are.
    excluded = ["not_a_server_error"]
    excluded += ["positive_data_acceptance"] * (case.operation.label == "PUT /v1/system/config")
    case.validate_response(answer, excluded_checks=checks.CHECKS.get_by_names(excluded))
    if answer.status_code == 500:
        error = answer.json()["error"]
        assert (error["code"], error["rolled_back"]) == ("apply-failed", True)
