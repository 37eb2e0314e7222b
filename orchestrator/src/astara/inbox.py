"""Receive messages from other processes of this node over a Unix socket.

One thread takes connections and messages and hands each message to a function that must be quick.
Decides nothing. A message that cannot be read is logged and ignored; a broken connection is the
sender's to repair. Used by workers and by the health process.
"""

import contextlib
import logging
import pathlib
import selectors
import socket
import threading
import typing

import msgspec

from . import events

if typing.TYPE_CHECKING:
    from collections.abc import Callable

LOG = logging.getLogger(__name__)

BACKLOG = 64


class Inbox:
    """The socket of this process; `handle` is called in the inbox's own thread."""

    def __init__(self, path: pathlib.Path, handle: "Callable[[events.Message], None]") -> None:
        self._path = path
        self._handle = handle
        self._closed = False
        self._selector = selectors.DefaultSelector()
        self._listening = self._listen()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    def _listen(self) -> socket.socket:
        """Bind, taking the place of a socket that a killed predecessor left."""
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listening.bind(str(self._path))
        self._path.chmod(0o600)
        self._inode = self._path.stat().st_ino
        listening.listen(BACKLOG)
        listening.setblocking(False)
        return listening

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def close(self) -> None:
        """Stop receiving; what was not read is lost, as after a kill. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._wake_writer.send(b"x")
        self._thread.join(timeout=5)
        for key in list(self._selector.get_map().values()):
            typing.cast("socket.socket", key.fileobj).close()
        self._selector.close()
        self._wake_writer.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:  # and not that of a successor
                self._path.unlink()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake_reader:
                    return
                if key.fileobj is self._listening:
                    self._accept()
                else:
                    self._receive(typing.cast("socket.socket", key.fileobj))

    def _accept(self) -> None:
        try:
            link, _ = self._listening.accept()
        except BlockingIOError:
            return  # the sender has gone between select and accept
        link.setblocking(False)
        self._selector.register(link, selectors.EVENT_READ)

    def _receive(self, link: socket.socket) -> None:
        try:
            data = link.recv(events.MAX_BYTES)
        except BlockingIOError:
            return
        except OSError as reason:
            LOG.debug("link.broken reason=%s", reason)
            data = b""
        if not data:
            self._selector.unregister(link)
            link.close()
            return
        try:
            self._handle(events.decode(data))
        except msgspec.MsgspecError as reason:
            LOG.error("message.unreadable reason=%s", reason)
        except Exception:  # the boundary of one message: the next ones are still wanted
            LOG.exception("message.failed")
