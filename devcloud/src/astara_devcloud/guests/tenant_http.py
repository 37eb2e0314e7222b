"""The HTTP server of a tenant VM: says in one line of JSON who answers and whom it sees.

`/` answers once and keeps the connection alive; `/stream` sends a line every 100 ms until the
client goes, to see which connections survive what. Run by `tenant.sh` without the packages around
it, so it imports nothing but the standard library.
"""

import http.server
import json
import socket
import sys
import time

PORT = 80
STREAM_INTERVAL_S = 0.1
IDLE_TIMEOUT_S = 600


def plain(address: str) -> str:
    """Return an address as people write it: without the IPv6 clothes of an IPv4 one, or a zone."""
    return address.removeprefix("::ffff:").partition("%")[0]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET on any path."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_TIMEOUT_S

    def do_GET(self) -> None:
        """Answer once, or for as long as the client listens."""
        if self.path.startswith("/stream"):
            self._stream()
            return
        body = self._line()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        number = 0
        try:
            while True:
                self.wfile.write(self._line(number=number))
                number += 1
                time.sleep(STREAM_INTERVAL_S)
        except OSError:
            self.close_connection = True  # the client is gone: that is how a stream ends

    def _line(self, **more: int) -> bytes:
        answer = {
            "hostname": socket.gethostname(),
            "peer": plain(self.client_address[0]),
            "peer_port": self.client_address[1],
            "address": plain(self.connection.getsockname()[0]),
            "path": self.path,
            **more,
        }
        return json.dumps(answer).encode() + b"\n"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Keep the console for the guest's own story."""


class Server(http.server.ThreadingHTTPServer):
    """Listens on IPv6 and, through it, on IPv4."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without the reverse look-up of http.server: there may be no name server."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "tenant", self.socket.getsockname()[1]


def main() -> int:
    """Serve for the life of the guest."""
    with Server(("::", int(sys.argv[1]) if len(sys.argv) > 1 else PORT), Handler) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
