"""The database: debug modes and ownership. The only place with SQL.

    opened = store.open_store(conf)              # conf: the parsed global CONF
    opened.debug.enter(store.Scope.TENANT, tenant_id, reason="moving", by="alice")
    opened.debug.all()                           # -> tuple of DebugMode
    opened.debug.leave(store.Scope.TENANT, tenant_id)
    opened.epochs.get(router_id)                 # -> Ownership | None: owner, epoch, updated_at
    opened.close()

Without `[database] connection` it is SQLite in `state_path`, made and migrated by whoever opens it
first. Every call ends within `[database] call_timeout` and raises `StoreError`: `Unavailable` (try
later), `NotMigrated` (the text names the remedy). Heavy to import (SQLAlchemy, 40 MiB): only
processes that need it do.
"""

from typing import Any

from . import certificates, database, debug_modes, ownership, schema
from .debug_modes import DebugMode, Scope
from .errors import NotMigrated, StoreError, Unavailable
from .ownership import Ownership

__all__ = [
    "DebugMode",
    "NotMigrated",
    "Ownership",
    "Scope",
    "Store",
    "StoreError",
    "Unavailable",
    "open_store",
    "store_of",
]


class Store:
    """What the database holds; safe to share between the threads of one process."""

    def __init__(self, base: database.Database) -> None:
        self.base = base
        self.debug = debug_modes.DebugModes(base)
        self.epochs = ownership.Epochs(base)
        self.certificates = certificates.Certificates(base)

    def make_ready(self) -> None:
        """Make sure that the schema is the one needed: migrate our own file, or complain.

        Raises `Unavailable` or `NotMigrated`.
        """
        schema.make_ready(self.base)

    def close(self) -> None:
        """Close idle connections."""
        self.base.close()


def store_of(conf: Any) -> Store:
    """Give the configured store without connecting; `make_ready` has to come first somewhere."""
    return Store(database.from_conf(conf))


def open_store(conf: Any) -> Store:
    """Open the configured database and make sure that its schema is the one needed.

    Raises `Unavailable` or `NotMigrated`.
    """
    opened = store_of(conf)
    try:
        opened.make_ready()
    except StoreError:
        opened.close()
        raise
    return opened
