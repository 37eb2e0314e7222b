"""Hold the engine and give transactions that end in time.

Decides how long a call may take and what an exception of a driver means. Must never let one leave.
`open_database` connects to nothing: the first transaction does. Used by the queries of this
package.
"""

import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy.engine import URL

from . import address, errors, lane

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LANE_WIDTH = 4
# SQLSTATE of a missing table in MariaDB and PostgreSQL; oslo.db knows that of SQLite alone.
_NO_TABLE = ("42S02", "42P01")
SPARE_S = 1.0  # lets the driver's own, better worded, time-out come first


@enginefacade.transaction_context_provider
class _Call:
    """Hold the transaction of one call, as oslo.db wants it."""


class Database:
    """One database; safe to share between threads, not between processes."""

    def __init__(self, url: URL, timeout_s: float, settings: dict[str, Any]) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self._facade = enginefacade.transaction_context()
        self._facade.configure(
            connection=url.render_as_string(hide_password=False),
            max_retries=0,  # a caller that can wait tries again; none waits in here
            **settings,
        )
        self._facade.append_on_engine_create(_prepare)
        self._lane = lane.Lane(LANE_WIDTH)

    @property
    def name(self) -> str:
        """Give the URL without its password."""
        return str(self.url.set(query={}).render_as_string(hide_password=True))

    def read(self, work: "Callable[[sa.Connection], T]") -> T:
        """Run a function of a connection within the deadline; it must not write."""
        return self._lane.call(lambda: self._do(self._facade.reader, work), self._limit_s)

    def write(self, work: "Callable[[sa.Connection], T]") -> T:
        """Run a function of a connection in one transaction within the deadline.

        When the deadline passes nobody knows whether the transaction was committed.
        """
        return self._lane.call(lambda: self._do(self._facade.writer, work), self._limit_s)

    def migrate(self, work: "Callable[[sa.Connection], T]") -> T:
        """Run a function of a connection without deadline: a migration may take long."""
        return self._do(self._facade.writer, work)

    def close(self) -> None:
        """Close idle connections."""
        if self._facade.is_started:
            self._facade.dispose_pool()

    @property
    def _limit_s(self) -> float:
        return self.timeout_s + SPARE_S

    def _do(self, mode: Any, work: "Callable[[sa.Connection], T]") -> T:
        try:
            with mode.connection.using(_Call()) as connection:
                return work(connection)
        except db_exception.DBDuplicateEntry:
            raise
        except (db_exception.DBError, sa.exc.SQLAlchemyError, OSError) as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> errors.StoreError:
        """Turn what a driver raised into what the caller does about it."""
        cause = getattr(error, "inner_exception", None) or error
        cause = getattr(cause, "orig", None) or cause
        reason = next(iter(str(cause).splitlines()), type(cause).__name__)
        state = getattr(cause, "sqlstate", None)
        if isinstance(error, db_exception.DBNonExistentTable) or state in _NO_TABLE:
            return errors.NotMigrated(f"{self.name}: {reason}: run astara-dbsync upgrade")
        return errors.Unavailable(f"{self.name}: {reason}")


def _prepare(engine: Any) -> None:
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Let readers go on while somebody writes; kept in the file, so a no-op but once."""
    connection.execute("PRAGMA journal_mode=WAL")


def open_database(url: URL, timeout_s: float, settings: dict[str, Any] | None = None) -> Database:
    """Make a database object; `settings` are further arguments of oslo.db's engine."""
    return Database(url, timeout_s, settings or {})


def url_from(conf: Any) -> URL:
    """Give the URL that the configuration names."""
    return address.url_of(conf.database.connection, conf.state_path, conf.database.call_timeout)


# What of [database] reaches the engine. The retries of oslo.db do not: they would hold the caller.
_PASSED_ON = (
    "mysql_sql_mode",
    "mysql_wsrep_sync_wait",
    "connection_recycle_time",
    "max_pool_size",
    "max_overflow",
    "connection_parameters",
    "connection_debug",
    "connection_trace",
    "sqlite_synchronous",
)


def from_conf(conf: Any) -> Database:
    """Make the database object of a parsed oslo.config object."""
    group = conf.database
    settings = {
        name: value for name in _PASSED_ON if (value := getattr(group, name)) not in (None, "")
    }
    url = url_from(conf)
    if not address.embedded(url):  # oslo.db gives SQLite no pool
        settings["pool_timeout"] = group.pool_timeout or group.call_timeout
    return open_database(url, group.call_timeout, settings)
