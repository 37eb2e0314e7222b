"""Speak just enough HTTP/1.1 to be cheap: what the simulators answer with.

One thread and one event loop serve any number of connections and local addresses; a request costs
some tens of microseconds, so that a measurement weighs the orchestrator and not its surroundings.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 404: "Not Found"}
BACKLOG = 4096


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


class Connection(asyncio.Protocol):
    """One connection; requests on it are answered one after the other."""

    def __init__(self, answer: Callable[[Request], Answer | None]) -> None:
        self._answer = answer
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._address = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._next()) is not None:
            answer = self._answer(request)
            if answer is None:  # as a machine does whose agent is dead
                self._transport.close()
                return
            self._transport.write(_encoded(answer))
            if request.headers.get("connection", "").lower() == "close":
                self._transport.close()
                return

    def _next(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        length = int(headers.get("content-length", "0"))
        if len(self._buffer) < end + 4 + length:
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
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


def serve(address: str, port: int, answer: Callable[[Request], Answer | None]) -> None:
    """Serve until the process is killed."""
    asyncio.run(_serve(address, port, answer))


async def _serve(address: str, port: int, answer: Callable[[Request], Answer | None]) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(answer), address, port, family=family, backlog=BACKLOG
    )
    await server.serve_forever()
