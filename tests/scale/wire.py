"""Speak just enough HTTP/1.1 to be cheap: what the simulators answer with.

A few threads with a selector each serve any number of connections and local addresses, in
plaintext or TLS; a request costs some tens of microseconds beside the handshake, during which the
other threads go on, so that a measurement weighs the orchestrator and not its surroundings.
"""

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 404: "Not Found"}
BACKLOG = 4096
AT_ONCE = 4  # connections that a thread takes before it serves those it has
_CHUNK = 256 * 2**10


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived, and at which of our addresses."""

    address: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; `headers` beside the usual ones."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Answering = Callable[[Request], Answer | None]


class _Over(Exception):
    """The connection has ended, or is to."""


class _Connection:
    """One connection; requests on it are answered one after the other."""

    def __init__(self, link: socket.socket, answer: Answering) -> None:
        self.link = link
        self._answer = answer
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._closing = False
        self._address = link.getsockname()[0]
        self._shaking = isinstance(link, ssl.SSLSocket)

    def advance(self) -> int:
        """Do what can be done now and name what to wait for; raises `_Over`."""
        try:
            if self._shaking:
                self.link.do_handshake()  # type: ignore[attr-defined]
                self._shaking = False
            self._read()
            return self._write()
        except ssl.SSLWantReadError:
            return self._write() | selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_WRITE
        except OSError as reason:
            raise _Over from reason

    def _read(self) -> None:
        while not self._closing:
            try:
                data = self.link.recv(_CHUNK)
            except BlockingIOError:
                return
            if not data:
                raise _Over
            self._incoming += data
            while not self._closing and (request := self._next()) is not None:
                answer = self._answer(request)
                if answer is None:  # as a machine does whose agent is dead
                    raise _Over
                self._outgoing += _encoded(answer)
                self._closing = request.headers.get("connection", "").lower() == "close"
            if self._outgoing:
                self._write()

    def _write(self) -> int:
        while self._outgoing:
            try:
                sent = self.link.send(self._outgoing)
            except (BlockingIOError, ssl.SSLWantWriteError):
                return selectors.EVENT_WRITE
            del self._outgoing[:sent]
        if self._closing:
            raise _Over
        return selectors.EVENT_READ

    def _next(self) -> Request | None:
        end = self._incoming.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._incoming[:end].decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        length = int(headers.get("content-length", "0"))
        if len(self._incoming) < end + 4 + length:
            return None
        body = bytes(self._incoming[end + 4 : end + 4 + length])
        del self._incoming[: end + 4 + length]
        method, target, _ = first.split(" ", 2)
        return Request(self._address, method, target, headers, body)


def _encoded(answer: Answer) -> bytes:
    head = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Other')}",
        "Content-Type: application/json",
        f"Content-Length: {len(answer.body)}",
        *(f"{name}: {value}" for name, value in answer.headers),
    ]
    return "\r\n".join([*head, "", ""]).encode() + answer.body


def serve(
    address: str,
    port: int,
    answer: Answering,
    context: ssl.SSLContext | None = None,
    accepted: Callable[[], None] = lambda: None,
    threads: int = 1,
) -> None:
    """Serve until the process is killed; `accepted` is called for each connection.

    With several threads so are `answer` and `accepted`, at the same time.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
        shared = (listening, answer, context, accepted)
        for _ in range(threads - 1):
            threading.Thread(target=_loop, args=shared, daemon=True).start()
        _loop(*shared)


def _loop(
    listening: socket.socket,
    answer: Answering,
    context: ssl.SSLContext | None,
    accepted: Callable[[], None],
) -> None:
    with selectors.EpollSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    for link in _accepted(listening, context):
                        accepted()
                        selector.register(link, selectors.EVENT_READ, _Connection(link, answer))
                else:
                    _serve(selector, key)


def _accepted(listening: socket.socket, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    """Yield some of the connections that wait to be taken."""
    with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
        for _ in range(AT_ONCE):
            link, _ = listening.accept()
            link.setblocking(False)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is None:
                yield link
            else:
                yield context.wrap_socket(link, server_side=True, do_handshake_on_connect=False)


def _serve(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    connection: _Connection = key.data
    try:
        wanted = connection.advance()
    except _Over:
        selector.unregister(connection.link)
        connection.link.close()
        return
    if wanted != key.events:
        selector.modify(connection.link, wanted, connection)
