"""One OpenStack service behind keystoneauth: deadlines, retries of harmless calls, typed answers.

Decides how long a call may take and whether it may be repeated. Must never repeat a call that
creates something. Used by the Neutron and the Nova client only.

keystoneauth's Session is shared by the threads of a process (it locks its token); a token that
expired is renewed by it.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from keystoneauth1 import adapter, session
from keystoneauth1 import exceptions as ksa

from .. import clock, metrics, tracing
from . import errors

T = TypeVar("T")

_ID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")
_READING = frozenset({"GET", "HEAD"})
_HARMLESS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
# keystoneauth's own, even without a limit, sleeps until the wall clock is back where it was when
# the adapter was made: a clock that is set back by hours would stop every thread for hours.
_NO_LIMIT: contextlib.AbstractContextManager[None] = contextlib.nullcontext()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call may take and how often a harmless one is repeated.

    The pause before repetition n is ``pause_s * 2**n``, spread and cut to ``max_pause_s``, so that
    a restarted service is not met by all threads at the same moment.
    """

    timeout_s: float = 30.0
    repeats: int = 3
    pause_s: float = 0.3
    max_pause_s: float = 5.0

    def pauses(self) -> Iterator[float]:
        """Give the pauses between tries."""
        for attempt in range(self.repeats):
            pause = min(self.pause_s * 2**attempt, self.max_pause_s)
            yield min(clock.SYSTEM.jitter(pause), self.max_pause_s)


class CallCount:
    """Counts the calls of one client by what they do, for metrics and for the cost of a walk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, operation: str) -> None:
        """Count one call; ids are taken out, so that the number of keys stays small."""
        name = _ID.sub("*", operation)
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1

    def snapshot(self) -> dict[str, int]:
        """Return the counts so far."""
        with self._lock:
            return dict(self._counts)


class Service:
    """A thin REST client of one service of the catalogue."""

    def __init__(
        self,
        keystone: session.Session,
        *,
        service_type: str,
        endpoint: Mapping[str, Any],
        patience: Patience,
        microversion: str | None = None,
        sleep: Callable[[float], None] = clock.SYSTEM.sleep,
        read_only: bool = False,
    ):
        self._name = service_type
        self._patience = patience
        self._sleep = sleep
        self._read_only = read_only
        self.calls = CallCount()
        self._adapter = adapter.Adapter(
            keystone,
            service_type=service_type,
            default_microversion=microversion,
            connect_retries=0,
            status_code_retries=0,
            **endpoint,
        )

    def project_id(self) -> str:
        """Return the project that the credentials are scoped to."""
        try:
            return str(self._adapter.get_project_id())
        except ksa.ClientException as error:
            raise self._translate("authenticate", error) from error

    def get(self, path: str, answer: type[T], params: Mapping[str, Any] | None = None) -> T:
        """Read ``path`` and decode the answer as ``answer``."""
        return self._decode(f"GET {path}", self.call("GET", path, params=params), answer)

    def send(self, method: str, path: str, body: Any, answer: type[T]) -> T:
        """Send ``body`` and decode the answer as ``answer``."""
        return self._decode(f"{method} {path}", self.call(method, path, body=body), answer)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Make one call, repeat it when that is harmless and useful, return the raw answer."""
        if self._read_only and method not in _READING:
            raise errors.NotSent(self._name, f"{method} {path}", body)
        pauses = self._patience.pauses() if method in _HARMLESS else iter(())
        while True:
            try:
                return self._once(method, path, body, params)
            except errors.Unavailable as error:
                pause = next(pauses, None)
                if pause is None:
                    raise
                wanted = error.retry_after_s or pause
                self._sleep(min(wanted, self._patience.max_pause_s))

    def _once(self, method: str, path: str, body: Any, params: Mapping[str, Any] | None) -> bytes:
        with tracing.span(f"{method} {self._name}", call=True, path=path.partition("?")[0]):
            return self._send(method, path, body, params)

    def _send(self, method: str, path: str, body: Any, params: Mapping[str, Any] | None) -> bytes:
        operation = f"{method} {path}"
        self.calls.add(operation)
        begin = clock.SYSTEM.monotonic()
        try:
            answer = self._adapter.request(
                path,
                method,
                json=body,
                params=params,
                raise_exc=False,
                timeout=self._patience.timeout_s,
                headers=_headers(),
                rate_semaphore=_NO_LIMIT,
            )
        except ksa.ClientException as error:
            metrics.SERVICE_FAILURES.labels(self._name).inc()
            raise self._translate(operation, error) from error
        tracing.note(status=answer.status_code)
        code = f"{answer.status_code // 100}xx"
        metrics.SERVICE_SECONDS.labels(self._name, method, code).observe(
            clock.SYSTEM.monotonic() - begin
        )
        if answer.status_code < 400:
            return bytes(answer.content)
        raise errors.from_answer(
            self._name,
            operation,
            answer.status_code,
            _reason(answer.content),
            answer.headers.get("Retry-After"),
        )

    def _translate(self, operation: str, error: ksa.ClientException) -> errors.ServiceError:
        """Say what a failure below the HTTP answer means to the caller."""
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, ksa.HttpError):
            return errors.from_answer(self._name, operation, error.http_status or 500, reason)
        if isinstance(error, ksa.ConnectTimeout):
            return errors.TimedOut(self._name, operation, reason)
        if isinstance(error, ksa.ConnectionError | ksa.RetriableConnectionFailure):
            return errors.Unavailable(self._name, operation, reason)
        if isinstance(error, ksa.AuthorizationFailure):
            return errors.Denied(self._name, operation, reason)
        if isinstance(error, ksa.DiscoveryFailure):
            return errors.Unavailable(self._name, operation, reason)
        return errors.NeedsOperator(self._name, operation, reason)

    def _decode(self, operation: str, content: bytes, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=answer)
        except msgspec.MsgspecError as error:
            raise errors.BadAnswer(self._name, operation, str(error)) from error


def _headers() -> dict[str, str]:
    """Name the trace as OpenStack's services do, so that their logs can be searched for it."""
    traced = tracing.request_id()
    named = {"X-OpenStack-Request-ID": traced} if traced else {}
    return {"Accept": "application/json", **named, **tracing.headers()}


def _reason(content: bytes) -> str:
    """Find the sentence in an error body: Neutron and Nova wrap it in one key of many names."""
    try:
        body = msgspec.json.decode(content)
    except msgspec.MsgspecError:
        return content[:300].decode(errors="replace")
    if not isinstance(body, dict) or not body:
        return str(body)[:300]
    inner = next(iter(body.values()))
    if isinstance(inner, dict):
        kind = inner.get("type", "")
        message = inner.get("message", inner)
        return f"{kind}: {message}" if kind else str(message)
    return str(inner)
