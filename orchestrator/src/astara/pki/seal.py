"""Close private keys with the secret of the configuration, before they go to the database.

AES-256-GCM (NIST SP 800-38D) under a key drawn from the secret by HKDF (RFC 5869). Decides
nothing; must never log. Called by `trust` and `cmd.pki`.
"""

import base64
import os

from cryptography import exceptions
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import aead
from cryptography.hazmat.primitives.kdf import hkdf

from ..store import errors

_NONCE_BYTES = 12


class WrongSecret(errors.StoreError):
    """The secret is not the one with which the key was closed, or the key was changed."""


def close(secret: str, text: bytes, about: str) -> str:
    """Return `text` closed; it opens only together with the same `about`."""
    nonce = os.urandom(_NONCE_BYTES)
    closed = _cipher(secret).encrypt(nonce, text, about.encode())
    return base64.b64encode(nonce + closed).decode()


def open_(secret: str, closed: str, about: str) -> bytes:
    """Return what was closed; raise WrongSecret if this is not possible."""
    raw = base64.b64decode(closed)
    try:
        return _cipher(secret).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], about.encode())
    except exceptions.InvalidTag as error:
        raise WrongSecret(
            f"the key of {about} does not open: [tls] secret (or, without it, "
            "metadata_proxy_shared_secret) must be the same on all nodes"
        ) from error


def _cipher(secret: str) -> aead.AESGCM:
    derived = hkdf.HKDF(hashes.SHA256(), 32, salt=None, info=b"astara authority key v1")
    return aead.AESGCM(derived.derive(secret.encode()))
