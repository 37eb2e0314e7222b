"""The clients against HTTP servers that misbehave: what they raise, repeat, and give up on."""

import concurrent.futures
import http.client
import http.server
import json
import threading
import time

import pytest
from keystoneauth1 import noauth, session

from astara.clients import appliance, connect, errors, links
from astara.clients.appliance import Appliances
from astara.clients.neutron import Neutron
from astara.clients.rest import Patience, Service
from astara_contract import document


class Script:
    """Answers requests one after the other as a list says; remembers what it was asked."""

    def __init__(self, address="127.0.0.1"):
        self.answers, self.asked, self.connections = [], [], set()
        script = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _any(self):
                length = int(self.headers.get("Content-Length", 0))
                script.asked.append((self.command, self.path, self.rfile.read(length)))
                script.connections.add(self.client_address)
                status, body, *more = script.answers.pop(0) if script.answers else (200, {})
                if status is None:
                    self.close_connection = True
                    return
                if more and callable(more[0]):
                    more[0](self)
                    return
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response_only(status)
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = _any  # noqa: N815  # names of the base class

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            address_family = 10 if ":" in address else 2

            def handle_error(self, *_):
                """The clients hang up on purpose."""

        self.server = Server((address, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def script():
    script = Script()
    yield script
    script.close()


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def service(script, pauses):
    return Service(
        session.Session(auth=noauth.NoAuth()),
        service_type="network",
        endpoint={"endpoint_override": f"http://127.0.0.1:{script.port}"},
        patience=Patience(timeout_s=0.5, repeats=3, pause_s=0.1, max_pause_s=0.2),
        sleep=pauses.append,
    )


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"NeutronError": {"type": "X", "message": "m"}}, errors.Rejected),
        (401, {}, errors.Denied),
        (403, {"forbidden": {"message": "Policy"}}, errors.Denied),
        (403, {"forbidden": {"message": "Quota exceeded for instances"}}, errors.QuotaExceeded),
        (409, {"NeutronError": {"type": "OverQuota", "message": "m"}}, errors.QuotaExceeded),
        (409, {"NeutronError": {"type": "PortInUse", "message": "m"}}, errors.Busy),
        (404, {}, errors.NotFound),
        (422, {}, errors.Rejected),
        (429, {}, errors.Unavailable),
        (500, b"<html>oops</html>", errors.Unavailable),
        (503, {}, errors.Unavailable),
    ],
)
def test_a_status_becomes_what_the_caller_does_about_it(script, service, status, body, error):
    script.answers = [(status, body)] * 5

    with pytest.raises(error) as caught:
        service.call("POST", "/v2.0/ports", body={})
    assert type(caught.value) is error


def test_a_harmless_call_is_repeated_within_its_budget(script, service, pauses):
    script.answers = [(503, {})] * 2 + [(200, {"ok": 1})]

    assert json.loads(service.call("GET", "/x")) == {"ok": 1}
    assert len(pauses) == 2
    assert all(0 < pause <= 0.2 for pause in pauses)


def test_the_budget_of_repetitions_ends(script, service):
    script.answers = [(503, {})] * 10

    with pytest.raises(errors.Unavailable):
        service.call("GET", "/x")
    assert len(script.asked) == 4


def test_a_creation_is_never_repeated(script, service):
    script.answers = [(503, {})] * 2

    with pytest.raises(errors.Unavailable):
        service.call("POST", "/x", body={})
    assert len(script.asked) == 1


def test_a_clock_that_is_set_back_delays_nobody(service, script, monkeypatch):
    real = time.time
    naps = []
    monkeypatch.setattr(time, "sleep", naps.append)
    monkeypatch.setattr(time, "time", lambda: real() - 3 * 3600)
    service.call("GET", "/v2.0/ports")
    assert script.asked == [("GET", "/v2.0/ports", b"")]
    assert naps == []


def test_retry_after_is_respected_up_to_the_longest_pause(script, service, pauses):
    script.answers = [(429, {}, {"Retry-After": "60"}), (200, {})]

    service.call("GET", "/x")

    assert pauses == [0.2]


def test_an_answer_that_cannot_be_read_is_a_bug_not_a_retry(script, service):
    script.answers = [(200, b"not json")]

    with pytest.raises(errors.BadAnswer):
        Neutron(service).port("p")
    assert len(script.asked) == 1


def test_a_server_that_does_not_answer_is_given_up(script, service, pauses):
    script.answers = [(200, {}, lambda handler: time.sleep(0.7))]

    with pytest.raises(errors.Unavailable):
        service.call("POST", "/slow", body={})


def test_a_closed_port_is_unavailable(service, script, pauses):
    script.close()

    with pytest.raises(errors.Unavailable):
        service.call("GET", "/x")
    assert len(pauses) == 3


def test_counts_name_the_operation_without_ids(script, service):
    service.call("GET", "/v2.0/ports/17137610-beff-4b18-8754-a4dadfc2e641")
    service.call("GET", "/v2.0/ports/83232ec0-75ae-4c6c-9f1d-eb917e142d6e")

    assert service.calls.snapshot() == {"GET /v2.0/ports/*": 2}


def test_missing_extensions_come_with_a_remedy(script, service):
    script.answers = [(200, {"extensions": [{"alias": "router"}, {"alias": "astara-router"}]})]

    missing = Neutron(service).missing_extensions()

    assert sorted(missing) == ["dhrouterstatus", "ip_allocation", "port-security"]
    assert "segments" in missing["ip_allocation"]


def test_pages_are_read_until_one_is_short(script, service):
    def page(*ids):
        return {"astara_routers": [{"id": i, "project_id": "t", "generation": "g"} for i in ids]}

    script.answers = [(200, page("a", "b")), (200, page("c"))]

    pages = list(Neutron(service).router_pages(2))

    assert [[router.id for router in found] for found in pages] == [["a", "b"], ["c"]]
    assert script.asked[1][1].endswith("limit=2&marker=b")


def test_as_many_threads_as_there_are_keep_a_connection_each(script):
    threads = 16
    keystone = session.Session(auth=noauth.NoAuth())
    connect.widen(keystone, threads)
    together = threading.Barrier(threads, timeout=60)

    def meet(handler):
        together.wait()
        handler.send_response_only(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    service = Service(
        keystone,
        service_type="network",
        endpoint={"endpoint_override": f"http://127.0.0.1:{script.port}"},
        patience=Patience(timeout_s=60, repeats=0, pause_s=0, max_pause_s=0),
    )
    script.answers = [(200, {}, meet)] * (2 * threads)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for _ in range(2):
            list(pool.map(lambda _: service.call("GET", "/x"), range(threads)))
    assert len(script.connections) == threads


# The appliance


@pytest.fixture
def appliances(script):
    appliances = Appliances(script.port, alive_timeout_s=0.3, config_timeout_s=0.6)
    yield appliances
    appliances.close()


STATUS = {"v4": True, "v6": False, "digest": "d", "interfaces": [], "of_a_later_release": 1}


def test_a_status_of_a_later_release_is_understood(script, appliances):
    script.answers = [(200, STATUS)]

    assert appliances.status("127.0.0.1").digest == "d"


def test_each_call_has_a_connection_of_its_own(script, appliances):
    script.answers = [(200, STATUS)] * 3

    for _ in range(3):
        appliances.status("127.0.0.1")

    assert len(script.connections) == 3


def test_a_proxy_of_the_environment_is_ignored(script, appliances, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    script.answers = [(200, STATUS)]

    assert appliances.status("127.0.0.1").v4


def test_ipv6_addresses_are_bracketed():
    script = Script("::1")
    appliances = Appliances(script.port, alive_timeout_s=1, config_timeout_s=1)
    script.answers = [(200, STATUS)]
    try:
        assert appliances.status("::1").v4
    finally:
        appliances.close()
        script.close()


def test_an_appliance_that_drips_its_answer_is_given_up_in_time(script, appliances):
    def drip(handler):
        handler.send_response_only(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b" " * 70000)
            time.sleep(0.05)

    script.answers = [(200, {}, drip)]

    with pytest.raises(errors.Unavailable):
        appliances.status("127.0.0.1")


def test_a_redirect_is_not_followed(script, appliances):
    script.answers = [(302, {}, {"Location": "http://127.0.0.1:9/"})]

    with pytest.raises(errors.BadAnswer):
        appliances.status("127.0.0.1")
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("status", "error_body", "error"),
    [
        (500, {"code": "apply-failed", "driver": "dhcp", "reason": "r"}, appliance.ApplyFailed),
        (
            400,
            {"code": "invalid-document", "path": "$.x", "reason": "r"},
            appliance.InvalidDocument,
        ),
        (409, {"code": "stale-epoch", "reason": "r"}, appliance.StaleEpoch),
        (503, {"code": "busy", "reason": "r"}, errors.Unavailable),
        (500, {"code": "internal", "reason": "r"}, errors.Unavailable),
    ],
)
def test_a_refusal_becomes_what_the_caller_does_about_it(
    script, appliances, status, error_body, error
):
    script.answers = [(status, {"error": error_body})]

    with pytest.raises(error) as caught:
        appliances.interfaces("127.0.0.1")
    assert type(caught.value) is error


# Connections between a probe and its push


@pytest.fixture
def patient(script):
    asking = Appliances(script.port, alive_timeout_s=60, config_timeout_s=60)
    yield asking
    asking.close()


def test_a_push_takes_the_connection_of_its_probe(script, patient):
    script.answers = [(200, STATUS), (200, {"digest": "d"}), (200, STATUS)]

    patient.status("127.0.0.1", "r", more=True)
    patient.configure("127.0.0.1", document.encode(document.Document()), 1, "r")
    assert len(script.connections) == 1
    patient.status("127.0.0.1", "r")
    assert len(script.connections) == 2


def test_a_connection_is_not_kept_from_walk_to_walk_nor_for_another_router(script, patient):
    script.answers = [(200, STATUS)] * 3

    patient.status("127.0.0.1", "r", more=True)
    patient.release("r")
    patient.status("127.0.0.1", "r", more=True)
    patient.status("127.0.0.1", "other", more=True)
    assert len(script.connections) == 3


def test_a_kept_connection_that_the_appliance_has_ended_costs_no_error(script, patient):
    def end_unannounced(handler):
        content = json.dumps(STATUS).encode()
        handler.send_response_only(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = True

    script.answers = [(200, {}, end_unannounced), (200, STATUS)]

    for _ in range(2):
        assert patient.status("127.0.0.1", "r", more=True).digest == "d"
    assert len(script.connections) == 2


def test_only_so_many_connections_are_kept_and_not_for_long(script):
    kept = links.Links(limit=2, lasts_s=0.0)
    opened = [http.client.HTTPConnection("127.0.0.1", script.port) for _ in range(3)]
    for number, link in enumerate(opened):
        link.connect()
        kept.keep(str(number), "127.0.0.1", link)

    assert opened[0].sock is None
    assert kept.take("1", "127.0.0.1") is None
    assert opened[1].sock is None
    kept.close()
    assert opened[2].sock is None
