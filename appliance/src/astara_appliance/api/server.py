"""Serve the routes by gunicorn's threaded worker in this process, on management alone.

The sockets are bound to the management *addresses* and to the management *device*: a tenant who
sends to the management address through his own network reaches nothing, even if the firewall were
not there.

There is no arbiter: it would take half as much memory again to do what the machine's init does,
which is to start the agent when it ends. What an arbiter does beyond that, ending a worker that
hangs, the kernel does by an alarm that a worker which lives keeps putting off. Called by
`cmd.agent`.
"""

import errno
import ipaddress
import logging
import os
import pathlib
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any

from gunicorn import glogging, systemd
from gunicorn.app import base as gunicorn_base
from gunicorn.workers import gthread

from .. import clock
from ..system import management, tls

LOG = logging.getLogger(__name__)

BIND_TIMEOUT_S = 15.0
_BIND_RETRY_S = 0.2
_END_S = 15.0
THREADS = 4
BACKLOG = 128
HANG_S = 60
"""After so long without a sign of life of the main thread, the kernel ends the process."""


def serve(
    listeners: Sequence[socket.socket],
    build: Callable[[], Any],
    keeper: tls.Gatekeeper | None = None,
) -> None:
    """Answer on `listeners` with the application that `build` returns, until SIGTERM.

    With a certificate each connection is TLS, in the context that counts when it begins.
    """
    application = _Application(build)
    if keeper is not None and keeper.shown.tls:
        # gunicorn takes a connection for TLS if a file is named, and asks the hook for a context.
        application.cfg.set("certfile", "held-by-the-gatekeeper")
        application.cfg.set("ssl_context", lambda conf, default: keeper.context())
    settings = application.cfg
    worker = _Worker(
        age=1,
        ppid=os.getppid(),
        sockets=list(listeners),
        app=application,
        timeout=HANG_S,
        cfg=settings,
        log=_Logger(settings),
    )
    worker.init_process()


def open_listeners(settings: management.Management, device: str) -> tuple[socket.socket, ...]:
    """Return a listening socket for each management address, reachable through `device` only."""
    return tuple(
        _listener(ipaddress.ip_interface(address), settings.api_port, device)
        for address in settings.addresses
    )


def put_off_alarm(seconds: int) -> None:
    """Have the kernel end this process unless this is called again within `seconds`."""
    signal.alarm(seconds)


def end() -> None:
    """End this process as its init would, and in any case; whoever started it starts it again."""
    LOG.critical("agent.ends reason=%s", "a network function hangs")
    os.kill(os.getpid(), signal.SIGTERM)
    clock.sleep(_END_S)
    os._exit(1)


class _Application(gunicorn_base.BaseApplication):
    """gunicorn, configured by us instead of by files and arguments."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build
        super().__init__()

    def load_config(self) -> None:
        shared_memory = pathlib.Path("/dev/shm")  # noqa: S108 - heartbeat file of gunicorn
        settings: dict[str, Any] = {
            "threads": THREADS,
            "worker_class": "gthread",
            "keepalive": 75,
            "graceful_timeout": 10,
            "umask": 0o022,
            "worker_tmp_dir": str(shared_memory) if shared_memory.is_dir() else None,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._build()


class _Logger(glogging.Logger):
    """Lets gunicorn's lines go the way of all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Worker(gthread.ThreadWorker):
    def run(self) -> None:
        # For a unit of Type=notify (sd_notify(3)); without systemd nobody is told.
        systemd.sd_notify("READY=1", self.log)
        super().run()

    def notify(self) -> None:
        # Once a second or so. A push may take long in its thread; this is the main thread's.
        put_off_alarm(HANG_S)

    def is_parent_alive(self) -> bool:
        # There is no arbiter whose end would be ours.
        return True


def _listener(
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface, port: int, device: str
) -> socket.socket:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    where = _where(address, port, device)
    deadline = clock.monotonic() + BIND_TIMEOUT_S
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    while True:
        try:
            listener.bind(where)
            listener.listen(BACKLOG)
            break
        except OSError as error:
            # A former agent that was told to stop finishes its requests for some seconds.
            if error.errno != errno.EADDRINUSE or clock.monotonic() > deadline:
                raise
            clock.sleep(_BIND_RETRY_S)
    LOG.info("api.listening address=%s port=%s device=%s", address.ip, port, device)
    return listener


def _where(
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface, port: int, device: str
) -> tuple[str, int] | tuple[str, int, int, int]:
    if address.version == 4:
        return str(address.ip), port
    scope = socket.if_nametoindex(device) if address.ip.is_link_local else 0
    return str(address.ip), port, 0, scope
