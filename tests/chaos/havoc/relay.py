"""Stands between the orchestrators and what they reach by a socket: slow, away, silent, cut.

Hands on what passes on a socket of its own. Decides nothing.
"""

import contextlib
import dataclasses
import pathlib
import socket
import threading
from collections.abc import Iterator

_CHUNK = 65536
Address = pathlib.Path | tuple[str, int]


@dataclasses.dataclass(slots=True)
class Figures:
    """What was done to connections so far."""

    delayed: int = 0  # pieces
    refused: int = 0
    cut: int = 0


class Relay:
    """A socket that leads to another one, by its path or its TCP port; a context manager."""

    def __init__(self, address: Address, target: Address) -> None:
        self.address = address
        self.figures = Figures()
        self._target = target
        self._delay_s = 0.0
        self._passing = threading.Event()
        self._passing.set()
        self._refusing = threading.Event()
        self._never = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> "Relay":
        self._listener = _socket(self.address)
        self._listener.bind(_plain(self.address))
        self._listener.listen(64)
        if isinstance(self.address, tuple):
            self.address = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._refusing.set()
        self._passing.set()
        # Closing does not wake a thread that is in accept; this does.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """End all connections."""
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                    self.figures.cut += 1

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Let nothing pass, either way, and tell nobody."""
        self._passing.clear()
        try:
            yield
        finally:
            self._passing.set()

    @contextlib.contextmanager
    def slow(self, delay_s: float) -> Iterator[None]:
        """Hold back everything by so many seconds."""
        self._delay_s = delay_s
        try:
            yield
        finally:
            self._delay_s = 0.0

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """End all connections and take no new ones for the length of the block."""
        self._refusing.set()
        self.cut()
        try:
            yield
        finally:
            self._refusing.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing.is_set():
                self.figures.refused += 1
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            server = _socket(self._target)
            for each in (client, server):
                stack.callback(each.close)
                stack.callback(self._forget, each)
                with self._lock:
                    self._open.add(each)
            server.connect(_plain(self._target))
            back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            back.start()
            self._pump(client, server)
            back.join()

    def _forget(self, each: socket.socket) -> None:
        with self._lock:
            self._open.discard(each)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK):
                if self._delay_s or not self._passing.is_set():
                    self.figures.delayed += 1
                    self._never.wait(self._delay_s)
                    self._passing.wait()
                sink.sendall(chunk)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _socket(address: Address) -> socket.socket:
    return socket.socket(socket.AF_UNIX if isinstance(address, pathlib.Path) else socket.AF_INET)


def _plain(address: Address) -> str | tuple[str, int]:
    return str(address) if isinstance(address, pathlib.Path) else address
