"""How an appliance proves on whose behalf it asks for metadata.

The headers between the appliance's metadata proxy and the orchestrator's, and the signature that
binds them together; pure. Used by both proxies, which must never disagree about a byte of it.

A signature is for one request (method and path) at one time. Those of the release before bound
neither, and come without TIME_HEADER; whoever verifies decides whether it takes them. A signature
with a time is none without it, so nobody can make an old one of a new one. Who verifies is of the
same release or a newer one than who signs: orchestrators are upgraded before appliances.
"""

import dataclasses
import hashlib
import hmac
import ipaddress

INSTANCE_HEADER = "X-Instance-ID"
TENANT_HEADER = "X-Tenant-ID"
ROUTER_HEADER = "X-Astara-Router-ID"
CLIENT_HEADER = "X-Forwarded-For"
SIGNATURE_HEADER = "X-Astara-Signature"
TIME_HEADER = "X-Astara-Time"
"""When the request was signed: whole seconds since 1970."""

_LONGEST_TIME = 12

UPSTREAM_HEADER = "Astara-Metadata"
"""In a probe of `/v1/status`: where metadata requests go from now on, "address port".

Whoever watches an appliance tells so, and an appliance that another node takes over is probed at
once: no push is needed, and no document names a node.
"""


def parse_upstream(text: str) -> tuple[str, int]:
    """Return address and port of an upstream header; ValueError if it holds none."""
    address, _, port = text.partition(" ")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"expected an address and a port, not {text!r}")
    return str(ipaddress.ip_address(address)), int(port)


def derive_key(secret: str, router_id: str) -> str:
    """Return the key (64 hex digits) with which the appliance of one router signs.

    It is derived, so that an appliance that is taken over cannot speak for another router.
    """
    return hmac.digest(secret.encode(), f"metadata:{router_id}".encode(), hashlib.sha256).hex()


def bound(method: str, target: str) -> str:
    """Return what is signed of a request line. Servers may make one slash of several at the
    beginning of a target.
    """
    return f"{method} /{target.lstrip('/')}"


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """On whose behalf an appliance asks, and what."""

    router_id: str
    instance_id: str
    tenant_id: str
    client: str
    """The address of the VM."""

    at: str = ""
    """The value of the time header; empty as the release before signed, and `request` is then."""

    request: str = ""
    """What `bound` returns."""


def sign(key: str, claim: Claim) -> str:
    """Return the signature (64 hex digits) of one request; `key` as `derive_key` gives it."""
    parts = [claim.router_id, claim.instance_id, claim.tenant_id, claim.client]
    if claim.at:
        parts += [claim.at, claim.request]
    return hmac.digest(bytes.fromhex(key), "\n".join(parts).encode(), hashlib.sha256).hex()


def verify(signature: str, key: str, claim: Claim) -> bool:
    """Say whether `signature` is right, in a time that does not tell how wrong it is."""
    return hmac.compare_digest(sign(key, claim).encode(), signature.encode(errors="replace"))


def signed_headers(key: str, claim: Claim) -> dict[str, str]:
    """Return the headers that make and prove a claim."""
    headers = {
        ROUTER_HEADER: claim.router_id,
        INSTANCE_HEADER: claim.instance_id,
        TENANT_HEADER: claim.tenant_id,
        CLIENT_HEADER: claim.client,
        SIGNATURE_HEADER: sign(key, claim),
    }
    return headers | ({TIME_HEADER: claim.at} if claim.at else {})


def skew_s(at: str, now: float) -> float:
    """Return how many seconds `at`, a time header, is ahead of `now`; ValueError if it is none."""
    if not (at.isascii() and at.isdigit() and len(at) <= _LONGEST_TIME):
        raise ValueError(f"expected seconds since 1970, not {at[:32]!r}")
    return int(at) - now
