"""The tables, as this release wants them.

Decides names and types that SQLite, MariaDB and PostgreSQL all have. A change here needs a
migration and a new `REVISION`; a test compares both on each server. Read by the queries of this
package and by `schema`.
"""

import sqlalchemy as sa

# The newest migration. Kept here so that a start need not load alembic to see that all is well.
REVISION = "0002"

METADATA = sa.MetaData()

# Who asked that nothing be done, to what, why and since when. `subject` is a tenant id or a
# resource id, and empty for the scope `global`.
DEBUG_MODES = sa.Table(
    "debug_modes",
    METADATA,
    sa.Column("scope", sa.String(16), primary_key=True),
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("actor", sa.String(255), nullable=False),
    sa.Column("since", sa.DateTime, nullable=False),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

# Which node writes to the appliance of a resource; the epoch grows with each change of owner.
OWNERSHIP = sa.Table(
    "ownership",
    METADATA,
    sa.Column("resource_id", sa.String(64), primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.String(255), nullable=False, index=True),
    sa.Column("updated_at", sa.DateTime, nullable=False),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

# Who signs certificates; a row that is deleted is trusted no longer. Private keys are closed with
# a secret of the configuration.
AUTHORITIES = sa.Table(
    "authorities",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("certificate", sa.Text, nullable=False),
    sa.Column("closed_key", sa.Text, nullable=False),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

# Which appliance of a resource is the true one: the identity is part of its certificate's name.
IDENTITIES = sa.Table(
    "identities",
    METADATA,
    sa.Column("resource_id", sa.String(64), primary_key=True),
    sa.Column("identity", sa.String(32), nullable=False),
    sa.Column("authority", sa.Integer, nullable=False),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)
