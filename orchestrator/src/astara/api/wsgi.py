"""Serve a WSGI application with a bounded number of native threads.

Decides limits: threads, waiting connections, header and body sizes, seconds a client may dawdle.
An address that cannot be listened on is tried again: it must never end the process, which answers
over AMQP as well. Used by `process`.
"""

import errno
import logging
import threading
import typing

from cheroot import wsgi
from cheroot.ssl import builtin
from oslo_config import cfg

from ..instance import management

LOG = logging.getLogger(__name__)

WAITING = 64
CLIENT_TIMEOUT_S = 20
STOP_TIMEOUT_S = 5
BIND_RETRY_S = 1
MAX_HEADER_BYTES = 64 * 2**10  # tokens may be long
MAX_BODY_BYTES = 64 * 2**10


class Server:
    """A server that runs in a thread of its own."""

    def __init__(self, conf: cfg.ConfigOpts, app: typing.Any) -> None:
        listen = conf.api_listen or management.recorded_address(conf.state_path)
        self.address: tuple[str, int] = (listen, conf.api_port)
        self._server = wsgi.Server(
            self.address,
            app,
            numthreads=conf.api_threads,
            server_name="astara",
            request_queue_size=WAITING,
            timeout=CLIENT_TIMEOUT_S,
            shutdown_timeout=STOP_TIMEOUT_S,
        )
        self._server.max_request_header_size = MAX_HEADER_BYTES
        self._server.max_request_body_size = MAX_BODY_BYTES
        self._server.error_log = _log  # type: ignore[method-assign]  # its own way to be told
        if conf.api_cert_file:
            self._server.ssl_adapter = builtin.BuiltinSSLAdapter(
                conf.api_cert_file, conf.api_key_file
            )
        self._stopping = threading.Event()
        self._fault = ""
        self._is_bound = self._bind()
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Give the port that is listened on, also where any was asked for."""
        return int(self._server.bind_addr[1])

    def _bind(self) -> bool:
        """Listen, if the address allows it; tell once why not."""
        try:
            self._server.prepare()
        except OSError as fault:
            if str(fault) != self._fault:
                self._fault = str(fault)
                LOG.error(
                    "api.not_listening address=%s port=%d reason=%s retry_s=%s remedy=%s",
                    *self.address,
                    self._fault,
                    BIND_RETRY_S,
                    _remedy(self._fault),
                )
            return False
        LOG.info("api.listening address=%s port=%d", self.address[0], self.port)
        return True

    def _serve(self) -> None:
        while not self._is_bound:
            if self._stopping.wait(BIND_RETRY_S):
                return
            self._is_bound = self._bind()
        self._server.serve()

    def stop(self) -> None:
        """End requests and threads within `STOP_TIMEOUT_S`."""
        self._stopping.set()
        if self._is_bound:
            self._server.stop()
        self._thread.join(STOP_TIMEOUT_S)


def _remedy(fault: str) -> str:
    if f"[Errno {errno.EADDRNOTAVAIL}]" in fault:
        return "the management address has gone from this node: restart the orchestrator"
    return "keep the port from outgoing connections: net.ipv4.ip_local_reserved_ports"


def _log(msg: str = "", level: int = 20, traceback: bool = False) -> None:
    LOG.log(level, "http.server text=%s", msg, exc_info=traceback)


def start(conf: cfg.ConfigOpts, app: typing.Any) -> Server:
    """Start to serve, as soon as the address can be listened on."""
    return Server(conf, app)
