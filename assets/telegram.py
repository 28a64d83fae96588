"""Group `telegram`: the channels we know. No message is interpreted here."""

from datetime import timedelta

import dagster as dg

from pnd_dagster import tables
from pnd_dagster.automation.conditions import DAILY_AT_TWO
from pnd_dagster.resources import table_checks, table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster
from pnd_dagster.services.discover import discover_channels


@dg.asset(
    key_prefix="raw",
    kinds={"telegram", "postgres"},
    deps=[dg.AssetKey(["raw", "telegram_messages"])],
    owners=["team:data-platform"],
    metadata=table_metadata.declared(tables.TELEGRAM_CHANNELS),
    automation_condition=DAILY_AT_TWO,
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=8), warn_window=timedelta(days=2)),
    pool="tgstat",
)
def telegram_channels(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """Channels of the archives, those TGStat finds (with a token), and those messages link to or forward from.

    Each new one waits for a human's decision; the messages of validated channels are collected from then on.
    """
    with told_to_dagster():
        result = discover_channels(database.engine, database.settings, on_progress=context.log.info)
    return dg.MaterializeResult(
        metadata=table_metadata.written(tables.TELEGRAM_CHANNELS, result.written, database.engine)
        | {"by_status": table_metadata.preview(result.by_status), "new_candidates": table_metadata.preview(result.candidates)}
    )


CHECKS = [table_checks.schema_check(telegram_channels.key, tables.TELEGRAM_CHANNELS)]
