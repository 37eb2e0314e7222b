"""What the API answers, takes and refuses. Real kernel, real daemons."""

import json

import pytest

from astara_contract import document as contract

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def running(shared_appliance_host):
    shared_appliance_host.start_agent()
    return shared_appliance_host


@pytest.fixture
def router(running):
    """An appliance that routes network blue, where vm1 lives."""
    nic = running.plug("blue")
    blue = running.segments["blue"]
    blue.add_host("vm1", ["192.168.0.10/24"], gateway="192.168.0.1")
    running.blue = running.network("internal", nic, ["192.168.0.1/24"], ["192.168.0.0/24"])
    running.good = running.document([running.blue])
    running.push(running.good)
    running.vm = blue.hosts["vm1"]
    yield running
    running.clear()


def test_pushed_document_takes_effect_and_is_reported(router):
    status = router.get("/v1/status")
    assert router.vm.pings("192.168.0.1")
    assert router.execute("hostname") == "ak-tenant\n"
    assert [nic["lladdr"] for nic in status["interfaces"]] == [nic.mac for nic in router.nics]
    assert status["schema_versions"] == [1]
    assert router.get("/v1/system/config")["digest"] == status["digest"]


def test_answers_are_the_same_with_and_without_trailing_slash(router):
    for path in ("/v1/base", "/v1/firewall/rules", "/v1/system/interfaces", "/v1/system/config"):
        assert router.get(path) == router.get(path + "/")
    assert router.get("/v1/status/")["digest"] == router.get("/v1/status")["digest"]


def test_interface_is_shown_by_its_stable_name(router):
    names = {nic["lladdr"]: nic["ifname"] for nic in router.get("/v1/status")["interfaces"]}
    name = names[router.blue["interface"]["lladdr"]]
    shown = router.get(f"/v1/system/interface/{name}")["interface"]
    assert shown["lladdr"] == router.blue["interface"]["lladdr"]
    assert "192.168.0.1/24" in shown["addresses"]
    assert shown["state"] == "up"
    assert router.request("GET", "/v1/system/interface/ge99")[0] == 404


def test_secrets_are_not_shown(router):
    key = "ab" * 32
    orchestrator = {"address": "fdca:3ba5:a17a:acda::1", "metadata_key": key}
    answer = router.push(router.good | {"orchestrator": orchestrator})
    assert key not in json.dumps(answer)
    assert key not in json.dumps(router.get("/v1/system/config"))
    state = router.root / "var/lib/astara/config.json"
    assert key in state.read_text()
    assert state.stat().st_mode & 0o077 == 0


def test_sender_of_a_document_need_not_get_it_back(router):
    code, answer = router.try_push(router.good, Prefer="return=minimal")
    assert code == 200
    assert answer["configuration"] is None
    assert answer["digest"] == router.get("/v1/status")["digest"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"surprise": 1}, "$.surprise"),
        ({"networks": [{"network_id": "x"}]}, "$.networks[0]"),
        ({"hostname": "a\nb"}, "$.hostname"),
        ({"static_routes": [["10.9.0.1/24", "192.168.0.9"]]}, "$.static_routes[0][0]"),
    ],
    ids=["unknown-key", "missing-key", "newline", "host-bits"],
)
def test_bad_document_changes_nothing(router, change, path):
    before = router.kernel_state(), router.get("/v1/system/config"), router.daemons()
    number, answer = router.try_push(router.good | change)
    assert number == 400
    assert answer["error"]["code"] == "invalid-document"
    assert answer["error"]["path"] == path
    assert answer["error"]["reason"]
    assert (router.kernel_state(), router.get("/v1/system/config"), router.daemons()) == before


def test_bad_requests_are_refused_in_json(router):
    json_type = {"Content-Type": "application/json"}
    asked = {
        415: ("PUT", "/v1/system/config", b"{}", {"Content-Type": "text/plain"}),
        400: ("PUT", "/v1/system/config", b"{", json_type),
        413: ("PUT", "/v1/system/config", None, json_type | {"Content-Length": "40000000"}),
        404: ("GET", "/v1/nothing", None, None),
        405: ("DELETE", "/v1/system/config", None, None),
    }
    for wanted, request in asked.items():
        number, answer = router.request(*request)
        assert number == wanted
        assert "Traceback" not in json.dumps(answer)
        assert answer["error"]["code"]


def test_failed_apply_puts_back_what_ran_and_names_the_driver(router):
    red = router.plug("red")
    before = router.kernel_state(), router.get("/v1/status")["pushes_applied"]
    # The contract lets the loopback address pass; only the kernel refuses it on a NIC.
    impossible = router.network("internal", red, ["10.7.0.1/24", "::1/64"], ["10.7.0.0/24"])
    changed = dict(
        router.blue, interface=router.blue["interface"] | {"addresses": ["10.1.1.1/24"]}
    )
    number, answer = router.try_push(router.document([changed, impossible], hostname="other"))
    assert number == 500
    error = answer["error"]
    assert (error["code"], error["driver"], error["rolled_back"]) == (
        "apply-failed",
        "interfaces",
        True,
    )
    assert "::1/64" in error["reason"]
    assert router.vm.pings("192.168.0.1")
    assert router.addresses(red.device) == set()
    assert (router.kernel_state(), router.get("/v1/status")["pushes_applied"]) == before


def test_document_naming_a_nic_that_is_not_plugged_is_refused_unchanged(router):
    before = router.kernel_state()
    ghost = {
        "network_id": "ghost",
        "network_type": "internal",
        "interface": {"lladdr": "fa:16:3e:00:00:99", "addresses": ["10.9.0.1/24"]},
    }
    number, answer = router.try_push(router.document([router.blue, ghost]))
    assert number == 500
    assert answer["error"]["driver"] == "interfaces"
    assert "fa:16:3e:00:00:99" in answer["error"]["reason"]
    assert router.kernel_state() == before


def test_management_nic_cannot_become_a_tenants(router):
    tenant = router.network("internal", router.management, ["10.9.0.1/24"])
    stolen = router.good | {"networks": [tenant]}
    number, answer = router.try_push(stolen)
    assert (number, answer["error"]["driver"]) == (500, "interfaces")
    assert "ge0" in answer["error"]["reason"]
    twice = router.document([dict(router.blue, network_type="management")])
    twice["networks"] = twice["networks"][1:]
    assert router.try_push(twice)[0] == 500
    assert router.vm.pings("192.168.0.1")


def test_same_document_counts_as_unchanged_and_mends_drift(router, eventually):
    router.execute("ip", "addr", "del", "192.168.0.1/24", "dev", "eth1")
    assert not router.vm.pings("192.168.0.1")
    before = router.get("/v1/status")
    router.push(router.good)
    eventually(lambda: router.vm.pings("192.168.0.1"), what="the gateway answers again")
    after = router.get("/v1/status")
    assert after["pushes_applied"] == before["pushes_applied"]
    assert after["pushes_unchanged"] == before["pushes_unchanged"] + 1


def test_api_answers_on_management_alone(router):
    with pytest.raises(OSError, match=r"refused|timed out"):
        router.vm.http("192.168.0.1", 5000, "/v1/base", timeout_s=2)
    # Straight at the management address, through the tenant's own gateway.
    router.push(
        router.document(
            [
                dict(
                    router.blue,
                    interface=router.blue["interface"]
                    | {"addresses": ["192.168.0.1/24", "fd00:b::1/64"]},
                )
            ]
        )
    )
    router.vm.run("ip", "addr", "add", "fd00:b::10/64", "dev", "eth0", "nodad")
    router.vm.run("ip", "-6", "route", "add", "default", "via", "fd00:b::1")
    assert router.vm.pings("fd00:b::1")
    with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
        router.vm.http("fdca:3ba5:a17a:acda::2", 5000, "/v1/base", timeout_s=2)


def test_gateway_reachability_is_reported(router, eventually):
    red = router.plug("ext")
    outside = router.segments["ext"].add_host("outside", ["203.0.113.1/24"])
    external = router.network(
        "external",
        red,
        ["203.0.113.9/24"],
        [{"cidr": "203.0.113.0/24", "gateway_ip": "203.0.113.1"}],
    )
    assert router.get("/v1/status")["v4"] is False
    router.push(router.document([router.blue, external]))
    eventually(lambda: router.get("/v1/status")["v4"], what="an answer of the gateway")
    assert router.get("/v1/status")["v6"] is False
    assert outside.pings("203.0.113.9")


def test_agent_stays_small(router):
    for _ in range(5):
        router.push(router.good)
    with open(f"/proc/{router.agent_pid()}/smaps_rollup") as stream:
        lines = dict(line.split(":") for line in stream.read().splitlines()[1:])
    resident, proportional = (int(lines[key].split()[0]) / 1024 for key in ("Rss", "Pss"))
    print(f"RSS {resident:.1f} MiB, PSS {proportional:.1f} MiB")
    assert resident < 60


def test_a_document_of_the_next_release_is_refused_and_what_runs_goes_on(router):
    before = router.get("/v1/status")
    number, answer = router.try_push(router.good | {"teleports": [{"to": "mars"}]})
    assert number == 400
    assert (answer["error"]["path"], answer["error"]["reason"]) == ("$.teleports", "unknown key")
    after = router.get("/v1/status")
    assert (after["digest"], after["pushes_applied"]) == (
        before["digest"],
        before["pushes_applied"],
    )
    assert router.vm.pings("192.168.0.1")
    assert "flow_offload" in after["additions"], "what it does know can be asked for"


def test_a_document_of_the_first_release_has_the_digest_that_its_sender_computed(router):
    document = contract.parse(router.good)
    text = json.loads(contract.encode(document))
    assert not set(text) & set(contract.additions())
    assert router.push(text)["digest"] == contract.digest(document)
