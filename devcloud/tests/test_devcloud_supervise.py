"""A real small service under the supervisor."""

import dataclasses
import pathlib
import socket
import sys

import pytest

from astara_devcloud import credentials, layout, ports, readiness, services, settings, supervise


def quiet(_text):
    """Say nothing."""


@pytest.fixture
def cloud(tmp_path):
    where = layout.Layout(tmp_path)
    for path in (where.etc, where.log, where.run):
        path.mkdir()
    return settings.Settings(where, layout.Ports(), credentials.draw(), pathlib.Path(sys.prefix))


@pytest.fixture
def service(cloud):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = services.Service(
        name="web",
        argv=(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)),
        files=lambda: {cloud.layout.etc / "web.conf": "text\n"},
        ports=(port,),
        ready=readiness.http(f"http://127.0.0.1:{port}/"),
        ready_timeout_s=30,
    )
    yield made
    supervise.kill(cloud, made.name)


def test_a_service_is_started_once_and_stopped(cloud, service):
    supervise.ensure(cloud, service, quiet)
    first = supervise.live_record(cloud, service.name)
    supervise.ensure(cloud, service, quiet)
    assert supervise.live_record(cloud, service.name) == first
    assert (cloud.layout.etc / "web.conf").stat().st_mode & 0o777 == 0o600
    assert supervise.stop(cloud, service)
    assert supervise.live_record(cloud, service.name) is None
    assert not supervise.stop(cloud, service)


def test_status_tells_running_outdated_and_stopped(cloud, service):
    assert supervise.inspect(cloud, service, []).word == "stopped"
    supervise.ensure(cloud, service, quiet)
    seen = supervise.inspect(cloud, service, [])
    assert (seen.word, seen.outdated) == ("running", False)
    changed = dataclasses.replace(service, files=dict)
    assert supervise.inspect(cloud, changed, []).outdated
    deaf = dataclasses.replace(service, ready=readiness.tcp(1))
    assert supervise.inspect(cloud, deaf, []).word == "unready"


def test_a_service_that_ends_shows_the_end_of_its_log(cloud, service):
    broken = dataclasses.replace(service, argv=("sh", "-c", "echo no such option; exit 3"))
    with pytest.raises(supervise.ServiceFailed, match=r"(?s)web ended.*no such option"):
        supervise.ensure(cloud, broken, quiet)


def test_a_service_that_does_not_answer_in_time_is_named(cloud, service):
    deaf = dataclasses.replace(service, ready=readiness.tcp(1), ready_timeout_s=0.1)
    with pytest.raises(supervise.ServiceFailed, match="web does not answer after 0 s: port 1"):
        supervise.ensure(cloud, deaf, quiet)


def test_a_taken_port_is_named_with_its_holder(cloud, service):
    taken = rf"port {service.ports[0]} of web .*process"
    with (
        socket.create_server(("127.0.0.1", service.ports[0])),
        pytest.raises(ports.PortTaken, match=taken),
    ):
        supervise.ensure(cloud, service, quiet)
    assert supervise.live_record(cloud, service.name) is None


def test_the_holder_is_found_in_the_kernels_table():
    line = "0: 0100007F:{port} 00000000:0000 {state} 0:0 00:0 00000000 0 0 {inode} 1"
    rows = (("7774", "0A", 8401), ("7774", "01", 8402), ("7775", "0A", 8403))
    lines = [line.format(port=p, state=s, inode=i) for p, s, i in rows]
    table = "\n".join(["  sl  local_address rem_address   st ...", *lines])
    assert ports.listening_inodes(table, 0x7774) == ["8401"]


def test_a_grown_log_is_put_aside(tmp_path, monkeypatch):
    log = tmp_path / "web.log"
    log.write_text("0123456789")
    supervise.rotate(log)
    assert log.exists()
    monkeypatch.setattr(supervise, "LARGEST_LOG_BYTES", 5)
    supervise.rotate(log)
    assert not log.exists()
    assert (tmp_path / "web.old.log").read_text() == "0123456789"


def test_the_tail_is_short(tmp_path):
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(9999)))
    lines = supervise.tail(log).splitlines()
    assert len(lines) == supervise.TAIL_LINES
    assert lines[-1] == "line 9998"
    assert supervise.tail(tmp_path / "none") == "(no log)"
