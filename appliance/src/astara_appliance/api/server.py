"""Run the routes behind gunicorn: one worker process, a few threads, listening on management
alone.

The sockets are bound to the management *addresses* and to the management *device*: a tenant who
sends to the management address through his own network reaches nothing, even if the firewall were
not there. The arbiter process stays small, it imports neither Flask nor the drivers; it starts a
new worker when one dies. Called by `cmd.agent`.
"""

import errno
import ipaddress
import logging
import pathlib
import socket
from collections.abc import Sequence
from typing import Any

from gunicorn.app import base as gunicorn_base

from .. import clock
from ..system import management
from ..system.paths import Paths

LOG = logging.getLogger(__name__)

BIND_TIMEOUT_S = 15.0
_BIND_RETRY_S = 0.2
THREADS = 4
BACKLOG = 128


class Server(gunicorn_base.BaseApplication):
    """gunicorn, configured by us instead of by files and arguments."""

    def __init__(self, paths: Paths, listeners: Sequence[socket.socket], mac: str) -> None:
        self._paths = paths
        self._mac = mac
        self._listeners = tuple(listeners)  # kept: gunicorn only gets the numbers
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        shared_memory = pathlib.Path("/dev/shm")  # noqa: S108 - heartbeat file of the worker
        settings: dict[str, Any] = {
            "bind": [f"fd://{listener.fileno()}" for listener in self._listeners],
            "workers": 1,
            "threads": THREADS,
            "worker_class": "gthread",
            "keepalive": 75,
            # A push may take long; the main thread of a gthread worker beats on meanwhile.
            "timeout": 60,
            "graceful_timeout": 10,
            "umask": 0o022,
            "control_socket_disable": True,
            "proc_name": "astara-appliance",
            "worker_tmp_dir": str(shared_memory) if shared_memory.is_dir() else None,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the application; runs in the worker process, where threads may start."""
        from .. import worker

        return worker.build(self._paths, self._mac)


def open_listeners(settings: management.Management, device: str) -> tuple[socket.socket, ...]:
    """Return a listening socket for each management address, reachable through `device` only."""
    return tuple(
        _listener(ipaddress.ip_interface(address), settings.api_port, device)
        for address in settings.addresses
    )


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
            # The worker of an agent whose arbiter was killed holds the port for another second.
            if error.errno != errno.EADDRINUSE or clock.monotonic() > deadline:
                raise
            clock.sleep(_BIND_RETRY_S)
    LOG.info("listening address=%s port=%s device=%s", address.ip, port, device)
    return listener


def _where(
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface, port: int, device: str
) -> tuple[str, int] | tuple[str, int, int, int]:
    if address.version == 4:
        return str(address.ip), port
    scope = socket.if_nametoindex(device) if address.ip.is_link_local else 0
    return str(address.ip), port, 0, scope
