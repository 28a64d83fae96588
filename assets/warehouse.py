"""Group `warehouse`: the dbt project's views and marts, its tests as asset checks; empty until pnd_dagster.resources.dbt_graph has run."""

from collections.abc import Iterator

import dagster as dg
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.resources import table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.dbt_graph import read_graph
from pnd_dagster.resources.failures import told_to_dagster
from pnd_dagster.warehouse.build import Result, stream
from pnd_dagster.warehouse.project import GRAPH

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

if GRAPH.exists():
    DBT = read_graph()

    @dg.multi_asset(
        name="marts",
        specs=list(DBT.assets.values()),
        check_specs=list(DBT.checks.values()),
        can_subset=True,
        allow_arbitrary_check_specs=True,
        pool="warehouse",
    )
    def marts(context: dg.AssetExecutionContext, database: DatabaseResource) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Builds and tests what is selected of the dbt project, after seeing to the role that reads it."""
        selected = DBT.selection(context.selected_asset_keys, context.selected_asset_check_keys)
        with told_to_dagster():
            engine = database.engine
            for result in stream(engine, database.settings, *selected):
                metadata = {"Execution Duration": result.seconds, "status": result.status, "unique_id": result.unique_id}
                if result.status == "success" and (spec := DBT.assets.get(result.unique_id)):
                    yield dg.MaterializeResult(asset_key=spec.key, metadata=metadata | _row_count(engine, spec))
                elif (check := DBT.checks.get(result.unique_id)) and check.key in context.selected_asset_check_keys:
                    yield _check_result(check, result, metadata)


def _check_result(check: dg.AssetCheckSpec, result: Result, metadata: dict[str, str | float]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=result.status == "pass",
        asset_key=check.asset_key,
        check_name=check.name,
        severity=dg.AssetCheckSeverity.WARN if result.status == "warn" else dg.AssetCheckSeverity.ERROR,
        metadata=metadata | ({} if result.failures is None else {"dagster_dbt/failed_row_count": result.failures}),
    )


def _row_count(engine: sa.Engine, spec: dg.AssetSpec) -> dict[str, int]:
    """Rows of a mart that is a table; views are not counted, which may take as long as building them all."""
    if spec.metadata["dagster-dbt/materialization_type"] == "view":
        return {}
    schema, name = spec.key.path
    with engine.connect() as connection:
        return {"dagster/row_count": connection.execute(sa.select(sa.func.count()).select_from(sa.table(name, schema=schema))).scalar_one()}
