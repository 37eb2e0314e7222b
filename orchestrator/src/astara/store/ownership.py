"""Epochs: which node writes to the appliance of a resource, counted by changes of owner.

Decides who wins when two nodes claim at the same time: whoever is last, and the epoch tells the
appliance so. Must never let an epoch fall. Called by the fence of a worker (`cluster.fence`), and
read by the tools.
"""

import dataclasses
import datetime
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from .. import clock
from . import database, errors, tables

_TABLE = tables.OWNERSHIP
_ROUNDS = 5  # losing this many races in a row means that nodes fight


@dataclasses.dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns a resource, since when, by which epoch; `updated_at` is aware, in UTC."""

    resource_id: str
    epoch: int
    owner: str
    updated_at: datetime.datetime


class Epochs:
    """The owners of all resources. Every method raises `errors.StoreError`."""

    def __init__(self, base: database.Database) -> None:
        self._base = base

    def claim(self, resource_id: str, owner: str, above: int = 0) -> int:
        """Make `owner` the owner and give the epoch of its writes, which is more than `above`.

        An owner that owns already keeps its epoch, unless the appliance has accepted a higher one
        (`above`), which means that the database was lost or put back.
        """
        for _ in range(_ROUNDS):
            held = self.get(resource_id)
            if held is not None and held.owner == owner and held.epoch > above:
                return held.epoch
            epoch = max(held.epoch if held else 0, above) + 1
            if self._replace(held, Ownership(resource_id, epoch, owner, _now())):
                return epoch
        raise errors.Unavailable(f"several nodes claim {resource_id} at the same time")

    def get(self, resource_id: str) -> Ownership | None:
        """Give the owner of a resource; None if nobody ever wrote to it."""
        statement = sa.select(_TABLE).where(_TABLE.c.resource_id == resource_id)
        row = self._base.read(lambda connection: connection.execute(statement).first())
        return None if row is None else _ownership(row)

    def all(self) -> tuple[Ownership, ...]:
        """Give all owners, in one query, by resource id."""
        statement = sa.select(_TABLE).order_by(_TABLE.c.resource_id)
        rows = self._base.read(lambda connection: connection.execute(statement).fetchall())
        return tuple(_ownership(row) for row in rows)

    def forget(self, resource_id: str, owner: str) -> bool:
        """Forget a resource that is gone for good, if `owner` is its owner."""
        statement = sa.delete(_TABLE).where(
            _TABLE.c.resource_id == resource_id, _TABLE.c.owner == owner
        )
        count: int = self._base.write(lambda connection: connection.execute(statement).rowcount)
        return count == 1

    def _replace(self, held: Ownership | None, wanted: Ownership) -> bool:
        """Write `wanted` if the row is still as it was read; tell whether it was."""
        values = {
            "epoch": wanted.epoch,
            "owner": wanted.owner,
            "updated_at": wanted.updated_at.replace(tzinfo=None),
        }
        if held is None:
            statement = sa.insert(_TABLE).values(resource_id=wanted.resource_id, **values)
        else:
            statement = (
                sa.update(_TABLE)
                .where(_TABLE.c.resource_id == held.resource_id, _TABLE.c.epoch == held.epoch)
                .values(**values)
            )
        try:
            count: int = self._base.write(
                lambda connection: connection.execute(statement).rowcount
            )
        except db_exception.DBDuplicateEntry:
            return False  # somebody inserted it first
        return count == 1


def _ownership(row: Any) -> Ownership:
    updated_at = row.updated_at.replace(tzinfo=datetime.UTC)
    return Ownership(row.resource_id, row.epoch, row.owner, updated_at)


def _now() -> datetime.datetime:
    """Give the time in whole seconds: MariaDB keeps no more."""
    return datetime.datetime.fromtimestamp(int(clock.SYSTEM.wall()), datetime.UTC)
