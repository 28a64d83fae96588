"""Materialisation metadata of runs that work on many partitions at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl


def partitions_materialized(context: dg.AssetExecutionContext, per_day: pl.DataFrame, run: Mapping[str, Any]) -> dg.MaterializeResult:
    """The result of a run over days: each day has its own row count, and the last one what is said of the whole run.

    What a `MaterializeResult` holds is stored with every partition: a plot would be stored 3,000 times in a backfill of 3,000 days.

    Args:
        context: the run.
        per_day: day (date) and row_count.
        run: metadata of the whole run.
    """
    counts = {day.isoformat(): rows for day, rows in per_day.select("day", "row_count").iter_rows()}
    last = context.partition_keys[-1]
    for key in context.partition_keys:
        context.add_asset_metadata(
            {"dagster/partition_row_count": counts.get(key, 0)} | (dict(run) if key == last else {}), partition_key=key
        )
    return dg.MaterializeResult()
