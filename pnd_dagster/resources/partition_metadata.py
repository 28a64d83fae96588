"""Metadata per partition for runs that work on many partitions at once."""

from __future__ import annotations

import dagster as dg
import polars as pl


def add_row_counts(context: dg.AssetExecutionContext, per_day: pl.DataFrame) -> None:
    """Gives each partition of the run its own row count; `per_day` has day (date) and row_count."""
    counts = {day.isoformat(): rows for day, rows in per_day.select("day", "row_count").iter_rows()}
    for key in context.partition_keys:
        context.add_asset_metadata({"dagster/partition_row_count": counts.get(key, 0)}, partition_key=key)
