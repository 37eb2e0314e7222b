"""Stands between the orchestrators and their database: slow, away, or failing over.

Hands on what passes on a socket of its own. Decides nothing.
"""

import contextlib
import pathlib
import socket
import threading
from collections.abc import Iterator

_CHUNK = 65536


class Relay:
    """A socket that leads to the database's; a context manager."""

    def __init__(self, path: pathlib.Path, target: pathlib.Path) -> None:
        self.path = path
        self._target = target
        self._delay_s = 0.0
        self._refusing = threading.Event()
        self._never = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> "Relay":
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._refusing.set()
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
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            server = socket.socket(socket.AF_UNIX)
            for each in (client, server):
                stack.callback(each.close)
                stack.callback(self._forget, each)
                with self._lock:
                    self._open.add(each)
            server.connect(str(self._target))
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
                if self._delay_s:
                    self._never.wait(self._delay_s)
                sink.sendall(chunk)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
