"""The HTTP server of the metadata proxy: bounded threads, deadlines, one request a connection.

Decides how many requests run at once and how long a client may dawdle. Must never hold a thread
longer than that. ``serve`` is what the supervisor runs in the role ``metadata``.
"""

import contextlib
import http.server
import ipaddress
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from astara_contract import logline, metadata

from .. import metrics
from ..clients import errors
from ..clients.connect import open_cloud
from ..clients.nova_metadata import MetadataApi
from ..instance import failures, management
from .ownership import Ownership
from .proxy import Forward, Proxy, Refused

LOG = logging.getLogger(__name__)

THREADS = 32
WAITING = 256
CLIENT_TIMEOUT_S = 10.0
MAX_BODY = 256 * 2**10
_CHUNK = 64 * 2**10
_POLL_S = 0.5


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request of an appliance."""

    timeout = CLIENT_TIMEOUT_S
    server: "Server"
    _answering = False

    def _answer(self) -> None:
        """Forward the request, or say no with a bare status."""
        # What it says of itself: good enough for the log, before it is verified as well.
        asking = self.headers.get(metadata.ROUTER_HEADER)
        with logline.about("router", asking) if asking else contextlib.nullcontext():
            self._forward()

    def _forward(self) -> None:
        try:
            if not self.path.startswith("/"):
                raise Refused(400, "not a path")
            with self.server.forward(self.command, self.path, self.headers, self._body()) as nova:
                self._relay(nova)
        except Refused as refusal:
            LOG.warning("metadata.refused status=%s reason=%s", refusal.status, refusal.reason)
            self._say(refusal.status)
        except errors.Unavailable as error:
            LOG.warning("metadata.unavailable reason=%s", error)
            self._say(error.status or 502)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _answer  # noqa: N815  # names of the base class

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding"):
            raise Refused(411, "chunked request body")
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit():
            raise Refused(400, "odd Content-Length")
        if int(length) > MAX_BODY:
            raise Refused(413, f"body of {length} bytes")
        return self.rfile.read(int(length))

    def _relay(self, nova: Any) -> None:
        """Stream Nova's answer; its length is told if Nova told it, else the end of the stream."""
        if nova.status == 403:
            LOG.error(
                "metadata.secret_mismatch reason=%s",
                "compare metadata_proxy_shared_secret here and in nova.conf",
            )
        metrics.METADATA.labels(f"{nova.status // 100}xx").inc()
        self._answering = True
        self.send_response_only(nova.status)
        for name in ("Content-Type", "Content-Length"):
            value = nova.getheader(name)
            if value is not None:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        while chunk := nova.read(_CHUNK):
            self.wfile.write(chunk)

    def _say(self, status: int) -> None:
        if self._answering:  # Nova broke off: a short body tells the guest
            return
        metrics.METADATA.labels(f"{status // 100}xx").inc()
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # name of the base class
        """Log what the base class has to say as our own lines."""
        LOG.debug("metadata.http client=%s text=%s", self.client_address[0], format % args)


class Server(http.server.HTTPServer):
    """Hands each connection to a pool of threads; refuses what would have to wait too long."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: str, port: int, forward: Forward):
        self.forward = forward
        version = ipaddress.ip_address(address).version
        self.address_family = socket.AF_INET6 if version == 6 else socket.AF_INET
        self._pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="metadata")
        self._slots = threading.BoundedSemaphore(THREADS + WAITING)
        super().__init__((address, port), Handler)

    def server_bind(self) -> None:
        """Bind without the reverse lookup of the base class, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name = str(self.server_address[0])
        self.server_port = self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Queue a connection, or close it if too many wait already."""
        if not self._slots.acquire(blocking=False):
            metrics.METADATA.labels("overload").inc()
            LOG.warning("metadata.overload client=%s", client_address[0])
            self.shutdown_request(request)
            return
        self._pool.submit(self._serve, request, client_address)

    def _serve(self, request: Any, client_address: Any) -> None:
        """Answer one connection; the boundary at which the thread outlives any failure."""
        try:
            self.finish_request(request, client_address)
        except OSError as error:
            LOG.info("metadata.client_lost client=%s reason=%s", client_address[0], error)
        except Exception:
            LOG.exception("metadata.failed client=%s", client_address[0])
        finally:
            self.shutdown_request(request)
            self._slots.release()

    def stop(self) -> None:
        """Take no more connections; those in progress have their own deadlines."""
        self.shutdown()
        self.server_close()
        self._pool.shutdown(wait=True, cancel_futures=True)


def serve(conf: Any, number: int, stop: threading.Event) -> None:
    """Answer metadata requests on this node's management address until ``stop`` is set."""
    with failures.translated():
        neutron = open_cloud(conf).neutron
    proxy = Proxy(
        secret=conf.metadata_proxy_shared_secret,
        ownership=Ownership(neutron.router),
        nova=MetadataApi(
            host=str(conf.nova_metadata_ip),
            port=conf.nova_metadata_port,
            secret=conf.metadata_proxy_shared_secret,
        ),
        max_skew_s=conf.metadata_max_skew,
        timeless=conf.metadata_timeless,
    )
    address = management.recorded_address(conf.state_path)
    server = Server(address, conf.astara_metadata_port, proxy.forward)
    LOG.info("metadata.listening address=%s port=%s", address, conf.astara_metadata_port)
    accepting = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
    accepting.start()
    stop.wait()
    server.stop()
    accepting.join(timeout=_POLL_S * 4)
