"""Keep certificate authorities and the identities of appliances."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "authorities",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("certificate", sa.Text, nullable=False),
        sa.Column("closed_key", sa.Text, nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "identities",
        sa.Column("resource_id", sa.String(64), primary_key=True),
        sa.Column("identity", sa.String(32), nullable=False),
        sa.Column("authority", sa.Integer, nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )


def downgrade() -> None:
    op.drop_table("identities")
    op.drop_table("authorities")
