"""Bring the schema to a revision, say where it is, and whether it is what this release needs.

Decides what "ready" means: an embedded database is made and migrated by whoever opens it first; a
server's is the operator's to migrate. alembic is loaded only when there is something to do.
Called by `store.open_store` and by `astara-dbsync`.
"""

import contextlib
import dataclasses
import fcntl
import logging
import pathlib
import typing
from collections.abc import Iterator

import sqlalchemy as sa

from . import address, database, errors, tables

LOG = logging.getLogger(__name__)

SCRIPTS = pathlib.Path(__file__).parent / "alembic_migrations"
VERSION_TABLE = "alembic_version"


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One migration; `applied` tells whether the database has it."""

    revision: str
    text: str
    applied: bool


def current(base: database.Database) -> str | None:
    """Give the revision of the database; None if it was never migrated."""

    def look(connection: "sa.Connection") -> str | None:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return None
        found: str | None = connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608  a constant
        return found

    return base.read(look)


def make_ready(base: database.Database) -> None:
    """Migrate an embedded database; raise `NotMigrated` if another one needs the operator."""
    if address.embedded(base.url):
        with _alone(base):
            if not _good_enough(current(base)):
                upgrade(base)
        return
    found = current(base)
    if _good_enough(found):
        return
    raise errors.NotMigrated(
        f"{base.name} is at revision {found or 'none'}, this release needs {tables.REVISION}: "
        "run astara-dbsync upgrade"
    )


def _good_enough(found: str | None) -> bool:
    """Tell whether this release works with a revision: its own, or that of a later release.

    A rolling upgrade migrates first, and migrations leave the previous release working.
    """
    if found is not None and found > tables.REVISION:
        LOG.warning("database.newer found=%s known=%s", found, tables.REVISION)
    return found is not None and found >= tables.REVISION


def prepare_place(base: database.Database) -> None:
    """Make the directory of an embedded database."""
    if address.embedded(base.url) and base.url.database not in (None, "", ":memory:"):
        path = pathlib.Path(base.url.database)
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)


@contextlib.contextmanager
def _alone(base: database.Database) -> Iterator[None]:
    """Keep other processes of this machine from migrating the same file."""
    if base.url.database in (None, "", ":memory:"):
        yield
        return
    path = pathlib.Path(base.url.database)
    prepare_place(base)
    with path.with_suffix(".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def upgrade(base: database.Database, revision: str = "head") -> str | None:
    """Run the migrations up to `revision` and give where the database is now."""
    _alembic(base, "upgrade", revision)
    reached = current(base)
    LOG.info("database.migrated revision=%s", reached)
    return reached


def downgrade(base: database.Database, revision: str) -> str | None:
    """Undo the migrations down to `revision` ("base" undoes all, with all data)."""
    _alembic(base, "downgrade", revision)
    return current(base)


def stamp(base: database.Database, revision: str) -> str | None:
    """Say that the database is at `revision` without running anything."""
    _alembic(base, "stamp", revision)
    return current(base)


def history(base: database.Database) -> list[Step]:
    """List the migrations, oldest first, and whether the database has them."""
    from alembic import script

    scripts = script.ScriptDirectory(str(SCRIPTS))
    found = current(base)
    walked = list(scripts.walk_revisions())  # newest first
    revisions = [each.revision for each in walked]
    reached = revisions.index(found) if found in revisions else len(revisions)
    steps = [
        Step(each.revision, each.doc or "", applied=index >= reached)
        for index, each in enumerate(walked)
    ]
    return steps[::-1]


def differences(base: database.Database) -> list[str]:
    """Name where the tables in the database differ from those that this release wants."""
    from alembic import autogenerate, migration

    def compare(connection: "sa.Connection") -> list[str]:
        context = migration.MigrationContext.configure(connection, opts={"compare_type": True})
        return [_words(each) for each in autogenerate.compare_metadata(context, tables.METADATA)]

    return base.migrate(compare)


def _words(change: typing.Any) -> str:
    """Say what alembic would do, in few words."""
    first = change[0] if isinstance(change, list) else change
    parts = (part if isinstance(part, str) else getattr(part, "name", None) for part in first)
    return " ".join(str(part) for part in parts if part)


def _alembic(base: database.Database, verb: str, revision: str) -> None:
    from alembic import command, config, util

    settings = config.Config()
    settings.set_main_option("script_location", str(SCRIPTS))

    def run(connection: "sa.Connection") -> None:
        settings.attributes["connection"] = connection
        try:
            getattr(command, verb)(settings, revision)
        except util.CommandError as error:
            raise errors.StoreError(str(error)) from error

    base.migrate(run)
