"""The appliance's HTTP API: probe, observed interfaces, push of the desired document.

Decides nothing. Must never follow a proxy of the environment (appliances live on the management
network only) and never wait beyond the deadline it was given. Each call has a connection of its
own (`wire`), but for a push, which takes that of its walk's probe (`links`). With a ``trust`` it
speaks TLS 1.3 and checks that it is the one true appliance of the router that answers. Called by
``instance`` only.

Errors are those of ``errors``, and those that only an appliance can give:

ServiceError
  ApplyFailed      it understood the document but could not apply it, and rolled back
  InvalidDocument  it refused the document: a bug on our side or another schema version
    UnknownKey     ... because its release is older than a key
  StaleEpoch       it has taken a document from a later owner
"""

import contextlib
import dataclasses
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from astara_contract import document as contract
from astara_contract import errors as contract_errors
from astara_contract import metadata, stats, tls
from astara_contract import status as observed

from .. import clock, metrics, tracing
from . import errors, links, wire
from .rest import CallCount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..pki.trust import Trust, Way

T = TypeVar("T")

_STATUS = "/v1/status"


class ApplyFailed(errors.ServiceError):
    """The appliance could not apply the document; what ran before runs again."""


class InvalidDocument(errors.Rejected):
    """The appliance refused the document; the reason names the path."""


class UnknownKey(InvalidDocument):
    """The appliance is of an older release, which does not know a key of the document."""


class StaleEpoch(errors.ServiceError):
    """The appliance has accepted a higher epoch; nothing was changed."""


class Pushed(msgspec.Struct, frozen=True):
    """The answer to a push: the digest of what the appliance runs now."""

    digest: str | None = None


class Committed(msgspec.Struct, frozen=True):
    """What an appliance runs: the document as it was committed, and its digest.

    An appliance of a later release may tell keys that this one does not know: `unknown` has their
    paths.
    """

    configuration: contract.Document | None = None
    digest: str | None = None
    unknown: tuple[str, ...] = ()


class _Told(msgspec.Struct, frozen=True):
    configuration: dict[str, Any] | None = None
    digest: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Push:
    """A document on its way, and the epoch of its sender."""

    body: bytes
    epoch: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        epoch = {} if self.epoch is None else {"Astara-Epoch": str(self.epoch)}
        # What is sent need not come back (RFC 7240): it may be a document of a megabyte.
        return {"Content-Type": "application/json", "Prefer": "return=minimal", **epoch}


@dataclasses.dataclass(frozen=True, slots=True)
class _Call:
    """What to ask whom; `router_id` tells which certificate is the right one."""

    method: str
    address: str
    path: str
    router_id: str
    timeout_s: float
    push: _Push | None = None
    more: bool = False  # whether another call is likely to follow at once

    @property
    def operation(self) -> str:
        return f"{self.method} {self.path} of {self.address}"


class Appliances:
    """The calls to appliances; safe to share between threads."""

    def __init__(
        self,
        port: int,
        alive_timeout_s: float,
        config_timeout_s: float,
        trust: "Trust | None" = None,
        metadata_upstream: str = "",
    ):
        self._port = port
        self.trust = trust
        self._probing = {metadata.UPSTREAM_HEADER: metadata_upstream} if metadata_upstream else {}
        self._alive_timeout_s = alive_timeout_s
        self._config_timeout_s = config_timeout_s
        self._links = links.Links()
        self.calls = CallCount()

    def status(self, address: str, router_id: str = "", *, more: bool = False) -> observed.Status:
        """Probe an appliance: alive means that it answers this in time.

        A client that was given an upstream tells it, so only who serves the appliance has one.
        With `more` the connection waits for a moment for what follows, until `release`.
        """
        call = _Call("GET", address, _STATUS, router_id, self._alive_timeout_s, more=more)
        return self._ask(call, observed.Status)

    def interfaces(self, address: str, router_id: str = "") -> tuple[observed.InterfaceState, ...]:
        """Read the NICs that the appliance sees, with their addresses."""
        path = "/v1/system/interfaces"
        call = _Call("GET", address, path, router_id, self._alive_timeout_s)
        return self._ask(call, observed.InterfacesBody).interfaces

    def committed(self, address: str, router_id: str = "") -> Committed:
        """Read the document that the appliance runs; it has none before its first push."""
        path = "/v1/system/config"
        call = _Call("GET", address, path, router_id, self._config_timeout_s)
        told = self._ask(call, _Told)
        if told.configuration is None:
            return Committed(digest=told.digest)
        try:
            document, unknown = contract.parse_of_newer(told.configuration)
        except contract_errors.ContractError as error:
            raise errors.BadAnswer("appliance", call.operation, str(error)) from error
        return Committed(document, told.digest, unknown)

    def stats(self, address: str, router_id: str = "") -> stats.Stats:
        """Read the traffic counters; raises `NotFound` where the appliance has none to show."""
        path = "/v1/system/stats"
        call = _Call("GET", address, path, router_id, self._alive_timeout_s)
        return self._ask(call, stats.Stats)

    def configure(self, address: str, desired: bytes, epoch: int, router_id: str = "") -> Pushed:
        """Push the whole document, as the contract encodes it; wait until it is applied."""
        push = _Push(desired, epoch)
        path = "/v1/system/config"
        return self._ask(
            _Call("PUT", address, path, router_id, self._config_timeout_s, push), Pushed
        )

    def renew(self, address: str, bundle: tls.Bundle, router_id: str) -> tls.Shown:
        """Give an appliance its next certificate."""
        push = _Push(msgspec.json.encode(bundle))
        path = "/v1/system/tls"
        return self._ask(
            _Call("PUT", address, path, router_id, self._alive_timeout_s, push), tls.Shown
        )

    def release(self, router_id: str) -> None:
        """Close what waits for a call to a router's appliance that has not followed."""
        self._links.release(router_id)

    def hand_over(self, address: str, router_id: str = "") -> observed.RoleState:
        """Have the master of a pair hand the router over; tells the role afterwards.

        The appliance answers when the other one was heard, which takes milliseconds.
        """
        push = _Push(msgspec.json.encode(observed.RoleBody(role="backup")))
        path = "/v1/system/role"
        return self._ask(
            _Call("PUT", address, path, router_id, self._config_timeout_s, push),
            observed.RoleState,
        )

    def close(self) -> None:
        """Close what is kept between calls."""
        self._links.close()

    def _ask(self, call: _Call, answer: type[T]) -> T:
        self.calls.add(f"{call.method} {call.path}")
        last = call.path.rpartition("/")[2]
        kind = "configure" if call.method == "PUT" and last == "config" else last
        begin = clock.SYSTEM.monotonic()
        try:
            with tracing.span(f"{kind} appliance", call=True, address=call.address):
                code, content = self._exchange(call)
                tracing.note(status=code)
        except errors.Unavailable:
            metrics.APPLIANCE_SILENT.labels(kind).inc()
            raise
        metrics.APPLIANCE_SECONDS.labels(kind).observe(clock.SYSTEM.monotonic() - begin)
        if code >= 400:
            raise _refusal(call.operation, code, content)
        try:
            return msgspec.json.decode(content, type=answer)
        except msgspec.MsgspecError as error:
            raise errors.BadAnswer("appliance", call.operation, str(error), code) from error

    def _exchange(self, call: _Call) -> tuple[int, bytes]:
        """Send and read within the call's time in all; the timeouts of sockets are per packet.

        What TLS refused was not processed, so the next way may be tried. All calls may be made
        twice, so one that found its kept connection broken is made anew.
        """
        deadline = clock.SYSTEM.monotonic() + call.timeout_s
        reason = "no way to it"
        try:
            kept = self._links.take(call.router_id, call.address)
            if kept is not None:
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    return self._talk(kept, call, deadline)
            for way in self._ways(call):
                try:
                    return self._exchange_by(way, call, deadline)
                except (ssl.SSLError, ConnectionResetError) as error:
                    if way is None or way.context is None:
                        raise
                    reason = f"{type(error).__name__}: {error}"
                if clock.SYSTEM.monotonic() > deadline:
                    break
        except (OSError, wire.GarbledError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise errors.Unavailable("appliance", call.operation, reason) from error
        raise errors.Unavailable("appliance", call.operation, reason)

    def _ways(self, call: _Call) -> "Iterator[Way | None]":
        return iter((None,)) if self.trust is None else self.trust.ways(call.router_id)

    def _exchange_by(self, way: "Way | None", call: _Call, deadline: float) -> tuple[int, bytes]:
        connect_s = min(call.timeout_s, self._alive_timeout_s)
        link = wire.Wire(call.address, self._port, connect_s)
        try:
            if way is not None and way.context is not None and self.trust is not None:
                self.trust.seen(call.router_id, way, link.secure(way.context, way.name))
        except BaseException:
            link.close()
            raise
        return self._talk(link, call, deadline)

    def _talk(self, link: wire.Wire, call: _Call, deadline: float) -> tuple[int, bytes]:
        """Send and read on an open connection; afterwards it is kept or closed."""
        push = call.push
        headers = dict(push.headers) if push is not None else {}
        if call.path == _STATUS:
            headers |= self._probing
        if not call.more:
            headers["Connection"] = "close"
        headers |= tracing.headers()
        body = push.body if push is not None else None
        answer = None
        try:
            answer = link.ask(call.method, call.path, headers, body, call.timeout_s, deadline)
        except wire.TooLongError as error:
            raise errors.BadAnswer("appliance", call.operation, str(error)) from error
        finally:
            if answer is not None and answer.lasts and call.more:
                self._links.keep(call.router_id, call.address, link)
            else:
                link.close()
        return answer.status, answer.content


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
        older = detail.path and detail.reason == contract_errors.UNKNOWN_KEY
        return (UnknownKey if older else InvalidDocument)(
            "appliance", operation, where + detail.reason, code
        )
    return errors.from_answer("appliance", operation, code, detail.reason)
