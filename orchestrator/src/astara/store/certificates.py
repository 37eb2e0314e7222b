"""Authorities and the identities of appliances, shared by all nodes.

Decides who makes an authority when several nodes try: whoever inserts its number first. Holds
private keys only as `pki.seal` closed them. Called by `pki.trust` and `cmd.pki`.
"""

import dataclasses

import sqlalchemy as sa
from oslo_db import exception as db_exception

from . import database, tables

_AUTHORITIES = tables.AUTHORITIES
_IDENTITIES = tables.IDENTITIES


@dataclasses.dataclass(frozen=True, slots=True)
class StoredAuthority:
    """One authority; the key is closed."""

    number: int
    certificate: str
    closed_key: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Which appliance of a resource is the true one, and which authority it got last."""

    resource_id: str
    identity: str
    authority: int


class Certificates:
    """Every method raises `errors.StoreError`."""

    def __init__(self, base: database.Database) -> None:
        self._base = base

    def authorities(self) -> tuple[StoredAuthority, ...]:
        """Give all authorities that are trusted, oldest first."""
        statement = sa.select(_AUTHORITIES).order_by(_AUTHORITIES.c.number)
        rows = self._base.read(lambda connection: connection.execute(statement).fetchall())
        return tuple(StoredAuthority(row.number, row.certificate, row.closed_key) for row in rows)

    def add_authority(self, made: StoredAuthority) -> bool:
        """Add an authority; False if another node took its number first."""
        statement = sa.insert(_AUTHORITIES).values(**dataclasses.asdict(made))
        try:
            self._base.write(lambda connection: connection.execute(statement))
        except db_exception.DBDuplicateEntry:
            return False
        return True

    def retire_authority(self, number: int) -> bool:
        """Trust an authority no longer; tell whether it was there."""
        statement = sa.delete(_AUTHORITIES).where(_AUTHORITIES.c.number == number)
        count: int = self._base.write(lambda connection: connection.execute(statement).rowcount)
        return count == 1

    def users(self, number: int) -> int:
        """Count the appliances whose last certificate an authority signed."""
        statement = sa.select(sa.func.count()).where(_IDENTITIES.c.authority == number)
        count: int = self._base.read(lambda connection: connection.scalar(statement))
        return count

    def identity(self, resource_id: str) -> Identity | None:
        """Give the identity of a resource's appliance; None for one that has no certificate."""
        statement = sa.select(_IDENTITIES).where(_IDENTITIES.c.resource_id == resource_id)
        row = self._base.read(lambda connection: connection.execute(statement).first())
        return None if row is None else Identity(row.resource_id, row.identity, row.authority)

    def identities(self) -> tuple[Identity, ...]:
        """Give the identities of all appliances, in one query."""
        rows = self._base.read(
            lambda connection: connection.execute(sa.select(_IDENTITIES)).fetchall()
        )
        return tuple(Identity(row.resource_id, row.identity, row.authority) for row in rows)

    def put_identity(self, wanted: Identity) -> None:
        """Make an identity the true one; earlier ones are revoked by that."""

        def write(connection: "sa.Connection") -> None:
            mine = _IDENTITIES.c.resource_id == wanted.resource_id
            connection.execute(sa.delete(_IDENTITIES).where(mine))
            connection.execute(sa.insert(_IDENTITIES).values(**dataclasses.asdict(wanted)))

        self._base.write(write)

    def forget_identity(self, resource_id: str) -> None:
        """Forget the appliance of a resource that is gone."""
        statement = sa.delete(_IDENTITIES).where(_IDENTITIES.c.resource_id == resource_id)
        self._base.write(lambda connection: connection.execute(statement))
