"""One connection to an appliance: HTTP/1.1 as both ends need it, and no more.

There is a call per appliance and health period, and the parsing of `http.client`, made for mail
headers, costs a quarter of such a call. Decides where an answer ends. Must never open by itself
what was closed, follow a redirection or a proxy, or read beyond the deadline or the limit that it
was given. Called by `clients.appliance` and, for what is kept, `clients.links`.
"""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import clock

MAX_ANSWER = 8 * 2**20
_CHUNK = 64 * 2**10
_BODILESS = frozenset({204, 304})


class GarbledError(Exception):
    """What came is not a whole answer of HTTP/1.1."""


class TooLongError(Exception):
    """The answer is longer than is sane."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered; `lasts` says that the connection takes another request."""

    status: int
    content: bytes
    lasts: bool


class Wire:
    """An open connection; for one thread at a time. Raises `OSError` for what the network does."""

    __slots__ = ("_host", "_link")

    def __init__(self, address: str, port: int, timeout_s: float) -> None:
        self._host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self._link: socket.socket = socket.create_connection((address, port), timeout_s)
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def secure(self, context: ssl.SSLContext, name: str) -> Any:
        """Shake hands and give the certificate that was shown."""
        secured = context.wrap_socket(self._link, server_hostname=name)
        self._link = secured
        return secured.getpeercert()

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        deadline_s: float,
    ) -> Answer:
        """Send a request and read the answer until the deadline, by the monotonic clock.

        `timeout_s` is for each packet. Raises `ConnectionResetError` if it was closed in place of
        an answer, `GarbledError` and `TooLongError`.
        """
        self._link.settimeout(timeout_s)
        told = {"Host": self._host, "Accept-Encoding": "identity", **headers}
        if body is not None:
            told["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {told[key]}" for key in told)]
        head = "\r\n".join([*lines, "", ""]).encode("ascii")
        self._link.sendall(head + body if body else head)
        return _Reader(self._link, deadline_s).answer()

    def close(self) -> None:
        """Close it; may be called again."""
        self._link.close()


class _Reader:
    """Reads one answer."""

    __slots__ = ("_buffer", "_deadline_s", "_link", "_read")

    def __init__(self, link: socket.socket, deadline_s: float) -> None:
        self._link = link
        self._deadline_s = deadline_s
        self._buffer = b""
        self._read = 0

    def answer(self) -> Answer:
        if not self._more():
            raise ConnectionResetError("closed without an answer")
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status = _status(first)
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        content, ended = self._content(status, headers)
        wish = headers.get("connection", "").lower()
        return Answer(status, content, lasts=ended and version == "HTTP/1.1" and wish != "close")

    def _content(self, status: int, headers: Mapping[str, str]) -> tuple[bytes, bool]:
        """Give the body, and whether it told where it ends."""
        if status in _BODILESS:
            return b"", True
        if headers.get("transfer-encoding", "identity").lower() != "identity":
            return self._chunks(), True
        length = headers.get("content-length")
        if length is None:
            while self._more():
                pass
            return self._buffer, False
        return self._exactly(_number(length, 10)), True

    def _chunks(self) -> bytes:
        parts = []
        while size := _number(self._until(b"\r\n").partition(b";")[0].decode("latin-1"), 16):
            parts.append(self._exactly(size))
            self._until(b"\r\n")
        while self._until(b"\r\n"):
            pass  # trailers
        return b"".join(parts)

    def _more(self) -> bool:
        """Read what is there; False at the end of the stream."""
        data = self._link.recv(_CHUNK)
        if self._read and clock.SYSTEM.monotonic() > self._deadline_s:
            raise TimeoutError("answer took too long")
        self._read += len(data)
        if self._read > MAX_ANSWER:
            raise TooLongError(f"more than {MAX_ANSWER} bytes")
        self._buffer = self._buffer + data if self._buffer else data
        return bool(data)

    def _until(self, mark: bytes) -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            if not self._more():
                raise GarbledError("the answer ended in its head")
        found, self._buffer = self._buffer[:end], self._buffer[end + len(mark) :]
        return found

    def _exactly(self, size: int) -> bytes:
        if size > MAX_ANSWER:
            raise TooLongError(f"{size} bytes are announced")
        parts = [self._buffer]
        missing = size - len(self._buffer)
        while missing > 0:
            self._buffer = b""
            if not self._more():
                raise GarbledError(f"{missing} of {size} bytes are missing")
            parts.append(self._buffer)
            missing -= len(self._buffer)
        whole = b"".join(parts)
        self._buffer = whole[size:]
        return whole[:size]


def _status(line: str) -> tuple[str, int]:
    version, _, rest = line.partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or not (len(code) == 3 and code.isdecimal()):
        raise GarbledError(f"the answer begins with {line[:80]!r}")
    return version, int(code)


def _number(text: str, base: int) -> int:
    try:
        found = int(text, base)
    except ValueError:
        found = -1
    if found < 0:
        raise GarbledError(f"no length: {text[:80]!r}")
    return found
