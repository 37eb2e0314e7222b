"""One metadata request: who asks, is it proven, what does Nova say.

Decides who gets an answer. Must never forward a request whose signature or ownership is not
proven, and never answer with an error that tells a guest more than its status. Called by the
server from a thread per request.
"""

import http.client
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from astara_contract import metadata as contract

from .. import clock
from ..clients import errors
from ..clients.nova_metadata import FORWARDED, Caller, MetadataApi, MetadataRequest
from .ownership import Ownership


class Headers(Protocol):
    """The headers of a request, whose names have no case."""

    def get(self, name: str, /) -> str | None:
        """Return the first value of a header."""


class Refused(Exception):  # named for what happened
    """The request gets an error; ``reason`` is for the log, the guest sees the status alone."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Proxy:
    """Proves claims and forwards what is proven."""

    secret: str
    ownership: Ownership
    nova: MetadataApi
    max_skew_s: float = 300.0
    timeless: bool = True
    """Whether claims without a time are taken."""

    wall: Callable[[], float] = clock.SYSTEM.wall

    def forward(
        self, method: str, path: str, headers: Headers, body: bytes
    ) -> AbstractContextManager[http.client.HTTPResponse]:
        """Give Nova's answer for a proven request; raise Refused for any other."""
        claim = read_claim(headers, contract.bound(method, path))
        self._prove(claim, _required(headers, contract.SIGNATURE_HEADER))
        caller = Caller(claim.instance_id, claim.tenant_id, claim.client)
        request = MetadataRequest(method, path, _guest_headers(headers), body)
        return self.nova.ask(caller, request)

    def _prove(self, claim: contract.Claim, signature: str) -> None:
        key = contract.derive_key(self.secret, claim.router_id)
        if not contract.verify(signature, key, claim):
            raise Refused(403, f"bad signature for router {claim.router_id}")
        self._check_time(claim)
        try:
            proven = self.ownership.confirms(claim.router_id, claim.instance_id, claim.tenant_id)
        except errors.ServiceError as error:
            raise Refused(502, f"cannot ask Neutron: {error}") from error
        if not proven:
            reason = f"instance {claim.instance_id} is not behind router {claim.router_id}"
            raise Refused(404, reason)

    def _check_time(self, claim: contract.Claim) -> None:
        if not claim.at:
            if self.timeless:
                return
            raise Refused(403, f"signature without a time for router {claim.router_id}")
        try:
            skew_s = contract.skew_s(claim.at, self.wall())
        except ValueError as error:
            raise Refused(403, str(error)) from error
        if abs(skew_s) > self.max_skew_s:
            raise Refused(
                403,
                f"signed {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'ago'} for router "
                f"{claim.router_id}: replayed, or a clock is wrong (metadata_max_skew)",
            )


def read_claim(headers: Headers, request: str) -> contract.Claim:
    """Read the claim for `request`; what is missing or is not an id makes it worthless."""
    router_id = _required(headers, contract.ROUTER_HEADER)
    instance_id = _required(headers, contract.INSTANCE_HEADER)
    for value in (router_id, instance_id):
        _check_id(value)
    return contract.Claim(
        router_id=router_id,
        instance_id=instance_id,
        tenant_id=_required(headers, contract.TENANT_HEADER),
        client=_required(headers, contract.CLIENT_HEADER),
        at=headers.get(contract.TIME_HEADER) or "",
        request=request,
    )


def _required(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if not value:
        status = 404 if name == contract.INSTANCE_HEADER else 403
        raise Refused(status, f"no {name}")
    return value


def _check_id(value: str) -> None:
    """Let nothing but a UUID get into a path of Neutron's API or into the signature for Nova."""
    try:
        canonical = str(uuid.UUID(value))
    except ValueError:
        canonical = ""
    if value != canonical:
        raise Refused(403, "an id is not a UUID")


def _guest_headers(headers: Headers) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name in FORWARDED:
        value = headers.get(name)
        if value:
            found[name] = value
    return found


Forward = Callable[[str, str, Headers, bytes], AbstractContextManager[http.client.HTTPResponse]]
