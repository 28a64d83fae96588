"""Alembic's entry: migrates over the connection that `storage.schema` hands in."""

from alembic import context

from pnd_dagster.storage.schema import is_managed
from pnd_dagster.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    include_schemas=True,
    include_name=is_managed,
    version_table_schema="core",
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
