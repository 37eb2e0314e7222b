"""Serve a WSGI application with a bounded number of native threads.

Decides limits: threads, waiting connections, header and body sizes, seconds a client may dawdle.
Used by `process`.
"""

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
        self._server.prepare()
        self._thread = threading.Thread(target=self._server.serve, name="http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Give the port that is listened on, also where any was asked for."""
        return int(self._server.bind_addr[1])

    def stop(self) -> None:
        """End requests and threads within `STOP_TIMEOUT_S`."""
        self._server.stop()
        self._thread.join(STOP_TIMEOUT_S)


def _log(msg: str = "", level: int = 20, traceback: bool = False) -> None:
    LOG.log(level, "http.server text=%s", msg, exc_info=traceback)


def start(conf: cfg.ConfigOpts, app: typing.Any) -> Server:
    """Start to serve; raises OSError if the address cannot be listened on."""
    return Server(conf, app)
