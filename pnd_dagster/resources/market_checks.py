"""Checks of the metric tables: what can never be, whether buckets follow each other, and whether all coins are seen.

They look at the last hours only: the tables hold tens of millions of rows, and what is older was looked at then.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import sqlalchemy as sa

from pnd_dagster.market import summaries
from pnd_dagster.resources import table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.storage import Window, read_frame, within
from pnd_dagster.tables import BUCKET_COMMITS, BUCKET_SECONDS, OHLCV_DAILY

SPAN = timedelta(hours=2)
# A collector that has not committed for this long is silent; one that has not for a day was ended on purpose.
MAX_AGE = timedelta(seconds=60)
LEAST_SEEN_RATIO = 0.9


def never_check(
    asset: dg.AssetKey, table: sa.Table, name: str, description: str, impossible: sa.ColumnElement[bool]
) -> dg.AssetChecksDefinition:
    """A check that no metric row of the last hours meets a condition.

    Args:
        asset: the asset that is checked.
        table: its table, with bucket_end_at.
        name: the check's name.
        description: what holds when it passes.
        impossible: condition on the table's columns that no row may meet.
    """

    def examine(engine: sa.Engine, window: Window) -> tuple[bool, dict[str, dg.MetadataValue | int]]:
        inside = within(table.c.bucket_end_at, window)
        rows = read_frame(engine, sa.select(table).where(inside, impossible).order_by(table.c.bucket_end_at.desc()).limit(10))
        looked_at = int(read_frame(engine, sa.select(sa.func.count().label("rows")).where(inside)).item())
        return rows.is_empty(), {"rows_looked_at": looked_at, "examples": table_metadata.preview(rows)}

    return _check(asset, name, description, examine)


def buckets_follow_check(asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """A check that buckets are aligned to the clock, come in order, and that none is missing between the first and the last."""

    def examine(engine: sa.Engine, window: Window) -> tuple[bool, dict[str, dg.MetadataValue | int]]:
        shards = bucket_sequences(engine, window)
        faulty = shards.filter((pl.col("missing") > 0) | (pl.col("misaligned") > 0) | (pl.col("before_their_end") > 0))
        return faulty.is_empty(), {"shards": table_metadata.preview(shards)}

    return _check(
        asset, "buckets_follow_each_other", "Buckets are aligned to 5 s, none is missing, none was written before its end", examine
    )


def bucket_sequences(engine: sa.Engine, window: Window) -> pl.DataFrame:
    """Per exchange and shard: buckets, missing (between the first and the last), misaligned, before_their_end (negative lag)."""
    bucket = BUCKET_COMMITS.c
    seconds = sa.cast(sa.extract("epoch", bucket.bucket_end_at), sa.Double)
    span = sa.func.max(seconds) - sa.func.min(seconds)
    return read_frame(
        engine,
        sa.select(
            bucket.exchange,
            bucket.shard,
            sa.func.count().label("buckets"),
            sa.cast(span / BUCKET_SECONDS + 1 - sa.func.count(), sa.BigInteger).label("missing"),
            sa.func.count().filter(sa.cast(seconds, sa.Numeric) % BUCKET_SECONDS != 0).label("misaligned"),
            sa.func.count().filter(bucket.lag_seconds < 0).label("before_their_end"),
        )
        .where(within(bucket.bucket_end_at, window))
        .group_by(bucket.exchange, bucket.shard)
        .order_by(bucket.exchange, bucket.shard),
    )


def coverage_check(asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """A check that the collected exchanges' watched coins had a book lately, beside the market list."""

    def examine(engine: sa.Engine, window: Window) -> tuple[bool, dict[str, dg.MetadataValue | int]]:
        coverage = summaries.coverage(engine, window)
        short = coverage.filter(pl.col("watched") > 0, pl.col("seen_ratio") < LEAST_SEEN_RATIO)
        return short.is_empty(), {"coverage": table_metadata.preview(coverage)}

    return _check(
        asset, "watched_coins_are_seen", f"At least {LEAST_SEEN_RATIO:.0%} of each collected exchange's watched coins had a book", examine
    )


def freshness_check(asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """A check that every shard that committed within a day has committed lately."""

    def examine(engine: sa.Engine, window: Window) -> tuple[bool, dict[str, dg.MetadataValue | int]]:
        now = window[1]
        newest = summaries.newest_buckets(engine, (now - timedelta(days=1), now + timedelta(minutes=1)))
        aged = newest.with_columns((pl.lit(now) - pl.col("bucket_end_at")).dt.total_seconds().alias("age_seconds"))
        return aged.filter(pl.col("age_seconds") > MAX_AGE.total_seconds()).is_empty(), {"shards": table_metadata.preview(aged)}

    return _check(asset, "buckets_are_fresh", f"Every collector's last bucket is at most {MAX_AGE.total_seconds():.0f} s old", examine)


def candles_check(asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    """A check that candles are possible: low <= open, close <= high, nothing negative."""
    candle = OHLCV_DAILY.c
    impossible = sa.or_(
        candle.low > sa.func.least(candle.open, candle.close),
        candle.high < sa.func.greatest(candle.open, candle.close),
        candle.low < 0,
        candle.volume < 0,
        candle.quote_volume < 0,
    )

    @dg.asset_check(asset=asset, name="candles_are_possible", description="low <= open, close <= high; no price or volume is negative")
    def candles_are_possible(database: DatabaseResource) -> dg.AssetCheckResult:
        rows = read_frame(database.engine, sa.select(OHLCV_DAILY).where(impossible).limit(10))
        return dg.AssetCheckResult(passed=rows.is_empty(), metadata={"examples": table_metadata.preview(rows)})

    return candles_are_possible


def _check(
    asset: dg.AssetKey,
    name: str,
    description: str,
    examine: Callable[[sa.Engine, Window], tuple[bool, dict[str, dg.MetadataValue | int]]],
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=name, description=description)
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        now = datetime.now(UTC)
        passed, metadata = examine(database.engine, (now - SPAN, now))
        return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=metadata)

    return check
