"""Run migrations on the connection that `astara.store.schema` hands over."""

from alembic import context

from astara.store import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.METADATA,
    version_table="alembic_version",
    render_as_batch=True,  # SQLite cannot alter most things of a table: it is copied instead
)
with context.begin_transaction():
    context.run_migrations()
