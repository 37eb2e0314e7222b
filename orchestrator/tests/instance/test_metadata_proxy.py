"""The metadata proxy over HTTP, between an appliance that signs and a Nova that remembers."""

import http.client
import http.server
import json
import threading
import time
import uuid

import pytest

from astara.clients import errors, topology
from astara.clients.nova_metadata import MetadataApi
from astara.metadata import server as metadata_server
from astara.metadata.ownership import BELIEVED_S, Ownership, owners
from astara.metadata.proxy import Proxy
from astara_contract import metadata as contract

SECRET = "shared"
ROUTER, INSTANCE, TENANT = str(uuid.uuid4()), str(uuid.uuid4()), "7e" * 16


def router_with(*instances, external=False, owner="compute:nova"):
    allocations = tuple(
        topology.Allocation(
            port_id=f"p-{instance}",
            mac_address="fa:16:3e:00:00:01",
            project_id=TENANT,
            device_id=instance,
            device_owner=owner,
        )
        for instance in instances
    )
    network = topology.Network(id="n", external=external, allocations=allocations)
    return topology.RouterDetail(id=ROUTER, project_id=TENANT, generation="g", networks=(network,))


class Nova:
    """A metadata API that answers with what it was asked; ``hold`` makes it wait."""

    def __init__(self):
        nova = self
        self.seen, self.hold, self.gauge, self.most = [], None, 0, 0
        self.status, self.body = 200, None
        self.lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def _any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with nova.lock:
                    nova.gauge += 1
                    nova.most = max(nova.most, nova.gauge)
                    nova.seen.append((self.command, self.path, dict(self.headers), body))
                if nova.hold is not None:
                    nova.hold.wait(10)
                with nova.lock:
                    nova.gauge -= 1
                content = nova.body if nova.body is not None else self.path.encode()
                self.send_response(nova.status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_HEAD = _any  # noqa: N815  # names of the base class

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128

        self.http = Server(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        if self.hold is not None:
            self.hold.set()
        self.http.shutdown()
        self.http.server_close()


class Cloud:
    """What Neutron says, and how often it was asked."""

    def __init__(self):
        self.routers = {ROUTER: router_with(INSTANCE)}
        self.asked = 0
        self.away = False

    def router(self, router_id):
        self.asked += 1
        if self.away:
            raise errors.Unavailable("network", "GET", "away")
        return self.routers.get(router_id)


@pytest.fixture
def nova():
    nova = Nova()
    yield nova
    nova.close()


@pytest.fixture
def neutron():
    return Cloud()


@pytest.fixture(params=["127.0.0.1", "::1"], ids=["ipv4", "ipv6"])
def proxy(request, nova, neutron):
    forward = Proxy(
        SECRET, Ownership(neutron.router), MetadataApi("127.0.0.1", nova.port, SECRET, 0.5)
    ).forward
    server = metadata_server.Server(request.param, 0, forward)
    accepting = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    accepting.start()
    yield server.server_address[:2]
    server.stop()
    accepting.join(5)


def ask(proxy, path="/latest/meta-data/", method="GET", body=None, key=None, **claim):
    claim = {
        "router_id": ROUTER,
        "instance_id": INSTANCE,
        "tenant_id": TENANT,
        "client": "10.0.0.5",
    } | claim
    extra = claim.pop("headers", {})
    at = str(int(time.time()) + claim.pop("ahead_s", 0))
    timed = {} if claim.pop("timeless", False) else {"at": at, "request": f"{method} {path}"}
    timed |= claim.pop("signed", {})
    key = key or contract.derive_key(SECRET, claim["router_id"])
    headers = contract.signed_headers(key, contract.Claim(**claim, **timed)) | extra
    connection = http.client.HTTPConnection(*proxy, timeout=10)
    try:
        connection.request(method, path, body, {k: v for k, v in headers.items() if v})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        connection.close()


def test_a_proven_request_reaches_nova_signed_for_it(proxy, nova):
    assert ask(proxy, "/openstack/latest/meta_data.json?x=1") == (
        200,
        "application/json",
        b"/openstack/latest/meta_data.json?x=1",
    )
    _, _, headers, _ = nova.seen[0]
    assert headers["X-Instance-ID"] == INSTANCE
    assert headers["X-Tenant-ID"] == TENANT
    assert headers["X-Forwarded-For"] == "10.0.0.5"
    assert len(headers["X-Instance-ID-Signature"]) == 64


@pytest.mark.parametrize("ahead_s", [-250, 250])
def test_clocks_may_differ_a_little(proxy, ahead_s):
    assert ask(proxy, ahead_s=ahead_s)[0] == 200


def test_several_slashes_at_the_beginning_are_signed_as_one(proxy, nova):
    assert ask(proxy, "//latest", signed={"request": contract.bound("GET", "//latest")})[0] == 200


def test_an_appliance_of_the_release_before_is_heard_until_that_is_switched_off(
    proxy, nova, neutron
):
    assert ask(proxy, timeless=True)[0] == 200
    strict = Proxy(
        SECRET,
        Ownership(neutron.router),
        MetadataApi("127.0.0.1", nova.port, SECRET),
        timeless=False,
    )
    server = metadata_server.Server("127.0.0.1", 0, strict.forward)
    accepting = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    accepting.start()
    try:
        assert ask(server.server_address[:2], timeless=True)[0] == 403
        assert ask(server.server_address[:2])[0] == 200
    finally:
        server.stop()
        accepting.join(5)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
def test_methods_and_bodies_travel(proxy, nova, method):
    body = b"password" if method in ("POST", "PUT") else None

    assert ask(proxy, method=method, body=body)[0] == 200
    assert (nova.seen[0][0], nova.seen[0][3]) == (method, body or b"")


def test_headers_that_nova_would_believe_do_not_travel(proxy, nova):
    ask(proxy, headers={"X-Metadata-Provider": "me", "Cookie": "c", "Accept": "text/plain"})

    assert {"X-Metadata-Provider", "Cookie"}.isdisjoint(nova.seen[0][2])
    assert nova.seen[0][2]["Accept"] == "text/plain"


@pytest.mark.parametrize("status", [400, 404, 500])
def test_the_status_of_nova_is_the_status_of_the_answer(proxy, nova, status):
    nova.status, nova.body = status, b"why"

    assert ask(proxy) == (status, "application/json", b"why")


def test_a_long_answer_is_streamed_whole(proxy, nova):
    nova.body = b"x" * 3_000_000

    assert ask(proxy)[2] == nova.body


@pytest.mark.parametrize(
    ("claim", "status"),
    [
        ({"key": "00" * 32}, 403),
        ({"key": contract.derive_key(SECRET, str(uuid.uuid4()))}, 403),
        ({"instance_id": str(uuid.uuid4())}, 404),
        ({"tenant_id": "0e" * 16}, 404),
        ({"router_id": str(uuid.uuid4())}, 404),
        ({"router_id": "../../v2.0/ports"}, 403),
        ({"instance_id": "../x"}, 403),
        ({"headers": {contract.INSTANCE_HEADER: ""}}, 404),
        ({"headers": {contract.SIGNATURE_HEADER: ""}}, 403),
        ({"headers": {contract.CLIENT_HEADER: "10.0.0.6"}}, 403),
        ({"headers": {contract.TIME_HEADER: ""}}, 403),
        ({"headers": {contract.TIME_HEADER: "1700000000"}}, 403),
        ({"signed": {"request": "GET /another"}}, 403),
        ({"signed": {"at": "soon"}}, 403),
        ({"ahead_s": -400}, 403),
        ({"ahead_s": 400}, 403),
    ],
    ids=[
        "bad key",
        "other router's key",
        "unknown instance",
        "other tenant",
        "unknown router",
        "router is a path",
        "instance is a path",
        "no instance",
        "no signature",
        "other client",
        "time taken away",
        "other time",
        "for another path",
        "no time",
        "signed long ago",
        "signed in the future",
    ],
)
def test_what_is_not_proven_never_reaches_nova(proxy, nova, claim, status):
    assert ask(proxy, **claim)[0] == status
    assert not nova.seen


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content-Length": "99999999"}, 413), ({"Transfer-Encoding": "chunked"}, 411)],
    ids=["too large", "chunked"],
)
def test_a_body_that_is_not_wanted_is_not_read(proxy, nova, headers, status):
    assert ask(proxy, method="POST", headers=headers)[0] == status
    assert not nova.seen


def test_nova_away_is_502(proxy, nova):
    nova.close()

    assert ask(proxy)[0] == 502


def test_nova_too_slow_is_504(proxy, nova):
    nova.hold = threading.Event()

    assert ask(proxy)[0] == 504


def test_neutron_away_is_502_for_an_instance_that_is_not_remembered(proxy, neutron):
    neutron.away = True

    assert ask(proxy)[0] == 502


def test_many_requests_are_answered_at_once(proxy, nova):
    nova.hold = threading.Event()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(proxy)[0])) for _ in range(16)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while nova.most < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    nova.hold.set()
    for thread in threads:
        thread.join(10)

    assert nova.most >= 4
    assert answers == [200] * 16


def test_a_client_that_says_nothing_does_not_stop_the_others(proxy):
    silent = [http.client.HTTPConnection(*proxy, timeout=5) for _ in range(4)]
    for connection in silent:
        connection.connect()
    try:
        assert ask(proxy)[0] == 200
    finally:
        for connection in silent:
            connection.close()


# Ownership


def test_an_owner_is_believed_for_a_while_and_then_asked_for_again(neutron):
    now = [0.0]
    ownership = Ownership(neutron.router, lambda: now[0])
    assert ownership.confirms(ROUTER, INSTANCE, TENANT)
    now[0] = BELIEVED_S - 1
    assert ownership.confirms(ROUTER, INSTANCE, TENANT)
    assert neutron.asked == 1

    neutron.routers[ROUTER] = router_with()
    now[0] = BELIEVED_S + 1
    assert not ownership.confirms(ROUTER, INSTANCE, TENANT)


def test_an_instance_that_has_just_booted_is_found_although_others_are_remembered(neutron):
    now = [0.0]
    ownership = Ownership(neutron.router, lambda: now[0])
    ownership.confirms(ROUTER, INSTANCE, TENANT)
    young = str(uuid.uuid4())
    neutron.routers[ROUTER] = router_with(INSTANCE, young)

    now[0] = 2.0

    assert ownership.confirms(ROUTER, young, TENANT)


def test_unknown_instances_do_not_make_neutron_answer_every_request(neutron):
    now = [0.0]
    ownership = Ownership(neutron.router, lambda: now[0])

    for _ in range(100):
        assert not ownership.confirms(ROUTER, str(uuid.uuid4()), TENANT)
        now[0] += 0.001

    assert neutron.asked == 1


def test_only_servers_on_internal_networks_are_owners():
    assert owners(router_with(INSTANCE)) == {(INSTANCE, TENANT)}
    assert not owners(router_with(INSTANCE, external=True))
    assert not owners(router_with(INSTANCE, owner="network:dhcp"))
    assert not owners(None)


def test_what_nova_sees_is_json_of_its_own(proxy, nova):
    nova.body = json.dumps({"uuid": INSTANCE}).encode()

    assert json.loads(ask(proxy)[2])["uuid"] == INSTANCE
