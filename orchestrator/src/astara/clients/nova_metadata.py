"""Nova's metadata API, asked on behalf of an instance whose identity was proven.

Decides nothing. Must never pass on a header of the guest that Nova would take for a proof of
identity: only those listed here travel. Called by ``metadata`` alone.
"""

import hashlib
import hmac
import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from . import errors

FORWARDED = ("Accept", "Content-Type", "User-Agent")


@dataclass(frozen=True, slots=True)
class Caller:
    """The instance that asks, and the address it asks from."""

    instance_id: str
    tenant_id: str
    address: str


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """What the guest asks: method, path with query, and the headers that may travel."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class MetadataApi:
    """Where Nova's metadata API is, and the secret that it shares with us."""

    host: str
    port: int
    secret: str
    timeout_s: float = 30.0

    @contextmanager
    def ask(self, caller: Caller, request: MetadataRequest) -> Iterator[http.client.HTTPResponse]:
        """Send the request and give the answer, whatever its status, to be read piecemeal.

        Raises ``errors.Unavailable``; its ``status`` is 504 if Nova took too long, else 502.
        """
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)
        operation = f"{request.method} metadata of {caller.instance_id}"
        try:
            headers = self._headers(caller, request.headers)
            connection.request(request.method, request.path, request.body or None, headers)
            yield connection.getresponse()
        except TimeoutError as error:
            raise errors.Unavailable("compute", operation, str(error), 504) from error
        except (OSError, http.client.HTTPException) as error:
            raise errors.Unavailable("compute", operation, str(error), 502) from error
        finally:
            connection.close()

    def _headers(self, caller: Caller, guest: Mapping[str, str]) -> dict[str, str]:
        """Sign for Nova, which trusts whoever knows the secret."""
        signature = hmac.digest(self.secret.encode(), caller.instance_id.encode(), hashlib.sha256)
        return {
            **{name: guest[name] for name in FORWARDED if name in guest},
            "X-Forwarded-For": caller.address,
            "X-Instance-ID": caller.instance_id,
            "X-Tenant-ID": caller.tenant_id,
            "X-Instance-ID-Signature": signature.hex(),
            "Connection": "close",
        }
