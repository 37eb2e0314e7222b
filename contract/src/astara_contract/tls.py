"""How orchestrator and appliance know each other: the certificate bundle and the name in it.

Pure; decides the name that a certificate is bound to and the shape of what is delivered (key `tls`
of the user data at boot, `PUT /v1/system/tls` afterwards). It never holds a key longer than its
caller does. Used by both sides.
"""

import msgspec

SUFFIX = "appliance.astara"
ORCHESTRATOR = "orchestrator.astara"


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an appliance serves TLS with; times are seconds since 1970, texts are PEM."""

    name: str
    certificate: str
    key: str
    authorities: str
    not_before: int
    not_after: int

    def __repr__(self) -> str:
        """Tell whose it is, and never the key."""
        return f"Bundle(name={self.name!r}, not_after={self.not_after})"


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What an appliance tells about its certificate."""

    tls: bool
    name: str = ""
    not_before: int = 0
    not_after: int = 0


def server_name(router_id: str, identity: str) -> str:
    """Name one appliance of one router; a rebuilt one has another identity."""
    return f"{identity}.{router_id}.{SUFFIX}"
