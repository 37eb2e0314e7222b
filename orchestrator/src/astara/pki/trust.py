"""Which certificate an appliance must show, what we show it, and what it is given.

Decides by what is in the database: the newest authority signs, all are trusted, and each router
has one true appliance, whose identity is part of the name it is checked for. Contexts are kept:
making one costs more than a handshake. Must never write a key to a disk nor log one. One per
process, shared by its threads; called by `clients.appliance` (contexts) and by `instance`
(bundles).
"""

import calendar
import dataclasses
import datetime
import logging
import os
import secrets
import ssl
import threading
from collections.abc import Iterator
from typing import Any

from astara_contract import tls as contract

from .. import clock, store
from ..store.certificates import Certificates, Identity, StoredAuthority
from . import authority, seal

LOG = logging.getLogger(__name__)

_READ_AGAIN_S = 60.0
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python has no name for
_RACES = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The values of the configuration."""

    secret: str
    certificate_lifetime_s: int
    renewal_grace_s: int
    authority_lifetime_s: int
    accept_plaintext: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """One way to speak to an appliance; without a context it is plaintext."""

    context: ssl.SSLContext | None
    name: str = ""
    late: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class _Signer:
    """An authority with our own certificate of it."""

    own: authority.Authority
    context: ssl.SSLContext
    late: ssl.SSLContext
    renew_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate is good, in seconds since 1970."""

    begins: float
    ends: float


@dataclasses.dataclass(frozen=True, slots=True)
class Census:
    """What is known of certificates in use, without asking anybody."""

    authorities: dict[int, Validity]
    shown: dict[str, Validity]  # by router, what its appliance showed last
    due: frozenset[str]  # routers whose appliance should get another


class NoCertificate(ConnectionError):
    """The appliance was booted without a certificate and plaintext is not allowed."""


class Trust:
    """See the module. Methods raise `store.StoreError` and `seal.WrongSecret`."""

    def __init__(
        self,
        certificates: Certificates,
        settings: Settings,
        time_of: clock.SystemClock = clock.SYSTEM,
    ) -> None:
        self._stored = certificates
        self._settings = settings
        self._clock = time_of
        self._lock = threading.Lock()
        self._signers: tuple[_Signer, ...] = ()
        self._read_at = 0.0
        self._known: dict[str, Identity] = {}
        self._all_read = False
        self._due: set[str] = set()
        self._shown: dict[str, Validity] = {}

    def ways(self, router_id: str) -> Iterator[Way]:
        """Give the ways to an appliance in the order in which to try them.

        The next one is for when TLS failed by the one before.
        """
        known = self._identity(router_id)
        if known is None:
            yield self._plaintext(router_id)
            return
        tried = self._by_preference(known)
        name = contract.server_name(router_id, known.identity)
        for signer in tried:
            yield Way(signer.context, name)
        # Somebody else may have rebuilt the appliance or added an authority since we looked.
        self.forget(router_id)
        fresh = self._identity(router_id)
        if fresh is None:
            yield self._plaintext(router_id)
            return
        name = contract.server_name(router_id, fresh.identity)
        again = self._by_preference(fresh)
        if fresh != known or again != tried:
            for signer in again:
                yield Way(signer.context, name)
        for signer in again:
            yield Way(signer.late, name, late=True)

    def seen(self, router_id: str, way: Way, shown: Any) -> None:
        """Look at the certificate that an appliance has shown (as `getpeercert` gives it).

        Raises `ssl.SSLError` for one that ended longer ago than the grace.
        """
        now = self._clock.wall()
        begins, ends = (_seconds(shown[key]) for key in ("notBefore", "notAfter"))
        if way.late:
            if now > ends + self._settings.renewal_grace_s:
                raise ssl.SSLError(f"the certificate ended {now - ends:.0f} s ago, beyond grace")
            LOG.warning("certificate.late router=%s ended=%d", router_id, ends)
        self._shown[router_id] = Validity(begins, ends)
        newest = self._signers[-1].own.certificate.subject
        by_newest = _common_name(shown["issuer"]) == newest.rfc4514_string().removeprefix("CN=")
        if way.late or not by_newest or now > (begins + ends) / 2:
            self._due.add(router_id)

    def due(self, router_id: str) -> bool:
        """Say whether the appliance should be given a new certificate."""
        return router_id in self._due

    def first(self, router_id: str) -> contract.Bundle:
        """Make a bundle for a new appliance; the one before is revoked by that."""
        return self._issue(router_id, secrets.token_hex(8))

    def next(self, router_id: str) -> contract.Bundle:
        """Make the next bundle for the same appliance."""
        known = self._identity(router_id)
        if known is None:
            raise NoCertificate(f"router {router_id} has no appliance with a certificate")
        return self._issue(router_id, known.identity)

    def renewed(self, router_id: str) -> None:
        """Note that the appliance has taken its next bundle."""
        self._due.discard(router_id)

    def forget(self, router_id: str) -> None:
        """Forget what was read about a router, and read the authorities again."""
        with self._lock:
            self._known.pop(router_id, None)
            self._read_at = 0.0

    def end(self, router_id: str) -> None:
        """Revoke the appliance of a router that is gone."""
        self._stored.forget_identity(router_id)
        self.drop(router_id)
        self.forget(router_id)

    def drop(self, router_id: str) -> None:
        """Count an appliance no longer: it is gone, or another node's."""
        self._due.discard(router_id)
        self._shown.pop(router_id, None)

    def census(self) -> Census:
        """Tell what is known; from any thread."""
        return Census(
            authorities={
                signer.own.number: Validity(
                    signer.own.certificate.not_valid_before_utc.timestamp(),
                    signer.own.certificate.not_valid_after_utc.timestamp(),
                )
                for signer in self._signers
            },
            shown=self._shown.copy(),
            due=frozenset(self._due.copy()),
        )

    def client(self) -> tuple[authority.Pair, str]:
        """Make a certificate of our own and name all that we trust; for tools by hand."""
        signers = self._live()
        return self._own_pair(signers[-1].own), _trusted(signers)

    def _plaintext(self, router_id: str) -> Way:
        if not self._settings.accept_plaintext:
            raise NoCertificate(
                f"the appliance of router {router_id} was booted without a certificate: rebuild "
                "it, or set [tls] accept_plaintext for a while"
            )
        return Way(None)

    def _issue(self, router_id: str, identity: str) -> contract.Bundle:
        signers = self._live()
        newest = signers[-1].own
        name = contract.server_name(router_id, identity)
        pair = self._pair(newest, authority.Role.APPLIANCE, name)
        known = Identity(router_id, identity, newest.number)
        self._stored.put_identity(known)
        with self._lock:
            self._known[router_id] = known
        return contract.Bundle(
            name=name,
            certificate=pair.certificate,
            key=pair.key,
            authorities=_trusted(signers),
            not_before=pair.not_before,
            not_after=pair.not_after,
        )

    def _identity(self, router_id: str) -> Identity | None:
        with self._lock:
            if not self._all_read:  # at a start that of every router is needed: one query
                self._known = {each.resource_id: each for each in self._stored.identities()}
                self._all_read = True
            known = self._known.get(router_id)
        if known is None:
            known = self._stored.identity(router_id)
            if known is not None:
                with self._lock:
                    self._known[router_id] = known
        return known

    def _by_preference(self, known: Identity) -> list[_Signer]:
        """The authority that the appliance got last is one that it trusts for sure."""
        own = known.authority
        return sorted(self._live(), key=lambda each: (each.own.number != own, -each.own.number))

    def _live(self) -> tuple[_Signer, ...]:
        """Give the authorities with contexts, oldest first; made if there is none yet."""
        with self._lock:
            now = self._clock.wall()
            stale = self._clock.monotonic() - self._read_at > _READ_AGAIN_S or not self._signers
            old = any(signer.renew_at < now for signer in self._signers)
            if stale or old:
                found = self._stored_or_made()
                numbers = [each.number for each in found]
                if old or numbers != [signer.own.number for signer in self._signers]:
                    self._signers = self._open(found)
                self._read_at = self._clock.monotonic()
            return self._signers

    def _stored_or_made(self) -> tuple[StoredAuthority, ...]:
        for _ in range(_RACES):
            found = self._stored.authorities()
            if found:
                return found
            self.add_authority()
        raise store.Unavailable("no certificate authority can be kept")

    def add_authority(self) -> int:
        """Make another authority, which signs from now on; give its number."""
        for _ in range(_RACES):
            number = max((each.number for each in self._stored.authorities()), default=0) + 1
            made = authority.create(number, self._now(), self._settings.authority_lifetime_s)
            closed = seal.close(self._settings.secret, made.key.encode(), f"authority {number}")
            if self._stored.add_authority(StoredAuthority(number, made.certificate, closed)):
                LOG.info("authority.made number=%d", number)
                return number
        raise store.Unavailable("several nodes make authorities at the same time")

    def _open(self, found: tuple[StoredAuthority, ...]) -> tuple[_Signer, ...]:
        trusted = "".join(each.certificate for each in found)
        opened = (
            authority.load(
                each.number,
                each.certificate,
                seal.open_(self._settings.secret, each.closed_key, f"authority {each.number}"),
            )
            for each in found
        )
        return tuple(self._signer(each, trusted) for each in opened)

    def _signer(self, own: authority.Authority, trusted: str) -> _Signer:
        pair = self._own_pair(own)
        strict, late = (context(pair, trusted) for _ in range(2))
        late.verify_flags = ssl.VerifyFlags(late.verify_flags | _NO_CHECK_TIME)
        return _Signer(own, strict, late, (pair.not_before + pair.not_after) / 2)

    def _own_pair(self, own: authority.Authority) -> authority.Pair:
        return self._pair(own, authority.Role.ORCHESTRATOR, contract.ORCHESTRATOR)

    def _pair(self, own: authority.Authority, role: authority.Role, name: str) -> authority.Pair:
        return authority.issue(own, role, name, self._now(), self._settings.certificate_lifetime_s)

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(int(self._clock.wall()), datetime.UTC)


def context(pair: authority.Pair, trusted: str) -> ssl.SSLContext:
    """Make a client context of TLS 1.3; the key passes through memory alone."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_verify_locations(cadata=trusted)
    handle = os.memfd_create("astara-tls", os.MFD_CLOEXEC)
    try:
        os.write(handle, (pair.certificate + pair.key).encode())
        made.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
    return made


def from_conf(conf: Any, opened: store.Store) -> Trust | None:
    """Make what the configuration asks for; None if TLS is turned off."""
    options = conf.tls
    if not options.enabled:
        LOG.warning(
            "tls.off consequence=%s",
            "whoever is on the management network can configure appliances",
        )
        return None
    return Trust(
        opened.certificates,
        Settings(
            secret=options.secret or conf.metadata_proxy_shared_secret,
            certificate_lifetime_s=options.certificate_lifetime,
            renewal_grace_s=options.renewal_grace,
            authority_lifetime_s=options.authority_lifetime,
            accept_plaintext=options.accept_plaintext,
        ),
    )


def _trusted(signers: tuple[_Signer, ...]) -> str:
    return "".join(signer.own.pem for signer in signers)


def _common_name(issuer: Any) -> str:
    names = (str(value) for part in issuer for key, value in part if key == "commonName")
    return next(names)


_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"  # in any locale


def _seconds(text: str) -> int:
    """Read a time as OpenSSL writes it, `Nov 21 10:03:54 2026 GMT`; `strptime` takes 50 times as
    long, for each handshake.
    """
    month, day, at, year, _zone = text.split()
    hour, minute, second = map(int, at.split(":"))
    return calendar.timegm(
        (int(year), _MONTHS.index(month) // 3 + 1, int(day), hour, minute, second)
    )
