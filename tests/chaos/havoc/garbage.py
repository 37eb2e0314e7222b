"""Answers in an appliance's place, with its certificate, and makes no sense.

What the host sends to the appliance's API is led here by nftables. Nothing inside the appliance is
touched but its bundle, which is read.
"""

import contextlib
import http.server
import json
import pathlib
import random
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator

from astara_devcloud.hypervisor import enter
from astara_devcloud.story.appliance import API_PORT

BUNDLE = "/run/astara/tls/bundle.json"
_HUGE = b'{"v4": "' + b"x" * 200_000 + b'"}'
_ANSWERS = (
    (200, b"\x00\xff\xfe not json at all"),
    (200, b"[]"),
    (200, b'{"v4": "yes", "digest": 17}'),
    (200, b'{"v4": true, "v6": true, "digest": "' + b"0" * 64 + b'", "interfaces": []}'),
    (200, _HUGE),
    (404, b"<html>no such page</html>"),
    (500, b"Traceback (most recent call last):"),
    (302, b""),
)


class _Nonsense(http.server.BaseHTTPRequestHandler):
    chance: random.Random
    answers: list[int]

    def log_message(self, *_: object) -> None:
        pass

    def _any(self) -> None:
        status, body = self.chance.choice(_ANSWERS)
        self.answers.append(status)
        with contextlib.suppress(OSError):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = _any  # noqa: N815 - names that http.server looks for


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    address_family = 10  # AF_INET6

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a handshake that fails is as good an answer as any."""


@contextlib.contextmanager
def answering(server_id: str, address: str, seed: int) -> Iterator[list[int]]:
    """Answer for an appliance for the length of the block; give what was answered so far."""
    answers: list[int] = []
    drawn = {"chance": random.Random(seed), "answers": answers}
    handler = type("Nonsense", (_Nonsense,), drawn)
    server = _Server(("::", 0), handler)
    server.socket = _context(server_id).wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    table = f"ip6 astara_chaos_{port}"
    try:
        _nft(
            f"add table {table}\n"
            f"add chain {table} output {{ type nat hook output priority -100; }}\n"
            f"add rule {table} output ip6 daddr {address} tcp dport {API_PORT}"
            f" redirect to :{port}\n"
        )
        yield answers
    finally:
        _nft(f"add table {table}\ndelete table {table}")
        server.shutdown()
        server.server_close()


def _context(server_id: str) -> ssl.SSLContext:
    bundle = json.loads(enter.enter(server_id, ["cat", BUNDLE]).stdout)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="astara-chaos-") as directory:
        file = pathlib.Path(directory, "pair.pem")
        file.touch(mode=0o600)
        file.write_text(bundle["certificate"] + bundle["key"])
        context.load_cert_chain(file)
    return context


def _nft(commands: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=commands, text=True, check=True, timeout=20)
