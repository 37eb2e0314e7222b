"""The tools of the chaos: schedules, fronts that fail, a relay to a database, figures."""

import http.client
import http.server
import json
import pathlib
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from havoc import kinds, page, proxy, relay, report, run, schedule

SPANS = [schedule.Span(name, 1.0, 2.0) for name in "abcde"]


# -- schedules


def test_the_same_seed_draws_the_same_faults() -> None:
    assert schedule.rounds(5, 30, SPANS) == schedule.rounds(5, 30, SPANS)
    assert schedule.rounds(5, 30, SPANS) != schedule.rounds(6, 30, SPANS)


@pytest.mark.parametrize("faults", [1, 7, 40])
def test_a_schedule_has_the_number_of_faults_that_was_asked_for(faults: int) -> None:
    drawn = [strike for each in schedule.rounds(1, faults, SPANS) for strike in each]
    assert len(drawn) == faults
    assert all(1.0 <= strike.hold_s <= 2.0 for strike in drawn)
    assert all(0.0 <= strike.at_s <= schedule.WINDOW_S for strike in drawn)


def test_every_kind_comes_up_before_any_comes_up_again() -> None:
    drawn = [strike.kind for each in schedule.rounds(3, 10, SPANS) for strike in each]
    assert set(drawn[:5]) == set(drawn[5:]) == set("abcde")


def test_every_kind_comes_up_alone_when_all_are_wanted() -> None:
    drawn = schedule.every(3, SPANS, times=2)
    assert all(len(each) == 1 and each[0].at_s == 0 for each in drawn)
    assert sorted(each[0].kind for each in drawn) == sorted("aabbccddee")
    assert drawn == schedule.every(3, SPANS, times=2)


# -- fronts


class _Service(http.server.BaseHTTPRequestHandler):
    made: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def _any(self) -> None:
        self.made.append(f"{self.command} {self.path}")
        where = f"http://127.0.0.1:{self.server.server_address[1]}/v2.0"
        body = json.dumps({"links": where, "token": self.headers.get("X-Auth-Token")}).encode()
        self.send_response(201)
        self.send_header("X-Subject-Token", "t1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _any  # noqa: N815 - names that http.server looks for


@pytest.fixture
def made() -> list[str]:
    return []


@pytest.fixture
def front(made: list[str]) -> Iterator[proxy.Proxy]:
    handler = type("Service", (_Service,), {"made": made})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    where = ("127.0.0.1", server.server_address[1])
    with proxy.Proxy({"keystone": where, "network": where}, seed=1) as fronts:
        yield fronts
    server.shutdown()
    server.server_close()


def _call(fronts: proxy.Proxy, service: str, method: str, path: str, token: str = "t1") -> tuple:  # noqa: S107
    where = fronts.url(service).removeprefix("http://")
    link = http.client.HTTPConnection(where, timeout=10)
    try:
        link.request(method, path, headers={"X-Auth-Token": token})
        answer = link.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        link.close()


def test_what_passes_leads_to_the_fronts(front: proxy.Proxy) -> None:
    status, body = _call(front, "network", "GET", "/v2.0")
    assert status == 201
    assert body == {"links": f"{front.url('keystone')}/v2.0", "token": "t1"}


def test_a_rule_answers_in_the_service_place(front: proxy.Proxy, made: list[str]) -> None:
    effect = proxy.Effect(503, {"error": "away"}, {"Retry-After": "1"})
    with front.rule(proxy.Rule("network", effect, frozenset({"GET"}), path="ports", most=1)):
        assert _call(front, "network", "GET", "/v2.0/ports") == (503, {"error": "away"})
        assert _call(front, "network", "GET", "/v2.0/ports")[0] == 201, "once was enough"
        assert _call(front, "network", "POST", "/v2.0/ports")[0] == 201
    assert made == ["GET /v2.0/ports", "POST /v2.0/ports"]


def test_an_answer_is_lost_after_the_deed(front: proxy.Proxy, made: list[str]) -> None:
    effect = proxy.Effect(forwarded=True, answered=False)
    with (
        front.rule(proxy.Rule("network", effect, frozenset({"POST"}))),
        pytest.raises((http.client.HTTPException, OSError)),
    ):
        _call(front, "network", "POST", "/v2.0/ports")
    assert made == ["POST /v2.0/ports"]


def test_a_call_that_hangs_ends_with_its_rule(front: proxy.Proxy, made: list[str]) -> None:
    effect = proxy.Effect(hang_s=60, answered=False)
    ended = threading.Event()

    def call() -> None:
        with pytest.raises((http.client.HTTPException, OSError)):
            _call(front, "network", "GET", "/v2.0/ports")
        ended.set()

    with front.rule(proxy.Rule("network", effect, frozenset({"GET"}))) as rule:
        threading.Thread(target=call, daemon=True).start()
        while not rule.hits:
            assert not ended.wait(0.02)
    assert ended.wait(10)
    assert made == []


def test_revoked_tokens_are_refused_until_there_are_new_ones(
    front: proxy.Proxy, made: list[str]
) -> None:
    assert _call(front, "keystone", "POST", "/v3/auth/tokens")[0] == 201
    assert front.revoke_tokens() == 1
    assert made[-1] == "DELETE /v3/auth/tokens"
    assert _call(front, "network", "GET", "/v2.0/ports")[0] == 401
    assert _call(front, "network", "GET", "/v2.0/ports", token="t2")[0] == 201


# -- the way to the database


@pytest.fixture
def line(tmp_path: pathlib.Path) -> Iterator[relay.Relay]:
    target = tmp_path / "target"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(target))
        listener.listen()

        def echo() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_echo, args=(peer,), daemon=True).start()

        threading.Thread(target=echo, daemon=True).start()
        with relay.Relay(tmp_path / "relay", target) as opened:
            yield opened
        listener.shutdown(socket.SHUT_RDWR)


def _echo(peer: socket.socket) -> None:
    with peer:
        while text := peer.recv(100):
            peer.sendall(text)


def _connected(line: relay.Relay) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(str(line.address))
    return client


def test_the_relay_passes_both_ways_and_can_be_cut(line: relay.Relay) -> None:
    with _connected(line) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        line.cut()
        assert client.recv(100) == b""


def test_what_a_silent_relay_was_told_arrives_when_it_speaks_again(line: relay.Relay) -> None:
    with _connected(line) as client:
        client.sendall(b"one")
        assert client.recv(100) == b"one"
        with line.silent():
            client.sendall(b"two")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(100)
        client.settimeout(10)
        assert client.recv(100) == b"two"
    assert line.figures.delayed == 1


def test_a_relay_leads_to_a_port_as_well(front: proxy.Proxy) -> None:
    host, _, port = front.url("network").removeprefix("http://").partition(":")
    with relay.Relay(("127.0.0.1", 0), (host, int(port))) as line:
        link = http.client.HTTPConnection(*line.address, timeout=10)  # type: ignore[misc]
        link.request("GET", "/v2.0/ports")
        assert link.getresponse().status == 201
        link.close()


def test_nobody_gets_through_while_the_database_is_away(line: relay.Relay) -> None:
    with line.away(), _connected(line) as client:
        assert client.recv(100) == b""
    with _connected(line) as client:
        client.sendall(b"again")
        assert client.recv(100) == b"again"


# -- figures


def test_a_report_can_be_read_back() -> None:
    outcomes = [_outcome(2.0, "a"), _outcome(10.0, "a", "b")]
    kept = json.dumps(report.as_json(report.Run(1, 30.0, outcomes)))
    assert report.outcomes_of(json.loads(kept)) == outcomes


def test_the_page_shows_the_report_that_is_kept() -> None:
    kept = json.loads((page.FILE.parents[2] / "bench/results/chaos.json").read_text())
    text = page.FILE.read_text()
    assert page.filled(text, kept) == text, (
        "run: python tests/chaos --page bench/results/chaos.json"
    )
    assert kept["wrong"] == ""
    assert kept["missing"] == []
    assert set(kept["kinds"]) == set(kinds.KINDS)


def test_a_fault_that_did_not_show_is_missing() -> None:
    felt, missed = (run.Done(kind, "x", 0.0, 1.0, why) for kind, why in (("a", ""), ("b", "no")))
    outcomes = [run.Outcome((each,), 1, 0, 1.0, 1.0, ()) for each in (felt, missed)]
    told = report.Run(1, 2.0, outcomes, wanted=("a", "b"))
    assert told.missing == ("b",)
    assert "1 of 2 kinds; missing: b" in report.shown(told)


def _outcome(seconds: float, *kinds: str) -> run.Outcome:
    strikes = tuple(run.Done(kind, "x", 0.0, 1.0) for kind in kinds)
    return run.Outcome(strikes, 3, 1, 5.0, seconds, ())


def test_figures_are_by_kind_and_apart_for_rounds_with_one_fault() -> None:
    outcomes = [_outcome(2.0, "a"), _outcome(10.0, "a", "b"), _outcome(4.0, "a")]
    told = report.as_json(report.Run(1, 30.0, outcomes))
    assert told["kinds"]["a"] == {
        "count": 3,
        "median_s": 4.0,
        "max_s": 10.0,
        "alone": {"count": 2, "median_s": 3.0, "max_s": 4.0},
        "missed": 0,
    }
    assert told["kinds"]["b"]["alone"] == {"count": 0}
    assert "4 faults in 3 rounds, seed 1" in report.shown(report.Run(1, 30.0, outcomes))
