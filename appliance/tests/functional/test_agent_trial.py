"""Documents on trial, on a real appliance: what cuts management off heals by itself."""

import json
import time

import pytest

pytestmark = pytest.mark.functional

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def appliance(shared_appliance_host):
    host = shared_appliance_host
    host.nic = host.plug("blue")
    host.start_agent()
    return host


@pytest.fixture
def router(appliance):
    appliance.blue = appliance.network("internal", appliance.nic, ["192.168.0.1/24"])
    appliance.good = appliance.document([appliance.blue])
    appliance.push(appliance.good)
    return appliance


def changed(router, **keys):
    blue = dict(router.blue, interface=router.blue["interface"] | {"addresses": ["10.9.0.1/24"]})
    return router.document([blue], **keys)


def try_for(router, seconds, document):
    body = json.dumps(document).encode()
    return router.request("PUT", f"/v1/system/config?confirm={seconds}", body, JSON)


def confirm(router, digest):
    body = json.dumps({"digest": digest}).encode()
    return router.request("POST", "/v1/system/config/confirm", body, JSON)


def is_back(router):
    return router.addresses(router.nic.device) >= {"192.168.0.1/24"}


def test_confirmed_trial_stays(router, eventually):
    before = router.get("/v1/status")
    number, answer = try_for(router, 60, changed(router))
    assert (number, answer["digest"]) == (200, before["digest"])
    assert 0 < answer["trial"]["left_s"] <= 60
    assert "10.9.0.1/24" in router.addresses(router.nic.device)
    assert router.get("/v1/status")["trial"]["digest"] == answer["trial"]["digest"]
    number, confirmed = confirm(router, answer["trial"]["digest"])
    assert (number, confirmed["digest"]) == (200, answer["trial"]["digest"])
    after = router.get("/v1/status")
    assert (after["digest"], after["trial"]) == (confirmed["digest"], None)
    assert after["pushes_applied"] == before["pushes_applied"] + 1
    assert "10.9.0.1/24" in router.addresses(router.nic.device)


def test_unconfirmed_trial_ends_and_is_counted(router, eventually):
    digest = router.get("/v1/status")["digest"]
    _, answer = try_for(router, 1, changed(router, hostname="tried"))
    eventually(lambda: is_back(router), what="end of the trial")
    eventually(lambda: router.execute("hostname") == "ak-tenant\n", what="host name")
    assert router.get("/v1/status")["digest"] == digest
    number, refused = confirm(router, answer["trial"]["digest"])
    assert (number, refused["error"]["code"]) == (409, "not-on-trial")
    assert 'trials_total{result="ended"} ' in router.get("/metrics")


def test_document_that_cuts_management_off_heals_by_itself(router, eventually):
    router.good["networks"][0]["mtu"] = 1500
    router.push(router.good)
    # IPv6 does not live on such a link: the kernel takes the management address away.
    cut = changed(router)
    cut["networks"][0]["mtu"] = 1000
    cut["networks"][0]["interface"]["addresses"] = []
    with pytest.raises(OSError, match="timed out"):
        router.orchestrator.http(
            "fdca:3ba5:a17a:acda::2",
            5000,
            "/v1/system/config?confirm=2",
            method="PUT",
            body=json.dumps(cut).encode(),
            headers=JSON,
            timeout_s=1,
        )
    assert not router.orchestrator.pings("fdca:3ba5:a17a:acda::2")
    eventually(lambda: router.orchestrator.pings("fdca:3ba5:a17a:acda::2"), what="management")
    assert router.get("/v1/status")["trial"] is None
    eventually(lambda: is_back(router), what="the document before")


def test_trial_ends_though_the_agent_was_killed_in_between(router, eventually):
    began = time.monotonic()
    try_for(router, 4, changed(router))
    router.kill_agent()
    assert "10.9.0.1/24" in router.addresses(router.nic.device)
    router.start_agent()
    # However slow this machine is: as long as there is time left, the trial is on.
    seen = router.get("/v1/status")["trial"]
    assert seen or time.monotonic() - began >= 4
    eventually(lambda: is_back(router), what="end of the trial")


def test_trial_whose_time_ran_out_while_the_agent_was_dead_ends_at_its_start(router, eventually):
    try_for(router, 1, changed(router))
    router.kill_agent()
    deadline = time.clock_gettime(time.CLOCK_BOOTTIME) + 1
    eventually(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > deadline, what="its time")
    assert "10.9.0.1/24" in router.addresses(router.nic.device)
    router.start_agent()
    eventually(lambda: is_back(router), what="end of the trial")


def test_trial_does_not_survive_a_reboot(router, eventually):
    try_for(router, 3600, changed(router))
    router.kill_agent()
    state = router.root / "var/lib/astara/config.json"
    text, _, _ = state.read_text().partition(',"checksum"')
    kept = json.loads(text + "}")
    kept["trial"]["boot"] = "another"
    state.write_text(json.dumps(kept))
    router.start_agent()
    eventually(lambda: is_back(router), what="the document before")


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "3601", "1.5", ""])
def test_impossible_time_is_refused(router, seconds):
    number, answer = try_for(router, seconds, changed(router))
    assert (number, answer["error"]["path"]) == (400, "query confirm")
    assert is_back(router)
