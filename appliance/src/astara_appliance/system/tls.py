"""The certificate with which the agent serves, and whom it lets in.

Decides that a client must show a certificate for asking (EKU clientAuth), which no appliance has,
signed by an authority that it trusts; and what a wrong clock means: while our own certificate is
not valid by our clock, either the clock is wrong or renewals were missed, so times of others
cannot be judged by it and are not. Everything else is checked always. The bundle lies in the run
directory (memory of a real appliance), readable by root alone, and is never logged; after a reboot
the one of the config drive is back, and the orchestrator renews it. Called by the agent, by
astara-configure-management and by the API.
"""

import os
import pathlib
import ssl
import threading

import msgspec

from astara_contract import tls as contract

from .. import clock
from . import files

BUNDLE_FILE = "tls/bundle.json"
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python has no name for


class BundleError(Exception):
    """The bundle cannot be used; the text says why, without the key."""


class Gatekeeper:
    """Holds the context of the bundle that counts; a new one is for the next connections."""

    def __init__(self, run_dir: pathlib.Path, bundle: contract.Bundle | None) -> None:
        self._run_dir = run_dir
        self._lock = threading.Lock()
        self._bundle = bundle
        self._context = None if bundle is None else context_of(bundle)

    @property
    def shown(self) -> contract.Shown:
        """What is told about the certificate."""
        bundle = self._bundle
        if bundle is None:
            return contract.Shown(tls=False)
        return contract.Shown(
            tls=True, name=bundle.name, not_before=bundle.not_before, not_after=bundle.not_after
        )

    def replace(self, bundle: contract.Bundle) -> contract.Shown:
        """Serve new connections with another bundle; raise BundleError if it is not for us."""
        with self._lock:
            if self._bundle is None:
                raise BundleError("booted without a certificate: plaintext until a rebuild")
            if bundle.name != self._bundle.name:
                raise BundleError("the bundle is for another appliance")
            made = context_of(bundle)
            save(self._run_dir, bundle)
            self._bundle, self._context = bundle, made
        return self.shown

    def context(self) -> ssl.SSLContext:
        """Return the context for a connection that begins now."""
        with self._lock:
            if self._context is None or self._bundle is None:
                raise BundleError("there is no certificate")
            now = clock.wall()
            judge = self._bundle.not_before <= now <= self._bundle.not_after
            flags = self._context.verify_flags
            wanted = flags & ~_NO_CHECK_TIME if judge else flags | _NO_CHECK_TIME
            self._context.verify_flags = ssl.VerifyFlags(wanted)
            return self._context


def context_of(bundle: contract.Bundle) -> ssl.SSLContext:
    """Make the server's context: TLS 1.3, a client certificate is a must."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    # Every call is a connection of its own and checked whole: a ticket would outlive a revocation.
    made.num_tickets = 0
    handle = os.memfd_create("astara-tls", os.MFD_CLOEXEC)
    try:
        os.write(handle, (bundle.certificate + bundle.key).encode())
        made.load_cert_chain(f"/proc/self/fd/{handle}")
        made.load_verify_locations(cadata=bundle.authorities)
    except (ssl.SSLError, ValueError) as error:
        raise BundleError(f"certificate, key or authorities do not load: {error}") from error
    finally:
        os.close(handle)
    return made


def load(run_dir: pathlib.Path) -> contract.Bundle | None:
    """Return the bundle that was saved since the boot, None without one (or a damaged one)."""
    text = files.read_file(run_dir / BUNDLE_FILE)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=contract.Bundle)
    except msgspec.MsgspecError:
        return None


def save(run_dir: pathlib.Path, bundle: contract.Bundle) -> None:
    """Keep a bundle until the next boot."""
    path = run_dir / BUNDLE_FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    files.write_file(path, msgspec.json.encode(bundle).decode(), 0o600)
