"""Debug modes: who asked that nothing be done, to what, why, since when.

Decides that the first reason counts until the mode is left. Must never be asked once per event:
workers read all modes at once, every few seconds. Called by workers, by the tools and the API.
"""

import dataclasses
import datetime
import enum
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from .. import clock
from . import database, tables

_TABLE = tables.DEBUG_MODES


class Scope(enum.StrEnum):
    """What a debug mode covers."""

    GLOBAL = "global"  # everything; the subject is empty
    TENANT = "tenant"  # all resources of a tenant
    RESOURCE = "resource"  # one router or load balancer


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class DebugMode:
    """One debug mode; `since` is in UTC and aware, `by` names the user or program."""

    scope: Scope
    subject: str
    reason: str
    by: str
    since: datetime.datetime


class DebugModes:
    """The debug modes of the whole cluster. Every method raises `errors.StoreError`."""

    def __init__(self, base: database.Database) -> None:
        self._base = base

    def enter(self, scope: Scope, subject: str, *, reason: str, by: str) -> DebugMode:
        """Put a scope into debug mode; if it is in one already, that one stays as it is.

        `subject` is a tenant or resource id, "" for `Scope.GLOBAL`. Gives the mode that holds now:
        compare `reason` or `by` to see whether it is yours. Raises ValueError on a wrong subject.
        """
        _check(scope, subject)
        mode = DebugMode(scope, subject, reason, by, _now())
        try:
            self._base.write(lambda connection: _insert(connection, mode))
        except db_exception.DBDuplicateEntry:
            return self.get(scope, subject) or mode
        return mode

    def leave(self, scope: Scope, subject: str = "") -> DebugMode | None:
        """End a debug mode and give it; None if there was none.

        Leaving the mode of a tenant leaves those of its single resources alone.
        """
        _check(scope, subject)
        mode = self.get(scope, subject)
        if mode is not None:
            statement = sa.delete(_TABLE).where(_is(scope, subject))
            self._base.write(lambda connection: connection.execute(statement).rowcount)
        return mode

    def get(self, scope: Scope, subject: str = "") -> DebugMode | None:
        """Give one mode; None if the scope itself is in none (a wider one may hold)."""
        statement = sa.select(_TABLE).where(_is(scope, subject))
        row = self._base.read(lambda connection: connection.execute(statement).first())
        return None if row is None else _mode(row)

    def all(self) -> tuple[DebugMode, ...]:
        """Give all modes in one query: global first, then by scope and subject."""
        statement = sa.select(_TABLE)
        rows = self._base.read(lambda connection: connection.execute(statement).fetchall())
        order = list(Scope)
        modes = [_mode(row) for row in rows]
        return tuple(sorted(modes, key=lambda mode: (order.index(mode.scope), mode.subject)))


def _check(scope: Scope, subject: str) -> None:
    if (scope is Scope.GLOBAL) == bool(subject):
        raise ValueError(f"a debug mode of scope {scope} with subject {subject!r} makes no sense")
    if len(subject) > _TABLE.c.subject.type.length:
        raise ValueError(f"{subject[:20]!r}... is no id")


def _is(scope: Scope, subject: str) -> Any:
    return sa.and_(_TABLE.c.scope == scope.value, _TABLE.c.subject == subject)


def _insert(connection: "sa.Connection", mode: DebugMode) -> None:
    connection.execute(
        sa.insert(_TABLE).values(
            scope=mode.scope.value,
            subject=mode.subject,
            reason=mode.reason,
            actor=mode.by[:255],
            since=mode.since.replace(tzinfo=None),
        )
    )


def _mode(row: Any) -> DebugMode:
    since = row.since.replace(tzinfo=datetime.UTC)
    return DebugMode(Scope(row.scope), row.subject, row.reason, row.actor, since)


def _now() -> datetime.datetime:
    """Give the time in whole seconds: MariaDB keeps no more."""
    return datetime.datetime.fromtimestamp(int(clock.SYSTEM.wall()), datetime.UTC)
