"""The web server on the internet: answers one line of JSON that names itself and the peer.

``GET /bytes/<n>`` answers n bytes instead, to push full-sized packets through a path. Runs as the
service ``outside-http`` inside the namespace ``astara-outside``.
"""

import http.server
import json
import socket
import sys

HOSTNAME = "www.outside.example"
PORT = 80
LARGEST_ANSWER = 64 * 1024 * 1024
MAPPED_PREFIX = "::ffff:"


def peer_address(address: str) -> str:
    """Show an IPv4 peer of the dual-stack socket as IPv4."""
    return address.removeprefix(MAPPED_PREFIX) if "." in address else address


def body_of(path: str, peer: str, port: int) -> bytes:
    """Return the answer's body; ValueError if the path asks for an impossible size."""
    if path.startswith("/bytes/"):
        size = int(path.removeprefix("/bytes/"))
        if not 0 <= size <= LARGEST_ANSWER:
            raise ValueError(path)
        return b"x" * size
    answer = {"hostname": HOSTNAME, "peer": peer, "port": port, "path": path}
    return json.dumps(answer).encode() + b"\n"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET; the inherited log line goes to the service's log."""

    timeout = 30

    def do_GET(self) -> None:
        """Answer a request."""
        peer = peer_address(self.client_address[0])
        try:
            body = body_of(self.path, peer, self.client_address[1])
        except ValueError:
            self.send_error(400)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    """One thread a connection, on every IPv4 and IPv6 address of the namespace."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind for both address families, without looking our name up."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = HOSTNAME, PORT


def main() -> int:
    """Serve until killed."""
    with Server(("::", PORT), Handler) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
