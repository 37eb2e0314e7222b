"""The HTTP API's address: taken when the process starts, or not there yet."""

import socket
import time
import urllib.request

import pytest
from oslo_config import cfg

from astara import conf
from astara.api import wsgi


def hello(_environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]


def options(port):
    loaded = cfg.ConfigOpts()
    conf.register(loaded)
    loaded([], project="astara", default_config_files=[])
    loaded.set_override("api_listen", "127.0.0.1")
    loaded.set_override("api_port", port)
    return loaded


@pytest.fixture
def taken():
    """A port that an outgoing connection has, as any in the ephemeral range may."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        connection = socket.create_connection(other.getsockname())
        accepted, _ = other.accept()
        with accepted, connection:
            accepted.close()  # the other end first, so that ours does not wait afterwards
            yield connection


def test_a_port_that_a_connection_has_is_listened_on_when_it_is_free(taken, caplog):
    port = taken.getsockname()[1]
    caplog.set_level("INFO")
    server = wsgi.start(options(port), hello)
    try:
        assert "ip_local_reserved_ports" in caplog.text
        taken.close()
        deadline = time.monotonic() + 20
        while "api.listening" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            assert answer.read() == b"hello"
    finally:
        server.stop()


def test_an_address_that_is_not_here_is_told(caplog):
    absent = options(0)
    absent.set_override("api_listen", "192.0.2.1")
    wsgi.start(absent, hello).stop()
    assert "restart the orchestrator" in caplog.text


def test_a_server_that_never_listened_stops_at_once(taken):
    server = wsgi.start(options(taken.getsockname()[1]), hello)
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < wsgi.STOP_TIMEOUT_S
