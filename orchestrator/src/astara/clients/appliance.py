"""The appliance's HTTP API: probe, observed interfaces, push of the desired document.

Decides nothing. Must never follow a proxy of the environment (appliances live on the management
network only) and never wait beyond the deadline it was given. Each call has a connection of its
own: kept ones would hold a thread of each appliance between polls. Plain ``http.client``, because
there is a call per appliance and health period. Called by ``instance`` only.

Errors are those of ``errors``, and those that only an appliance can give:

ServiceError
  ApplyFailed      it understood the document but could not apply it, and rolled back
  InvalidDocument  it refused the document: a bug on our side or another schema version
  StaleEpoch       it has taken a document from a later owner
"""

import dataclasses
import http.client
from typing import TypeVar

import msgspec

from astara_contract import document as contract
from astara_contract import errors as contract_errors
from astara_contract import status as observed

from .. import clock, metrics
from . import errors
from .rest import CallCount

T = TypeVar("T")

_MAX_ANSWER = 8 * 2**20
_CHUNK = 64 * 2**10


class ApplyFailed(errors.ServiceError):
    """The appliance could not apply the document; what ran before runs again."""


class InvalidDocument(errors.Rejected):
    """The appliance refused the document; the reason names the path."""


class StaleEpoch(errors.ServiceError):
    """The appliance has accepted a higher epoch; nothing was changed."""


class Pushed(msgspec.Struct, frozen=True):
    """The answer to a push: the digest of what the appliance runs now."""

    digest: str | None = None


class Committed(msgspec.Struct, frozen=True):
    """What an appliance runs: the document as it was committed, and its digest."""

    configuration: contract.Document | None = None
    digest: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Push:
    """A document on its way, and the epoch of its sender."""

    body: bytes
    epoch: int

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Astara-Epoch": str(self.epoch)}


class Appliances:
    """The calls to appliances; safe to share between threads."""

    def __init__(self, port: int, alive_timeout_s: float, config_timeout_s: float):
        self._port = port
        self._alive_timeout_s = alive_timeout_s
        self._config_timeout_s = config_timeout_s
        self.calls = CallCount()

    def status(self, address: str) -> observed.Status:
        """Probe an appliance: alive means that it answers this in time."""
        return self._ask("GET", address, "/v1/status", observed.Status, self._alive_timeout_s)

    def interfaces(self, address: str) -> tuple[observed.InterfaceState, ...]:
        """Read the NICs that the appliance sees, with their addresses."""
        path = "/v1/system/interfaces"
        body = self._ask("GET", address, path, observed.InterfacesBody, self._alive_timeout_s)
        return body.interfaces

    def committed(self, address: str) -> Committed:
        """Read the document that the appliance runs; it has none before its first push."""
        path = "/v1/system/config"
        return self._ask("GET", address, path, Committed, self._config_timeout_s)

    def configure(self, address: str, desired: contract.Document, epoch: int) -> Pushed:
        """Push the whole desired document and wait until it is applied."""
        push = _Push(contract.encode(desired), epoch)
        timeout_s = self._config_timeout_s
        return self._ask("PUT", address, "/v1/system/config", Pushed, timeout_s, push)

    def close(self) -> None:
        """Nothing is kept between calls."""

    def _ask(
        self,
        method: str,
        address: str,
        path: str,
        answer: type[T],
        timeout_s: float,
        push: _Push | None = None,
    ) -> T:
        operation = f"{method} {path} of {address}"
        self.calls.add(f"{method} {path}")
        kind = "configure" if push is not None else path.rpartition("/")[2]
        begin = clock.SYSTEM.monotonic()
        try:
            code, content = self._exchange(operation, method, address, path, timeout_s, push)
        except errors.Unavailable:
            metrics.APPLIANCE_SILENT.labels(kind).inc()
            raise
        metrics.APPLIANCE_SECONDS.labels(kind).observe(clock.SYSTEM.monotonic() - begin)
        if code >= 400:
            raise _refusal(operation, code, content)
        try:
            return msgspec.json.decode(content, type=answer)
        except msgspec.MsgspecError as error:
            raise errors.BadAnswer("appliance", operation, str(error), code) from error

    def _exchange(
        self,
        operation: str,
        method: str,
        address: str,
        path: str,
        timeout_s: float,
        push: _Push | None,
    ) -> tuple[int, bytes]:
        """Send and read within ``timeout_s`` in all; the timeouts of sockets are per packet."""
        deadline = clock.SYSTEM.monotonic() + timeout_s
        connect_s = min(timeout_s, self._alive_timeout_s)
        link = http.client.HTTPConnection(address, self._port, timeout=connect_s)
        try:
            link.connect()
            link.sock.settimeout(timeout_s)
            body, headers = (push.body, push.headers) if push is not None else (None, {})
            link.request(method, path, body, {**headers, "Connection": "close"})
            answer = link.getresponse()
            return answer.status, _read(operation, answer, deadline)
        except (OSError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"
            raise errors.Unavailable("appliance", operation, reason) from error
        finally:
            link.close()


def _read(operation: str, answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """Read the body, but neither longer than the deadline nor more than is sane."""
    content = bytearray()
    while chunk := answer.read1(_CHUNK):
        content += chunk
        if len(content) > _MAX_ANSWER:
            raise errors.BadAnswer("appliance", operation, f"more than {_MAX_ANSWER} bytes")
        if clock.SYSTEM.monotonic() > deadline:
            raise errors.Unavailable("appliance", operation, "answer took too long")
    if answer.length:
        raise http.client.IncompleteRead(bytes(content), answer.length)
    return bytes(content)


def _refusal(operation: str, code: int, content: bytes) -> errors.ServiceError:
    """Turn an error body of the contract into what the caller does about it."""
    try:
        detail = msgspec.json.decode(content, type=contract_errors.ErrorBody).error
    except msgspec.MsgspecError:
        reason = content[:300].decode(errors="replace")
        return errors.from_answer("appliance", operation, code, reason)
    if detail.code == "apply-failed":
        return ApplyFailed("appliance", operation, f"{detail.driver}: {detail.reason}", code)
    if detail.code == "stale-epoch":
        return StaleEpoch("appliance", operation, detail.reason, code)
    if detail.code in ("invalid-document", "unsupported-media-type", "too-large"):
        where = f"{detail.path}: " if detail.path else ""
        return InvalidDocument("appliance", operation, where + detail.reason, code)
    return errors.from_answer("appliance", operation, code, detail.reason)
