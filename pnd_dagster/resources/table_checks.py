"""Asset checks that derive from declared tables: the schema as a blocking check, Great Expectations suites beside it.

They look at whole tables and have no partitions, also where the asset has: a run over many days evaluates a check once, and Dagster
shows a partitioned check as skipped then.
"""

from typing import Any

import dagster as dg
import sqlalchemy as sa

from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.storage.schema import table_drift


def schema_check(asset: dg.AssetKey, table: sa.Table) -> dg.AssetChecksDefinition:
    """A blocking check that the stored table has the declared columns, types, keys and comments."""

    @dg.asset_check(
        asset=asset,
        name="matches_declared_schema",
        blocking=True,
        description="Columns, types, nullability, indexes and comments are those of the declared table",
    )
    def matches_declared_schema(database: DatabaseResource) -> dg.AssetCheckResult:
        differences = table_drift(database.engine, table)
        return dg.AssetCheckResult(
            passed=not differences,
            metadata={"differences": "; ".join(differences) or "none"},
        )

    return matches_declared_schema


def expectation_check(asset: dg.AssetKey, table: sa.Table, expectations: list[dict[str, Any]]) -> dg.AssetChecksDefinition:
    """A Great Expectations suite over the stored table, run inside Postgres, as one check.

    Args:
        asset: the asset that is checked.
        table: its declared table.
        expectations: each the snake-case name of an expectation as `type`, and its arguments.
    """

    @dg.asset_check(
        asset=asset,
        name="meets_expectations",
        description="Great Expectations: " + "; ".join(_describe(expectation) for expectation in expectations),
    )
    def meets_expectations(database: DatabaseResource) -> dg.AssetCheckResult:
        results = _validate(database.engine, table, expectations)
        failed = [row for row in results if not row["passed"]]
        return dg.AssetCheckResult(
            passed=not failed,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "expectations": dg.MetadataValue.table(
                    records=[dg.TableRecord(row) for row in results],
                    schema=dg.TableSchema([dg.TableColumn(name) for name in ("expectation", "passed", "unexpected", "examples")]),
                ),
                "failed": len(failed),
            },
        )

    return meets_expectations


def _describe(expectation: dict[str, Any]) -> str:
    arguments = ", ".join(f"{name}={value}" for name, value in expectation.items() if name != "type")
    return f"{expectation['type']}({arguments})"


def _validate(engine: sa.Engine, table: sa.Table, expectations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    import os

    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # pyright: ignore[reportAttributeAccessIssue]
    source = context.data_sources.add_postgres("platform", connection_string=engine.url.render_as_string(hide_password=False))
    batch = source.add_table_asset(table.name, table_name=table.name, schema_name=table.schema).add_batch_definition_whole_table("all")
    suite = gx.ExpectationSuite(name=table.name)
    for expectation in expectations:
        arguments = {name: value for name, value in expectation.items() if name != "type"}
        suite.add_expectation_configuration(ExpectationConfiguration(type=expectation["type"], kwargs=arguments))
    outcome = batch.get_batch().validate(suite)
    return [
        {
            "expectation": _describe(_expectation(result.expectation_config)),
            "passed": bool(result.success),
            "unexpected": str(result.result.get("unexpected_count", result.exception_info.get("exception_message") or "")),
            "examples": str(result.result.get("partial_unexpected_list", ""))[:200],
        }
        for result in outcome.results  # not in the order of the suite
    ]


def _expectation(configuration: Any) -> dict[str, Any]:
    arguments = {name: value for name, value in configuration.kwargs.items() if name != "batch_id"}
    return {"type": configuration.type, **arguments}
