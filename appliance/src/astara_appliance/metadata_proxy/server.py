"""Listeners on tenant networks, and a bounded number of threads behind them.

Decides where to listen (on each network of the settings, bound to its device, so that a client's
network is known for certain); `admission` decides how many requests run at once, in all and from
one client. It re-reads its settings when the file changes and follows devices that come and go, so
it is never restarted for either. Runs in the main thread of the proxy's process.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import threading
from typing import NamedTuple

from astara_contract import metadata

from . import admission, http1, relay, settings

LOG = logging.getLogger(__name__)

TICK_S = 0.5
# Looks at the settings at once. By default ignored, so it cannot kill a proxy that is starting.
WAKE_SIGNAL = signal.SIGWINCH
MAX_THREADS = 32
MAX_WAITING = 256
MAX_PER_CLIENT = 8
MAX_WAITING_PER_CLIENT = 24
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_BACKLOG = 128
_LAST_WORDS = 32
_STACK_BYTES = 256 * 1024


class Place(NamedTuple):
    """Where to listen. Its index makes a device that was unplugged and came back another one."""

    device: str
    device_index: int
    family: int
    port: int


class Call(NamedTuple):
    """A connection that was taken, and the network it came from."""

    connection: socket.socket
    client: str
    device: str


_Stamp = tuple[int, int, int]


def _stamp(file: str) -> _Stamp | None:
    """Tell one content of a file from another; None if there is no such file."""
    try:
        found = os.stat(file)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class Server:
    """The proxy."""

    def __init__(self, settings_file: str) -> None:
        self._file = settings_file
        self._upstream_file = os.path.join(os.path.dirname(settings_file), settings.UPSTREAM)
        self._seen: tuple[_Stamp | None, _Stamp | None] | None = None
        self._settings: settings.Settings | None = None
        self._listeners: dict[Place, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._admission: admission.Admission[Call] = admission.Admission(
            MAX_THREADS, MAX_PER_CLIENT, MAX_WAITING, MAX_WAITING_PER_CLIENT
        )

    def run(self) -> None:
        """Serve for ever."""
        threading.stack_size(_STACK_BYTES)
        woken = self._wake_on_signal()
        while True:
            self._refresh()
            for key, _ in self._selector.select(TICK_S):
                if key.data is None:
                    woken.recv(64)
                else:
                    self._accept(self._listeners[key.data], key.data)

    def _wake_on_signal(self) -> socket.socket:
        """Let WAKE_SIGNAL end the wait for the next tick."""
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(WAKE_SIGNAL, lambda *_: None)
        self._writer = writer
        self._selector.register(reader, selectors.EVENT_READ, None)
        return reader

    def _refresh(self) -> None:
        self._read_settings()
        wanted = set(self._places())
        for place in set(self._listeners) - wanted:
            listener = self._listeners.pop(place)
            self._selector.unregister(listener)
            listener.close()
        for place in wanted - set(self._listeners):
            # A device may be gone again, or the kernel not be ready: the next tick tries again.
            with contextlib.suppress(OSError):
                listener = _listen(place)
                self._listeners[place] = listener
                self._selector.register(listener, selectors.EVENT_READ, place)

    def _read_settings(self) -> None:
        try:
            seen = (_stamp(self._file), _stamp(self._upstream_file))
            if seen == self._seen:
                return
            with open(self._file, encoding="utf-8") as stream:
                self._settings = settings.parse(stream.read())
            if seen[1] is not None:
                with open(self._upstream_file, encoding="utf-8") as stream:
                    upstream = metadata.parse_upstream(stream.read())
                self._settings = self._settings._replace(upstream=upstream)
            self._seen = seen
        except (OSError, ValueError) as error:
            # Keep what we have; a file that is being replaced is readable a moment later.
            LOG.warning("settings.unreadable error=%s", error)

    def _places(self) -> list[Place]:
        if self._settings is None:
            return []
        found = []
        for device in self._settings.networks:
            with contextlib.suppress(OSError):
                index = socket.if_nametoindex(device)
                port = self._settings.port
                found += [Place(device, index, family, port) for family in _FAMILIES]
        return found

    def _accept(self, listener: socket.socket, place: Place) -> None:
        try:
            connection, peer = listener.accept()
        except OSError:
            return  # gone before we came, or no more room for open files
        call = Call(connection, str(peer[0]).partition("%")[0], place.device)
        # The newest settings: the client may have been born a moment ago.
        self._read_settings()
        entry = self._admission.enter(call.client, call)
        if entry is admission.Entry.REFUSE:
            _refuse(connection)
        elif entry is admission.Entry.RUN:
            self._start(call)

    def _start(self, call: Call) -> None:
        try:
            threading.Thread(target=self._work, args=(call,), daemon=True).start()
        except RuntimeError as error:
            LOG.warning("thread.refused error=%s", error)
            following: Call | None = call
            while following is not None:
                _refuse(following.connection)
                following = self._after(following)

    def _work(self, call: Call) -> None:
        """Serve a call, and then those that waited for it to end."""
        following: Call | None = call
        while following is not None:
            self._serve(following)
            following = self._after(following)

    def _after(self, call: Call) -> Call | None:
        left = self._admission.leave(call.client)
        return left[1] if left else None

    def _serve(self, call: Call) -> None:
        try:
            with call.connection as connection:
                current = self._settings
                if current is None or call.device not in current.networks:
                    connection.sendall(http1.answer(404))
                else:
                    relay.serve(connection, call.client, call.device, current)
                _finish(connection)
        except OSError:
            # The client has gone away; there is nobody left to tell.
            return


def _listen(place: Place) -> socket.socket:
    listener = socket.socket(place.family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_BINDTODEVICE, place.device.encode() + b"\0"
        )
        if place.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("", place.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _refuse(connection: socket.socket) -> None:
    """Say no without waiting for anything: the caller has others to look after."""
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        connection.sendall(http1.answer(429))
        connection.recv(http1.HEAD_LIMIT)  # what is left unread would take our answer along


def _finish(connection: socket.socket) -> None:
    """Say that all is said, and wait briefly for the client to close: bytes it still sends would
    make the kernel reset the connection and take our answer along.
    """
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(TICK_S)
    with contextlib.suppress(OSError):
        for _ in range(_LAST_WORDS):
            if not connection.recv(4096):
                return
