"""Stands between the orchestrators and Keystone, Neutron and Nova, and fails as they do.

One front per service. What Keystone says about endpoints is rewritten, so that whoever logs in
through the front finds the other fronts in the catalogue: no client is configured for it. Without
a rule every call passes. Must never repeat or invent a call.
"""

import collections
import contextlib
import dataclasses
import http.client
import http.server
import json
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping

UPSTREAM_TIMEOUT_S = 120
TOKENS = "/v3/auth/tokens"
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


@dataclasses.dataclass(frozen=True, slots=True)
class Effect:
    """What happens to a call; `forwarded` says whether the service gets it."""

    status: int = 0  # answered in the service's place
    body: object = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    forwarded: bool = False
    answered: bool = True  # else the connection ends without a word
    hang_s: float = 0.0


@dataclasses.dataclass(eq=False, slots=True)
class Rule:
    """Some calls to a service have an effect, as long as the rule is in place."""

    service: str
    effect: Effect
    methods: frozenset[str]
    path: str = ""
    share: float = 1.0
    most: int = 10**6
    then: Callable[[], object] | None = None  # done when the service has answered
    hits: int = 0
    lifted: threading.Event = dataclasses.field(default_factory=threading.Event)

    def meets(self, service: str, method: str, path: str, draw: float) -> bool:
        """Tell whether a call is meant."""
        return (
            service == self.service
            and method in self.methods
            and self.hits < self.most
            and draw < self.share
            and re.search(self.path, path) is not None
        )


class Proxy:
    """The fronts of all services; a context manager."""

    def __init__(self, upstreams: Mapping[str, tuple[str, int]], seed: int) -> None:
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._tokens: collections.deque[str] = collections.deque(maxlen=64)
        self._revoked: set[str] = set()
        self.upstreams = upstreams
        self.refused = 0  # calls with revoked tokens
        self._servers: dict[str, _Front] = {}

    def __enter__(self) -> "Proxy":
        for service in self.upstreams:
            self._servers[service] = front = _Front(self, service)
            threading.Thread(target=front.serve_forever, args=(0.1,), daemon=True).start()
        self._rewrites = [
            (f"http://{host}:{port}".encode(), self.url(service).encode())
            for service, (host, port) in self.upstreams.items()
        ]
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for rule in self._rules:
                rule.lifted.set()
        for front in self._servers.values():
            front.shutdown()
            front.server_close()

    def url(self, service: str) -> str:
        """Return the front's address."""
        return f"http://127.0.0.1:{self._servers[service].server_address[1]}"

    @contextlib.contextmanager
    def rule(self, rule: Rule) -> Iterator[Rule]:
        """Keep a rule in place for the length of the block."""
        with self._lock:
            self._rules.append(rule)
        try:
            yield rule
        finally:
            with self._lock:
                self._rules.remove(rule)
            rule.lifted.set()

    def revoke_tokens(self) -> int:
        """Revoke in Keystone all tokens that were handed out here, and let nobody use them.

        Services keep what they know of a token for minutes; the fronts do not.
        """
        with self._lock:
            tokens = [token for token in self._tokens if token not in self._revoked]
            self._revoked.update(tokens)
        for token in tokens:
            headers = {"X-Auth-Token": token, "X-Subject-Token": token}
            # It may have expired by itself, or Keystone may be away.
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.forward("keystone", "DELETE", TOKENS, headers, b"")
        return len(tokens)

    def decide(self, service: str, method: str, path: str, token: str) -> Rule | Effect | None:
        """Return what happens to a call: a rule, an effect of nobody's rule, or nothing."""
        with self._lock:
            if token in self._revoked and service != "keystone":
                self.refused += 1
                return Effect(401, {"error": {"message": "The request requires authentication."}})
            for rule in self._rules:
                if rule.meets(service, method, path, self._chance.random()):
                    rule.hits += 1
                    return rule
        return None

    def forward(
        self, service: str, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Make the call; raises OSError and HTTPException."""
        link = http.client.HTTPConnection(*self.upstreams[service], timeout=UPSTREAM_TIMEOUT_S)
        try:
            link.request(method, path, body or None, dict(headers))
            answer = link.getresponse()
            content, kept = answer.read(), answer.getheaders()
        finally:
            link.close()
        if service == "keystone" and method == "POST" and path.endswith(TOKENS):
            with self._lock:
                self._tokens.extend(v for k, v in kept if k.lower() == "x-subject-token")
        return answer.status, kept, content

    def rewrite(self, content: bytes) -> bytes:
        """Put the fronts' addresses into an answer."""
        for real, front in self._rewrites:
            content = content.replace(real, front)
        return content


class _Front(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: Proxy, service: str) -> None:
        self.proxy = proxy
        self.service = service
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that are killed in the middle of a call are what this is for."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Front

    def log_message(self, *_: object) -> None:
        pass

    def _any(self) -> None:
        proxy, service = self.server.proxy, self.server.service
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = proxy.decide(
            service, self.command, self.path, self.headers.get("X-Auth-Token") or ""
        )
        effect = found.effect if isinstance(found, Rule) else found
        if effect is not None and effect.hang_s:
            lifted = found.lifted if isinstance(found, Rule) else threading.Event()
            lifted.wait(effect.hang_s)
        if effect is not None and not effect.forwarded:
            self._answer_for(effect)
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP | {"host"}}
        try:
            status, kept, content = proxy.forward(service, self.command, self.path, headers, body)
        except (OSError, http.client.HTTPException):
            self._hang_up()
            return
        if isinstance(found, Rule) and found.then is not None:
            found.then()
        if effect is not None and not effect.answered:
            self._hang_up()
            return
        names = {k.lower() for k, _ in kept}
        rewritten = proxy.rewrite(content) if names else content
        self._write(status, [(k, v) for k, v in kept if k.lower() not in _HOP], rewritten)

    def _answer_for(self, effect: Effect) -> None:
        if not effect.answered:
            self._hang_up()
            return
        content = json.dumps(effect.body).encode()
        headers = [("Content-Type", "application/json"), *effect.headers.items()]
        self._write(effect.status, headers, content)

    def _hang_up(self) -> None:
        """End the connection without an answer."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _write(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    # Names that http.server looks for.
    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _any  # noqa: N815
