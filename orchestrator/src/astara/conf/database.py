"""Options of [database]: oslo.db's own, and the deadline of a call."""

from oslo_config import cfg
from oslo_db import options

GROUP = "database"
OPTS = [
    cfg.FloatOpt(
        "call_timeout",
        default=5,
        min=0.5,
        help="Seconds the database has to answer one call. Nothing that serves traffic waits for "
        "it: a database that is away delays changes of ownership and of debug modes alone.",
    ),
    cfg.FloatOpt(
        "debug_refresh_interval",
        default=2,
        min=0.2,
        help="Seconds between looks at the debug modes: how long after `astara-ctl ... debug` "
        "something may still be done to a resource.",
    ),
    cfg.StrOpt(
        "mysql_engine",
        default="InnoDB",
        deprecated_for_removal=True,
        deprecated_reason="the tables are InnoDB, which alone keeps transactions",
        help="Accepted and not used.",
    ),
    *options.database_opts,
]
