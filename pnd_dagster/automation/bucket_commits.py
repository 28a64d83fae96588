"""What collectors wrote, told to Dagster: one materialisation of the metric tables per hour, with rows, lag and coverage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from pnd_dagster.automation.partitions import HOURLY
from pnd_dagster.market.summaries import buckets_per_hour
from pnd_dagster.resources import table_metadata
from pnd_dagster.resources.database import DatabaseResource

BOOKS = dg.AssetKey(["core", "order_book_metrics"])
TRADES = dg.AssetKey(["core", "trade_metrics"])
HOUR = timedelta(hours=1)
# Buckets that waited on a collector's disk come late; older ones are told by nobody.
LOOKBACK = timedelta(hours=48)
# The hour that lasts is told now and then, so that the page shows life.
REPEAT_AFTER = timedelta(minutes=10)


def hours_to_report(buckets: Mapping[datetime, int], told: Mapping[datetime, tuple[int, datetime]], now: datetime) -> list[datetime]:
    """Ends of the hours to report, oldest first.

    Args:
        buckets: committed buckets per hour.
        told: per hour, the buckets it had when it was reported last, and when that was.
        now: the time; an hour that has not ended is reported again only after a while.
    """
    return sorted(
        hour
        for hour, count in buckets.items()
        if hour not in told or (count != told[hour][0] and (hour <= now or now - told[hour][1] >= REPEAT_AFTER))
    )


@dg.sensor(
    name="bucket_commits",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports the hours of core/order_book_metrics and core/trade_metrics that collectors wrote, with rows, lag and coverage",
)
def bucket_commits_sensor(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SkipReason:
    """Level-triggered on core.bucket_commits: an hour is told again when it has gained buckets. The cursor holds what was told."""
    now = datetime.now(UTC)
    hours = buckets_per_hour(database.engine, (now - LOOKBACK, now + HOUR))
    told = _read(context.cursor)
    counts = {row["hour_end_at"]: row["buckets"] for row in hours.group_by("hour_end_at").agg(pl.col("buckets").sum()).to_dicts()}
    late = hours_to_report(counts, told, now)
    for hour in late:
        parts = hours.filter(pl.col("hour_end_at") == hour)
        for key, rows in ((BOOKS, "book_rows"), (TRADES, "trade_rows")):
            context.instance.report_runless_asset_event(
                dg.AssetMaterialization(asset_key=key, partition=_partition(hour), metadata=_metadata(parts, rows))
            )
        told[hour] = (counts[hour], now)
    context.update_cursor(_write({hour: state for hour, state in told.items() if hour in counts}))
    return dg.SkipReason(f"reported {len(late)} of {len(counts)} hours")


def _partition(hour_end: datetime) -> str:
    return (hour_end - HOUR).strftime(HOURLY.fmt)


def _metadata(parts: pl.DataFrame, rows: str) -> dict[str, dg.MetadataValue | int | float | None]:
    seen, watched, lag = parts.select(
        (pl.col("seen_ratio") * pl.col("watched")).sum(), pl.col("watched").sum(), pl.col("lag_p99_seconds").max().alias("lag")
    ).row(0)
    return {
        "dagster/partition_row_count": int(parts[rows].sum()),
        "buckets": int(parts["buckets"].sum()),
        "instruments_watched": watched,
        "seen_ratio": seen / max(watched, 1),
        "lag_p99_seconds": lag,
        "exchanges": table_metadata.preview(parts.drop("hour_end_at")),
    }


def _read(cursor: str | None) -> dict[datetime, tuple[int, datetime]]:
    entries: dict[str, tuple[int, str]] = json.loads(cursor) if cursor else {}
    return {datetime.fromisoformat(hour): (count, datetime.fromisoformat(at)) for hour, (count, at) in entries.items()}


def _write(told: Mapping[datetime, tuple[int, datetime]]) -> str:
    return json.dumps({hour.isoformat(): (count, at.isoformat()) for hour, (count, at) in told.items()})
