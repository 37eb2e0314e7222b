"""Speak vici, the control protocol of strongSwan's IKE daemon, over its Unix socket.

Messages are trees of sections, lists and values, each with its length in front: whatever a value
holds, it cannot end a value or begin a key. It decides nothing about connections. Called by the
IPsec function; the format is that of strongSwan's `src/libcharon/plugins/vici/README.md`.

    ViciError      the daemon refused a command; its own words
    OSError        nobody listens, or not in time
"""

import pathlib
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "str | bytes | Sequence[str | bytes] | Mapping[str, Value]"
Message: TypeAlias = Mapping[str, Value]
Answer: TypeAlias = "dict[str, str | list[str] | Answer]"

TIMEOUT_S = 15.0
_LARGEST = 512 * 1024

_SECTION_START, _SECTION_END, _KEY_VALUE, _LIST_START, _LIST_ITEM, _LIST_END = range(1, 7)
_REQUEST, _RESPONSE, _UNKNOWN, _REGISTER, _UNREGISTER, _CONFIRM, _NO_EVENT, _EVENT = range(8)


class ViciError(Exception):
    """What the daemon refused, and why."""

    def __init__(self, command: str, reason: str) -> None:
        self.command = command
        super().__init__(f"{command}: {reason}")


class Vici:
    """One connection to the daemon; a context manager."""

    def __init__(self, path: pathlib.Path, timeout_s: float = TIMEOUT_S) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> "Vici":
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def ask(self, command: str, message: Message | None = None) -> Answer:
        """Run a command; raise ViciError unless it succeeds."""
        self._send(_REQUEST, command, message or {})
        return self._answer(command)

    def stream(self, command: str, event: str, message: Message | None = None) -> list[Answer]:
        """Run a command that answers by events; return those."""
        self._send(_REGISTER, event)
        self._expect(_CONFIRM, event)
        self._send(_REQUEST, command, message or {})
        found: list[Answer] = []
        while True:
            kind, body = self._receive()
            if kind == _EVENT:
                found.append(decode(body[1 + body[0] :]))
            elif kind == _RESPONSE:
                self._send(_UNREGISTER, event)
                self._expect(_CONFIRM, event)
                return found
            else:
                raise ViciError(command, "unknown command")

    def _answer(self, command: str) -> Answer:
        kind, body = self._receive()
        if kind != _RESPONSE:
            raise ViciError(command, "unknown command")
        answer = decode(body)
        if answer.get("success", "yes") != "yes":
            raise ViciError(command, str(answer.get("errmsg", "refused")))
        return answer

    def _expect(self, kind: int, what: str) -> None:
        if self._receive()[0] != kind:
            raise ViciError(what, "unknown event")

    def _send(self, kind: int, name: str, message: Message | None = None) -> None:
        body = encode(message) if message is not None else b""
        raw = name.encode()
        packet = bytes([kind, len(raw)]) + raw + body
        self._socket.sendall(struct.pack("!I", len(packet)) + packet)

    def _receive(self) -> tuple[int, bytes]:
        (length,) = struct.unpack("!I", self._exactly(4))
        if not 0 < length <= _LARGEST:
            raise ConnectionError(f"vici: a packet of {length} bytes")
        body = self._exactly(length)
        return body[0], body[1:]

    def _exactly(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            part = self._socket.recv(size - len(received))
            if not part:
                raise ConnectionError("vici: the daemon hung up")
            received += part
        return received


def encode(message: Message) -> bytes:
    """Return a message as it goes over the socket."""
    return b"".join(_elements(message))


def decode(raw: bytes) -> Answer:
    """Return the tree in a message; raise ConnectionError for what is none."""
    answer: Answer = {}
    open_sections, items, at = [answer], None, 0
    try:
        while at < len(raw):
            kind, at = raw[at], at + 1
            name = value = ""
            if kind in (_SECTION_START, _KEY_VALUE, _LIST_START):
                name, at = _text(raw, at, 1)
            if kind in (_KEY_VALUE, _LIST_ITEM):
                value, at = _text(raw, at, 2)
            if kind == _SECTION_START:
                inner: Answer = {}
                open_sections[-1][name] = inner
                open_sections.append(inner)
            elif kind == _SECTION_END:
                open_sections.pop()
            elif kind == _KEY_VALUE:
                open_sections[-1][name] = value
            elif kind == _LIST_START:
                items = open_sections[-1][name] = []
            elif kind == _LIST_ITEM and items is not None:
                items.append(value)
            elif kind != _LIST_END:
                raise ConnectionError(f"vici: an element of kind {kind}")
    except (IndexError, struct.error) as error:
        raise ConnectionError("vici: half a message") from error
    return answer


def section(answer: Answer, name: str) -> Answer:
    """Return a section of an answer, an empty one if it has none of that name."""
    found = answer.get(name)
    return found if isinstance(found, dict) else {}


def _text(raw: bytes, at: int, width: int) -> tuple[str, int]:
    length = int.from_bytes(raw[at : at + width], "big")
    begin = at + width
    if begin + length > len(raw):
        raise IndexError(begin + length)
    return raw[begin : begin + length].decode(errors="replace"), begin + length


def _elements(message: Message) -> Iterator[bytes]:
    for name, value in message.items():
        if isinstance(value, Mapping):
            yield _named(_SECTION_START, name)
            yield from _elements(value)
            yield bytes([_SECTION_END])
        elif isinstance(value, str | bytes):
            yield _named(_KEY_VALUE, name) + _sized(value)
        else:
            yield _named(_LIST_START, name)
            for item in value:
                yield bytes([_LIST_ITEM]) + _sized(item)
            yield bytes([_LIST_END])


def _named(kind: int, name: str) -> bytes:
    raw = name.encode()
    return bytes([kind, len(raw)]) + raw


def _sized(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw
