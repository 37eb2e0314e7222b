"""What the connection to an appliance makes of every answer that a peer may give, byte by byte."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from astara.clients import wire

FAR_S = 30.0
HEAD = b"HTTP/1.1 200 OK\r\n"


class Peer:
    """Says what it is told to on the first connection, in pieces, after a whole request."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.heard: list[bytes] = []
        self._open: list[socket.socket] = []

    def says(self, *pieces: bytes, closes: bool = True) -> None:
        threading.Thread(target=self._serve, args=(pieces, closes), daemon=True).start()

    def _serve(self, pieces: tuple[bytes, ...], closes: bool) -> None:
        link, _ = self._listening.accept()
        self._open.append(link)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard.append(link.recv(65536))
        with contextlib.suppress(OSError):
            for piece in pieces:
                link.sendall(piece)
        if closes:
            link.close()

    def close(self) -> None:
        for link in (self._listening, *self._open):
            link.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@contextlib.contextmanager
def connected(peer: Peer) -> Iterator[wire.Wire]:
    link = wire.Wire("127.0.0.1", peer.port, FAR_S)
    try:
        yield link
    finally:
        link.close()


def ask(peer: Peer, deadline_s: float = FAR_S, body: bytes | None = None) -> wire.Answer:
    with connected(peer) as link:
        at_s = time.monotonic() + deadline_s
        return link.ask("GET", "/v1/status", {"X-Told": "yes"}, body, FAR_S, at_s)


WHOLE = {
    "by its length": (HEAD + b"Content-Length: 5\r\n\r\nhello", True),
    "that it closes afterwards": (
        HEAD + b"content-length: 5\r\nConnection: Close\r\n\r\nhello",
        False,
    ),
    "in chunks": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n",
        True,
    ),
    "to the end of the stream": (HEAD + b"\r\nhello", False),
    "as an old server": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", False),
}


@pytest.mark.parametrize("at_once", [True, False], ids=["at-once", "byte-by-byte"])
@pytest.mark.parametrize(("text", "lasts"), WHOLE.values(), ids=WHOLE)
def test_an_answer_is_read_to_its_end(peer: Peer, text: bytes, lasts: bool, at_once: bool) -> None:
    peer.says(*([text] if at_once else [text[at : at + 1] for at in range(len(text))]))
    assert ask(peer) == wire.Answer(200, b"hello", lasts)


def test_an_answer_without_body_needs_no_end_of_the_stream(peer: Peer) -> None:
    peer.says(b"HTTP/1.1 204 No Content\r\n\r\n", closes=False)
    assert ask(peer) == wire.Answer(204, b"", lasts=True)


def test_a_request_is_one_packet_that_tells_its_length(peer: Peer) -> None:
    peer.says(HEAD + b"Content-Length: 0\r\n\r\n")
    ask(peer, body=b"{}")
    [heard] = peer.heard
    assert heard.startswith(b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX-Told: yes\r\n" in heard
    assert heard.endswith(b"\r\nContent-Length: 2\r\n\r\n{}")


def test_a_closed_connection_is_told_from_a_bad_answer(peer: Peer) -> None:
    peer.says()
    with pytest.raises(ConnectionResetError):
        ask(peer)


BROKEN = {
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "half a head": HEAD + b"Content-Le",
    "half a body": HEAD + b"Content-Length: 6\r\n\r\nhello",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\nhello",
    "no length of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhel\r\n",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n6\r\nhel",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_is_no_whole_answer_is_refused(peer: Peer, text: bytes) -> None:
    peer.says(text)
    with pytest.raises(wire.GarbledError):
        ask(peer)


def test_an_endless_answer_is_given_up(peer: Peer) -> None:
    peer.says(HEAD + b"\r\n", *[bytes(2**20)] * 9)
    with pytest.raises(wire.TooLongError):
        ask(peer)


def test_an_answer_that_announces_too_much_is_not_read(peer: Peer) -> None:
    peer.says(HEAD + b"Content-Length: 99999999999\r\n\r\n", closes=False)
    with pytest.raises(wire.TooLongError):
        ask(peer)


def test_an_answer_that_drips_ends_at_the_deadline(peer: Peer) -> None:
    peer.says(HEAD, b"Content-Length: 5\r\n\r\n", b"h", closes=False)
    with connected(peer) as link, pytest.raises(TimeoutError):
        link.ask("GET", "/", {}, None, 0.2, time.monotonic())
