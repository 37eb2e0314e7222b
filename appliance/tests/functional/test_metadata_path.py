"""Metadata from a tenant's machine to the orchestrator's door: the real proxy behind the real
firewall, with a recording server in place of the orchestrator, on the management network.
"""

import concurrent.futures
import contextlib
import hashlib
import hmac
import http.client
import http.server
import os
import pathlib
import socket
import threading
import time

import pytest

pytestmark = pytest.mark.functional

V4, V6 = "169.254.169.254", "fe80::a9fe:a9fe"
KEY = "5a" * 32
ROUTER = "11111111-2222-3333-4444-555555555555"
ORCHESTRATOR = "fdca:3ba5:a17a:acda::1"
PORT = 9697


class Recorder(http.server.BaseHTTPRequestHandler):
    """Answers as the orchestrator would and keeps what it was asked."""

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, self.headers, body))
        if self.path == "/slow":
            self.server.gate.wait(10)
        status = int(self.path[1:]) if self.path[1:].isdecimal() else 200
        answer = b"x" * 300_000 if self.path == "/large" else b"answer to " + self.path.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-Secret", "of the cloud")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *_):
        pass


class Upstream(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def __init__(self, machine, port=PORT):
        super().__init__((ORCHESTRATOR, port), Recorder, bind_and_activate=False)
        self.socket.close()
        self.socket = machine.inside(lambda: socket.socket(socket.AF_INET6))
        self.allow_reuse_address = True
        self.server_bind()
        self.server_activate()
        self.seen = []
        self.gate = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Cloud:
    """Two tenant networks; vm1 and vm2 on blue, vm3 on red."""

    def __init__(self, host):
        self.host = host
        self.nics = {name: host.plug(name) for name in ("blue", "red")}
        blue, red = (self.nics[name].segment for name in ("blue", "red"))
        self.vm1 = blue.add_host("vm1", ["192.168.0.11/24"], gateway="192.168.0.1")
        self.vm2 = blue.add_host("vm2", ["192.168.0.12/24"], gateway="192.168.0.1")
        self.vm3 = red.add_host("vm3", ["192.168.1.13/24"], gateway="192.168.1.1")
        self.vm1.run("ip", "addr", "add", "2001:db8:0:b::11/64", "dev", "eth0", "nodad")
        host.start_agent()
        for vm in (self.vm1, self.vm2):
            settle(vm)
        self.upstream = Upstream(host.orchestrator)
        self.push()

    def push(self, **keys):
        self.host.push(self.document(**keys))

    def document(self, **keys):
        network = self.host.network
        blue = network(
            "internal",
            self.nics["blue"],
            ["192.168.0.1/24", "2001:db8:0:b::1/64", "fe80::b/64"],
            ["192.168.0.0/24", "2001:db8:0:b::/64"],
            allocations=[
                allocation(self.vm1, "instance-1", "192.168.0.11", "2001:db8:0:b::11"),
                allocation(self.vm2, "instance-2", "192.168.0.12"),
            ],
        )
        red = network(
            "internal",
            self.nics["red"],
            ["192.168.1.1/24"],
            ["192.168.1.0/24"],
            allocations=[allocation(self.vm3, "instance-3", "192.168.1.13")],
        )
        told = {"address": ORCHESTRATOR, "metadata_port": PORT, "metadata_key": KEY}
        return self.host.document([blue, red], orchestrator=told) | keys

    def proxy_pid(self):
        words = (self.host.root / "run/astara/metadata-proxy.pid").read_text().split()
        return int(words[0])


def settle(machine):
    """Wait until the machine may use its link-local address (duplicate address detection)."""
    deadline = time.monotonic() + 10
    while machine.run("ip", "-6", "addr", "show", "dev", "eth0", "tentative"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def allocation(machine, instance, *addresses):
    return {
        "mac_address": machine.mac,
        "ip_addresses": dict.fromkeys(addresses, True),
        "device_id": instance,
        "tenant_id": "tenant-a",
        "hostname": instance,
    }


@pytest.fixture(scope="module")
def cloud(shared_appliance_host):
    made = Cloud(shared_appliance_host)
    yield made
    made.upstream.shutdown()
    made.upstream.server_close()


def ask(machine, path="/latest", address=V4, port=80, **options):
    target = f"{address}%eth0" if address.startswith("fe80") else address
    return machine.http(target, port, path, timeout_s=5, **options)


def told(cloud, machine, path="/latest", **options):
    """Ask, and return what the orchestrator was told about it."""
    cloud.upstream.seen.clear()
    status, body = ask(machine, path, **options)
    assert (status, body) == (200, b"answer to " + path.encode())
    ((_, seen_path, headers, _),) = cloud.upstream.seen
    assert seen_path == path
    return headers


def signature(instance, client, headers, path="/latest"):
    at = headers["X-Astara-Time"]
    assert abs(int(at) - time.time()) < 60
    text = f"{ROUTER}\n{instance}\ntenant-a\n{client}\n{at}\nGET {path}"
    return hmac.new(bytes.fromhex(KEY), text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("name", "instance", "client"),
    [
        ("vm1", "instance-1", "192.168.0.11"),
        ("vm2", "instance-2", "192.168.0.12"),
        ("vm3", "instance-3", "192.168.1.13"),
    ],
)
def test_request_arrives_signed_for_who_asked(cloud, name, instance, client):
    headers = told(cloud, getattr(cloud, name), "/openstack/latest/meta_data.json?x=1")
    assert headers["X-Forwarded-For"] == client
    assert headers["X-Instance-ID"] == instance
    assert headers["X-Tenant-ID"] == "tenant-a"
    assert headers["X-Astara-Router-ID"] == ROUTER
    assert headers["X-Astara-Signature"] == signature(
        instance, client, headers, "/openstack/latest/meta_data.json?x=1"
    )


def link_local(machine):
    octets = [int(part, 16) for part in machine.mac.split(":")]
    octets[0] ^= 2
    octets[3:3] = [0xFF, 0xFE]
    packed = bytes([0xFE, 0x80, *[0] * 6, *octets])
    return socket.inet_ntop(socket.AF_INET6, packed)


def test_ipv6_client_is_known_by_its_link_local_address(cloud):
    client = link_local(cloud.vm1)
    headers = told(cloud, cloud.vm1, address=V6)
    assert headers["X-Forwarded-For"] == client
    assert headers["X-Instance-ID"] == "instance-1"
    assert headers["X-Astara-Signature"] == signature("instance-1", client, headers)


def test_ipv6_client_with_an_opaque_address_is_known_by_its_neighbour_entry(cloud):
    cloud.vm2.run("ip", "addr", "flush", "dev", "eth0", "scope", "link")
    cloud.vm2.run("ip", "addr", "add", "fe80::1234:5678:9abc:def0/64", "dev", "eth0", "nodad")
    assert told(cloud, cloud.vm2, address=V6)["X-Instance-ID"] == "instance-2"


def test_who_one_is_cannot_be_claimed(cloud):
    claims = {
        "X-Instance-ID": "instance-3",
        "x-tenant-id": "tenant-b",
        "X_Instance_ID": "instance-3",
        "X-Forwarded-For": "192.168.1.13",
        "X-Astara-Signature": "00" * 32,
        "X-Astara-Router-ID": "other",
        "X-Astara-Time": "1",
        "X-Instance-ID-Signature": "11" * 32,
        "X-Metadata-Provider": "me",
        "X-LB-Anything": "1",
        "Connection": "X-Instance-ID",
        "Accept": "text/plain",
    }
    headers = told(cloud, cloud.vm1, headers=claims)
    assert headers.get_all("X-Instance-ID") == ["instance-1"]
    assert headers.get_all("X-Tenant-ID") == ["tenant-a"]
    assert headers.get_all("X-Forwarded-For") == ["192.168.0.11"]
    assert headers.get_all("X-Astara-Signature") == [
        signature("instance-1", "192.168.0.11", headers)
    ]
    assert len(headers.get_all("X-Astara-Time")) == 1
    assert headers.get_all("X-Astara-Router-ID") == [ROUTER]
    assert headers["Accept"] == "text/plain"
    for name in (
        "X_Instance_ID",
        "X-Instance-ID-Signature",
        "X-Metadata-Provider",
        "X-LB-Anything",
    ):
        assert name not in headers


@pytest.mark.parametrize(("stolen", "target"), [("192.168.0.11/24", V4), ("fe80", V6)])
def test_who_takes_the_address_of_another_machine_gets_nothing(appliance_host, stolen, target):
    """Port security would not let him; some ports have none."""
    own = Cloud(appliance_host)
    with contextlib.closing(own.upstream.socket):
        if stolen == "fe80":
            stolen = f"{link_local(own.vm1)}/64"
        assert told(own, own.vm1, address=target)["X-Instance-ID"] == "instance-1"
        own.vm1.run("ip", "addr", "del", stolen, "dev", "eth0")
        own.vm2.run("ip", "addr", "add", stolen, "dev", "eth0", "nodad")
        own.host.execute("ip", "neigh", "flush", "dev", own.nics["blue"].device)
        own.upstream.seen.clear()
        assert status_from(own.vm2, target, stolen.partition("/")[0]) == 404
        assert not own.upstream.seen
        own.vm2.run("ip", "addr", "del", stolen, "dev", "eth0")
        assert told(own, own.vm2)["X-Instance-ID"] == "instance-2"
        own.upstream.shutdown()


def status_from(machine, target, source):
    """Ask from one of the machine's addresses; return the status."""

    def ask_from():
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        scope = (0, socket.if_nametoindex("eth0")) if ":" in target else ()
        with socket.socket(family, socket.SOCK_STREAM) as link:
            link.settimeout(10)
            link.bind((source, 0, *scope))
            link.connect((target, 80, *scope))
            link.sendall(b"GET /latest HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return int(link.makefile("rb").readline().split()[1])

    return machine.inside(ask_from)


def test_methods_and_bodies_are_passed_on(cloud):
    for method, body in (("POST", b"password"), ("PUT", b"")):
        cloud.upstream.seen.clear()
        status, _ = ask(cloud.vm1, "/x", method=method, body=body)
        assert status == 200
        assert (cloud.upstream.seen[0][0], cloud.upstream.seen[0][3]) == (method, body)
    assert ask(cloud.vm1, "/x", method="HEAD") == (200, b"")
    assert ask(cloud.vm1, "/x", method="DELETE")[0] == 405


def test_answers_are_passed_on_whole(cloud):
    assert ask(cloud.vm1, "/404")[0] == 404
    assert ask(cloud.vm1, "/500")[0] == 500
    assert ask(cloud.vm1, "/large") == (200, b"x" * 300_000)


def test_stranger_gets_404_and_nothing_is_asked(cloud):
    cloud.vm3.run("ip", "addr", "add", "192.168.1.99/24", "dev", "eth0")
    try:
        cloud.upstream.seen.clear()
        cloud.vm3.run(
            "ip", "route", "replace", "default", "via", "192.168.1.1", "src", "192.168.1.99"
        )
        assert ask(cloud.vm3)[0] == 404
        assert cloud.upstream.seen == []
    finally:
        cloud.vm3.run("ip", "addr", "del", "192.168.1.99/24", "dev", "eth0")
        cloud.vm3.run("ip", "route", "replace", "default", "via", "192.168.1.1")


def test_several_requests_run_at_once(cloud):
    cloud.upstream.gate.clear()
    cloud.upstream.seen.clear()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(ask, vm, "/slow") for vm in (cloud.vm1, cloud.vm2, cloud.vm3) * 2]
        deadline = time.monotonic() + 10
        while len(cloud.upstream.seen) < 6:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert ask(cloud.vm3, "/quick") == (200, b"answer to /quick")
        cloud.upstream.gate.set()
        assert [job.result()[0] for job in waiting] == [200] * 6


def test_twenty_requests_of_one_client_at_once_are_all_answered(cloud):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: ask(cloud.vm1, f"/item-{number}"), range(20)))
    assert answers == [(200, b"answer to /item-%d" % number) for number in range(20)]


def test_one_client_cannot_take_all_of_the_proxy(cloud):
    idle = [connect(cloud.vm1) for _ in range(40)]
    try:
        assert ask(cloud.vm2)[0] == 200
        refused = [connection.recv(100) for connection in idle if readable(connection)]
        assert any(b"429" in text for text in refused)
    finally:
        for connection in idle:
            connection.close()


def connect(machine):
    connection = machine.inside(lambda: socket.socket())
    connection.settimeout(5)
    connection.connect((V4, 80))
    return connection


def readable(connection):
    connection.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        return bool(connection.recv(1, socket.MSG_PEEK))
    return False


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET http://other/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: 1\r\n X-Instance-ID: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: 1\nX-Instance-ID: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX-Instance-ID : 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 20000 + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\r\n\r\n", 400),
    ],
    ids=["chunked", "two-lengths", "absolute", "blank", "folded", "newline", "space", "large",
         "endless", "tls"],
)  # fmt: skip
def test_ambiguous_requests_are_refused(cloud, text, status):
    cloud.upstream.seen.clear()
    with contextlib.closing(connect(cloud.vm1)) as connection:
        connection.sendall(text)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == status
    assert cloud.upstream.seen == []


def test_silent_orchestrator_is_an_error_not_a_wait(cloud):
    told = {"address": ORCHESTRATOR, "metadata_port": 9, "metadata_key": KEY}
    cloud.push(orchestrator=told)
    assert ask(cloud.vm1)[0] == 503
    cloud.push()
    assert ask(cloud.vm1)[0] == 200


def test_proxy_is_no_root_and_keeps_its_key_to_itself(cloud):
    pid = next(
        int(entry.name)
        for entry in pathlib.Path("/proc").iterdir()
        if entry.name.isdecimal() and str(cloud.host.root) in command_line(entry)
        and "metadata_proxy" in command_line(entry)
    )  # fmt: skip
    status = (pathlib.Path("/proc") / str(pid) / "status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) == {"64999"}
    assert int(fields["CapEff"], 16) == 0
    print("resident kB:", fields["VmRSS"])
    assert int(fields["VmRSS"].split()[0]) < 24_000
    mode = (cloud.host.root / "run/astara/metadata-proxy.json").stat().st_mode & 0o777
    assert mode == 0o640


def command_line(entry):
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_proxy_lives_through_agent_and_network_changes(cloud):
    before = cloud.proxy_pid()
    cloud.host.kill_agent()
    assert ask(cloud.vm1)[0] == 200
    cloud.host.start_agent()
    green = cloud.host.plug("green")
    vm4 = green.segment.add_host("vm4", ["192.168.4.14/24"], gateway="192.168.4.1")
    document = cloud.document()
    document["networks"].append(
        cloud.host.network(
            "internal",
            green,
            ["192.168.4.1/24"],
            ["192.168.4.0/24"],
            allocations=[allocation(vm4, "instance-4", "192.168.4.14")],
        )
    )
    cloud.host.push(document)
    assert told(cloud, vm4)["X-Instance-ID"] == "instance-4"
    cloud.push()
    assert ask(cloud.vm1)[0] == 200
    assert cloud.proxy_pid() == before


def test_requests_go_where_the_last_probe_said(cloud):
    """A node that takes the appliance over probes it: neither push nor restart is needed."""
    before, pushes = cloud.proxy_pid(), cloud.host.get("/v1/status")["pushes_applied"]
    other = Upstream(cloud.host.orchestrator, PORT + 1)
    try:
        probe = {"Astara-Metadata": f"{ORCHESTRATOR} {PORT + 1}"}
        assert cloud.host.request("GET", "/v1/status", headers=probe)[0] == 200
        asked = len(cloud.upstream.seen)
        assert ask(cloud.vm1)[0] == 200
        assert (len(other.seen), len(cloud.upstream.seen)) == (1, asked)
        cloud.push()  # the document does not take that back
        assert ask(cloud.vm1)[0] == 200
        assert len(other.seen) == 2
        for bad in ("", "nonsense", f"{ORCHESTRATOR} 0", f"{ORCHESTRATOR} 99999", "host 80"):
            told = {"Astara-Metadata": bad}
            assert cloud.host.request("GET", "/v1/status", headers=told)[0] == 200
        assert ask(cloud.vm1)[0] == 200
        assert len(other.seen) == 3
    finally:
        probe = {"Astara-Metadata": f"{ORCHESTRATOR} {PORT}"}
        cloud.host.request("GET", "/v1/status", headers=probe)
        other.shutdown()
        other.server_close()
    assert ask(cloud.vm1)[0] == 200
    assert cloud.proxy_pid() == before
    assert cloud.host.get("/v1/status")["pushes_applied"] == pushes


def test_dead_proxy_is_started_again_by_the_next_push(cloud):
    cloud.host.execute("kill", "-9", str(cloud.proxy_pid()))
    cloud.push()
    assert ask(cloud.vm1)[0] == 200


def test_management_and_world_are_not_served(cloud):
    assert os.geteuid() == 0
    for address, port in ((V4, 80), ("fdca:3ba5:a17a:acda::2", 9600)):
        cloud.host.orchestrator.run("ip", "route", "replace", "169.254.0.0/16", "dev", "eth0")
        with pytest.raises(OSError, match=r"timed out|refused|unreachable|No route"):
            cloud.host.orchestrator.http(address, port, "/", timeout_s=0.3)
