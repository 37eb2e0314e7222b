"""Make a certificate authority and sign with it; pure but for drawing keys.

Decides what our certificates say: ECDSA P-256, one role each (an appliance serves, the
orchestrator asks; RFC 5280 4.2.1.12), the name in the SAN alone. Must never write a key anywhere.
Called by `trust` and `cmd.pki`.
"""

import dataclasses
import datetime
import enum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Clocks of nodes and hypervisors differ by this much without harm.
SKEW = datetime.timedelta(hours=1)


class Role(enum.Enum):
    """What a certificate may be used for."""

    APPLIANCE = ExtendedKeyUsageOID.SERVER_AUTH
    ORCHESTRATOR = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: str
    key: str = dataclasses.field(repr=False)
    not_before: int
    not_after: int


@dataclasses.dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that can sign."""

    number: int
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = dataclasses.field(repr=False)

    @property
    def pem(self) -> str:
        """The certificate, for those who are to trust it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def create(number: int, now: datetime.datetime, lifetime_s: int) -> Pair:
    """Make a new authority that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Astara authority {number}")
    until = now + datetime.timedelta(seconds=lifetime_s)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        _builder(name, name, key, now, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(made, key)


def load(number: int, certificate: str, key: bytes) -> Authority:
    """Read an authority back."""
    private = serialization.load_pem_private_key(key, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError(f"the key of authority {number} is not an elliptic curve key")
    return Authority(number, x509.load_pem_x509_certificate(certificate.encode()), private)


def issue(
    authority: Authority, role: Role, name: str, now: datetime.datetime, lifetime_s: int
) -> Pair:
    """Make a key and sign a certificate for `name` in one role."""
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(
        now + datetime.timedelta(seconds=lifetime_s), authority.certificate.not_valid_after_utc
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    made = (
        _builder(_name(role.name.lower()), authority.certificate.subject, key, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([role.value]), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(issuer, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _pair(made, key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    until: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(until)
    )


def _pair(made: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Pair(
        made.public_bytes(serialization.Encoding.PEM).decode(),
        text.decode(),
        int(made.not_valid_before_utc.timestamp()),
        int(made.not_valid_after_utc.timestamp()),
    )
