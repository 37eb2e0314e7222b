"""The tenant VM's HTTP server: one line of JSON, connections that stay, streams that flow."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from astara_devcloud.guests import tenant_http


@pytest.fixture
def port() -> Iterator[int]:
    with tenant_http.Server(("::", 0), tenant_http.Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_says_who_answers_and_whom_it_sees(port: int, host: str) -> None:
    client = http.client.HTTPConnection(host, port, timeout=10)
    answers = []
    for _ in range(2):  # over one connection
        client.request("GET", "/")
        answers.append(json.loads(client.getresponse().read()))
    client.close()
    assert answers[0] == answers[1]
    assert answers[0]["hostname"] == socket.gethostname()
    assert answers[0]["peer"] == answers[0]["address"] == host


def test_a_stream_flows_until_the_client_goes(port: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("GET", "/stream")
    answer = client.getresponse()
    numbers = [json.loads(answer.readline())["number"] for _ in range(3)]
    answer.close()
    client.close()
    assert numbers == [0, 1, 2]


@pytest.mark.parametrize(
    ("address", "shown"),
    [("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("2001:db8::1", "2001:db8::1")],
)
def test_addresses_are_written_plainly(address: str, shown: str) -> None:
    assert tenant_http.plain(address) == shown
