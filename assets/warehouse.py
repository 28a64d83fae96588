"""Group `warehouse`: the dbt project's views and marts, its tests as asset checks; empty until pnd_dagster.warehouse.prepare has run."""

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.resources import table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster
from pnd_dagster.storage.roles import ensure_bi_role
from pnd_dagster.warehouse.project import EXECUTABLE, MANIFEST, PROJECT_DIR, environment

CHECKS: list[dg.AssetChecksDefinition] = []


def _written_by_services(table: sa.Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        [str(table.schema), table.name],
        description=f"{table.comment}. Written along with what it tells of.",
        kinds={"postgres"},
        owners=["team:data-platform"],
        metadata=table_metadata.declared(table),
    )


bucket_commits, feed_gaps = _written_by_services(tables.BUCKET_COMMITS), _written_by_services(tables.FEED_GAPS)
dead_letters, vendor_quotas = _written_by_services(tables.DEAD_LETTERS), _written_by_services(tables.VENDOR_QUOTAS)

if MANIFEST.exists():
    from dagster_dbt import DagsterDbtTranslator, DbtCliResource, dbt_assets

    class _Translator(DagsterDbtTranslator):
        def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
            return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

        def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> None:
            """The registry names the group."""

        def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str]:
            return ["team:data-platform"]

        def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
            return str(dbt_resource_props["description"])

    @dbt_assets(manifest=MANIFEST, dagster_dbt_translator=_Translator(), name="marts", pool="warehouse")
    def marts(context: dg.AssetExecutionContext, database: DatabaseResource) -> Iterator[Any]:
        """Builds and tests what is selected of the dbt project, after seeing to the role that reads it."""
        with told_to_dagster():
            engine, settings = database.engine, database.settings
            ensure_bi_role(engine, settings)
            variables = environment(settings)
        dbt = DbtCliResource(project_dir=str(PROJECT_DIR), profiles_dir=str(PROJECT_DIR), dbt_executable=str(EXECUTABLE))
        with _environment(variables):
            invocation = dbt.cli(["build"], context=context, target_path=settings.home / "dbt" / "graph")
        for event in invocation.stream():
            yield event.with_metadata(_row_count(engine, context, event) | dict(event.metadata)) if isinstance(event, dg.Output) else event


@contextmanager
def _environment(variables: Mapping[str, str]) -> Generator[None]:
    """Variables for a process that is started meanwhile: dagster-dbt hands on its own."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _row_count(engine: sa.Engine, context: dg.AssetExecutionContext, output: dg.Output[Any]) -> dict[str, int]:
    """Rows of a mart that is a table; views are not counted, which may take as long as building them all."""
    schema, name = context.asset_key_for_output(output.output_name).path
    found = sa.inspect(engine)
    if not found.has_table(name, schema=schema) or name in found.get_view_names(schema=schema):
        return {}
    with engine.connect() as connection:
        counted = connection.execute(sa.select(sa.func.count()).select_from(sa.table(name, schema=schema)))
        return {"dagster/row_count": counted.scalar_one()}
