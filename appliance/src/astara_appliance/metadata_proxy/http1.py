"""The little HTTP/1 that a metadata proxy takes (RFC 9112), strict where laxness is dangerous.

Decides what a well-formed request and response are; bodies have a Content-Length or, in responses,
end with the connection. A request with Transfer-Encoding, a folded or doubled header or anything
else that two parsers could read differently is refused. Called by `relay`.
"""

import re
import socket
import time
from typing import NamedTuple

HEAD_LIMIT = 16 * 1024
REQUEST_BODY_LIMIT = 64 * 1024
METHODS = ("GET", "HEAD", "POST", "PUT")

_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) (/[!-~]{0,4000}) HTTP/1\.([01])")
_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([\t -~]*))?")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_LENGTH = re.compile(r"[0-9]{1,15}")

REASONS = {
    400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
    411: "Length Required", 413: "Content Too Large", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout",
}  # fmt: skip


class Problem(Exception):
    """A request or response that is not passed on; `status` is what the client gets."""

    def __init__(self, status: int, reason: str = "") -> None:
        self.status = status
        super().__init__(reason or REASONS[status])


class Request(NamedTuple):
    """What a client asks; header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Head(NamedTuple):
    """The start of a response."""

    status: int
    reason: str
    headers: dict[str, str]


class Reader:
    """Reads from a socket until a deadline that no trickle of bytes can move."""

    def __init__(self, connection: socket.socket, seconds: float, late: int) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + seconds
        self._late = late
        self._buffer = b""

    def some(self) -> bytes:
        """Return the next bytes, empty at the end; Problem(late) after the deadline."""
        if self._buffer:
            taken, self._buffer = self._buffer, b""
            return taken
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Problem(self._late)
        self._connection.settimeout(left)
        try:
            return self._connection.recv(16384)
        except TimeoutError:
            raise Problem(self._late) from None

    def head(self, too_large: int) -> str:
        """Return the text before the first empty line, keeping what follows it."""
        data = b""
        while b"\r\n\r\n" not in data and len(data) <= HEAD_LIMIT:
            more = self.some()
            if not more:
                raise ConnectionAbortedError("ended within the head")
            data += more
        head, _, self._buffer = data.partition(b"\r\n\r\n")
        if len(head) > HEAD_LIMIT:
            raise Problem(too_large)
        return head.decode("latin-1")

    def exactly(self, length: int) -> bytes:
        """Return `length` bytes."""
        data = b""
        while len(data) < length:
            more = self.some()
            if not more:
                raise ConnectionAbortedError("ended within the body")
            data += more
        self._buffer = data[length:]
        return data[:length]


def read_request(connection: socket.socket, seconds: float) -> Request:
    """Read one request within `seconds`. Raises Problem, or OSError when the client goes away."""
    reader = Reader(connection, seconds, 408)
    first, *lines = reader.head(431).split("\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if not match:
        raise Problem(400)
    headers = _headers(lines, 400)
    if match[1] not in METHODS:
        raise Problem(405)
    if "transfer-encoding" in headers:
        raise Problem(411)
    length = _length(headers, 400) or 0
    if length > REQUEST_BODY_LIMIT:
        raise Problem(413)
    if length and headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(match[1], match[2], headers, reader.exactly(length))


def read_head(reader: Reader) -> Head:
    """Read the head of a response. Raises Problem(502) when it is none."""
    first, *lines = reader.head(502).split("\r\n")
    match = _STATUS_LINE.fullmatch(first)
    if not match or int(match[1]) < 200:
        raise Problem(502)
    headers = _headers(lines, 502)
    if "transfer-encoding" in headers:
        raise Problem(502)
    _length(headers, 502)
    return Head(int(match[1]), match[2] or "", headers)


def answer(status: int) -> bytes:
    """Return a whole response that says no more than its status."""
    text = f"{status} {REASONS[status]}\n"
    return (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}"
    ).encode()


def _headers(lines: list[str], status: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if not match:
            raise Problem(status)
        name, value = match[1].lower(), match[2].strip(" \t")
        if name in found and name in ("content-length", "transfer-encoding", "host"):
            raise Problem(status)
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _length(headers: dict[str, str], status: int) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    if not _LENGTH.fullmatch(text):
        raise Problem(status)
    return int(text)
