"""Migrate the orchestrator's database: `astara-dbsync --config-file FILE upgrade`.

Decides nothing; the verbs are those of `store.schema`. Exit status: 0 done (for `check`: all is as
this release needs it), 1 not done or not so, with the reason and the remedy on stderr, 2 wrong
arguments.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import sqlalchemy.exc

from ..conf import commandline
from ..store import database, errors, schema, tables


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="astara-dbsync",
        description="Bring the database of the orchestrator to the schema that this release "
        "needs. The database is that of [database] connection; without one it is SQLite in "
        "state_path, which the orchestrator migrates by itself.",
    )
    commandline.add_option(parser)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    upgrade = verbs.add_parser("upgrade", help="run the migrations that are missing")
    upgrade.add_argument("revision", nargs="?", default="head", help="go only so far")
    downgrade = verbs.add_parser(
        "downgrade", help="undo migrations; what they added is lost with its data"
    )
    downgrade.add_argument("revision", help='where to stop, "base" for an empty database')
    stamp = verbs.add_parser("stamp", help="note a revision without running any migration")
    stamp.add_argument("revision", help='the revision to note, "head" for the newest')
    verbs.add_parser("current", help="say at which revision the database is")
    verbs.add_parser("history", help="list all migrations, newest last")
    verbs.add_parser("check", help="compare the tables with those that this release needs")
    return parser


def _history(base: database.Database) -> int:
    for step in schema.history(base):
        print(f"{step.revision}  {'applied' if step.applied else 'missing':8}  {step.text}")
    return 0


def _check(base: database.Database) -> int:
    found = schema.current(base)
    if found != tables.REVISION:
        needed = f"this release needs {tables.REVISION}"
        print(f"{base.name} is at revision {found or 'none'}, {needed}: run astara-dbsync upgrade")
        return 1
    differences = schema.differences(base)
    for line in differences:
        print(f"{base.name} differs: {line}")
    if differences:
        print("somebody changed tables by hand: put them back, or restore a backup")
        return 1
    print(f"{base.name} is at revision {found}, as this release needs it")
    return 0


def _run(base: database.Database, arguments: argparse.Namespace) -> int:
    match arguments.verb:
        case "history":
            return _history(base)
        case "check":
            return _check(base)
        case "current":
            reached = schema.current(base)
        case verb:
            reached = getattr(schema, verb)(base, arguments.revision)
    print(f"{base.name} is at revision {reached or 'none'}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    arguments = _parser().parse_args(argv)
    try:
        conf = commandline.read(arguments)
        base = database.from_conf(conf)
    except (commandline.Unreadable, sqlalchemy.exc.ArgumentError) as fault:
        print(f"astara-dbsync: {fault}", file=sys.stderr)
        return os.EX_CONFIG
    try:
        schema.prepare_place(base)
        return _run(base, arguments)
    except errors.Unavailable as fault:
        print(f"astara-dbsync: {fault}", file=sys.stderr)
        print(
            "Is the server up, and are [database] connection and its credentials right?",
            file=sys.stderr,
        )
        return 1
    except errors.StoreError as fault:
        print(f"astara-dbsync: {fault}", file=sys.stderr)
        return 1
    finally:
        base.close()


if __name__ == "__main__":
    sys.exit(main())
