"""Counts of candles, buckets and metrics, for metadata, plots and checks."""

from __future__ import annotations

from datetime import date

import polars as pl
import sqlalchemy as sa

from pnd_dagster.storage import Window, read_frame, within
from pnd_dagster.tables import BUCKET_COMMITS, INSTRUMENTS, OHLCV_DAILY, OHLCV_GAPS, ORDER_BOOK_METRICS

# Width of a step in `spread_distribution`: four to a factor of ten.
SPREAD_STEPS = 4


def candles_per_day(engine: sa.Engine, days: tuple[date, date]) -> pl.DataFrame:
    """Candles by day, from the first to before the second of `days`: day, row_count."""
    candle = OHLCV_DAILY.c
    return read_frame(
        engine,
        sa.select(candle.day, sa.func.count().label("row_count")).where(candle.day >= days[0], candle.day < days[1]).group_by(candle.day),
    )


def candles_per_exchange(engine: sa.Engine, days: tuple[date, date]) -> pl.DataFrame:
    """What a span of days holds: exchange, pairs, candles, gaps (days asked for that had no candle)."""
    candle, gap = OHLCV_DAILY.c, OHLCV_GAPS.c
    candles = read_frame(
        engine,
        sa.select(candle.exchange, sa.func.count(candle.symbol.distinct()).label("pairs"), sa.func.count().label("candles"))
        .where(candle.day >= days[0], candle.day < days[1])
        .group_by(candle.exchange),
    )
    gaps = read_frame(
        engine,
        sa.select(gap.exchange, sa.func.count().label("gaps")).where(gap.day >= days[0], gap.day < days[1]).group_by(gap.exchange),
    )
    return candles.join(gaps, on="exchange", how="full", coalesce=True).with_columns(pl.exclude("exchange").fill_null(0)).sort("exchange")


def latest_candle_gaps(engine: sa.Engine, days: tuple[date, date], rows: int = 50) -> pl.DataFrame:
    """Pairs and days without a candle, the newest first."""
    gap = OHLCV_GAPS.c
    return read_frame(
        engine,
        sa.select(gap.exchange, gap.symbol, gap.day, gap.reason, gap.detail)
        .where(gap.day >= days[0], gap.day < days[1])
        .order_by(gap.day.desc(), gap.exchange, gap.symbol)
        .limit(rows),
    )


def listed(engine: sa.Engine) -> pl.DataFrame:
    """Markets that are listed now: exchange, markets, derivatives."""
    instrument = INSTRUMENTS.c
    return read_frame(
        engine,
        sa.select(
            instrument.exchange, sa.func.count().label("markets"), sa.func.count().filter(instrument.is_derivative).label("derivatives")
        )
        .where(instrument.valid_to.is_(None))
        .group_by(instrument.exchange)
        .order_by(instrument.exchange),
    )


def buckets_per_hour(engine: sa.Engine, window: Window) -> pl.DataFrame:
    """Committed buckets by exchange and hour.

    Columns: exchange, hour_end_at, shards, buckets, watched (instruments, all shards), book_rows, trade_rows, seen_ratio (share of
    instruments and buckets in which the feed was not blind), lag_p50_seconds, lag_p99_seconds, rejected_frames, duplicates,
    unusable_books.
    """
    bucket = BUCKET_COMMITS.c
    # A bucket that ends on the full hour belongs to the hour that ends there.
    hour_end = sa.func.date_trunc("hour", bucket.bucket_end_at - sa.text("interval '1 microsecond'"), "UTC") + sa.text("interval '1 hour'")
    by_shard = (
        sa.select(
            bucket.exchange,
            bucket.shard,
            hour_end.label("hour_end_at"),
            sa.func.count().label("buckets"),
            sa.func.max(bucket.watched).label("watched"),
            *(sa.func.sum(bucket[name]).label(name) for name in ("book_rows", "trade_rows", "rejected_frames", "duplicates")),
            sa.func.sum(bucket.unusable_books).label("unusable_books"),
            sa.func.sum(bucket.watched - bucket.blind).label("seen"),
            sa.func.sum(bucket.watched).label("watched_buckets"),
            *(_percentile(bucket.lag_seconds, share).label(f"lag_{name}_seconds") for name, share in (("p50", 0.5), ("p99", 0.99))),
        )
        .where(within(bucket.bucket_end_at, window))
        .group_by(bucket.exchange, bucket.shard, hour_end)
        .subquery()
    )
    shard = by_shard.c
    frame = read_frame(
        engine,
        sa.select(
            shard.exchange,
            shard.hour_end_at,
            sa.func.count().label("shards"),
            *(
                sa.cast(sa.func.sum(shard[name]), sa.BigInteger).label(name)
                for name in ("buckets", "watched", "book_rows", "trade_rows", "rejected_frames", "duplicates", "unusable_books")
            ),
            (sa.cast(sa.func.sum(shard.seen), sa.Double) / sa.func.nullif(sa.func.sum(shard.watched_buckets), 0)).label("seen_ratio"),
            *(sa.func.max(shard[f"lag_{name}_seconds"]).label(f"lag_{name}_seconds") for name in ("p50", "p99")),
        )
        .group_by(shard.exchange, shard.hour_end_at)
        .order_by(shard.hour_end_at, shard.exchange),
    )
    return frame.with_columns(pl.col("hour_end_at").cast(pl.Datetime("us", "UTC")))


def coverage(engine: sa.Engine, window: Window) -> pl.DataFrame:
    """Listed, watched and seen instruments: exchange, listed (without derivatives), watched, seen (with a book in `window`).

    Also watched_ratio, of the listed, and seen_ratio, of the watched.
    """
    instrument, bucket, metric = INSTRUMENTS.c, BUCKET_COMMITS.c, ORDER_BOOK_METRICS.c
    listings = read_frame(
        engine,
        sa.select(instrument.exchange, sa.func.count().label("listed"))
        .where(instrument.valid_to.is_(None), ~instrument.is_derivative)
        .group_by(instrument.exchange),
    )
    newest = (
        sa.select(bucket.exchange, bucket.shard, bucket.watched)
        .distinct(bucket.exchange, bucket.shard)
        .where(within(bucket.bucket_end_at, window))
        .order_by(bucket.exchange, bucket.shard, bucket.bucket_end_at.desc())
        .subquery()
    )
    watched = read_frame(engine, sa.select(newest.c.exchange, sa.func.sum(newest.c.watched).label("watched")).group_by(newest.c.exchange))
    books = sa.select(metric.instrument_id).distinct().where(within(metric.bucket_end_at, window)).subquery()
    seen = read_frame(
        engine,
        sa.select(instrument.exchange, sa.func.count().label("seen"))
        .join_from(INSTRUMENTS, books, books.c.instrument_id == instrument.instrument_id)
        .group_by(instrument.exchange),
    )
    return (
        listings.join(watched, on="exchange", how="full", coalesce=True)
        .join(seen, on="exchange", how="full", coalesce=True)
        .with_columns(pl.col("listed", "watched", "seen").fill_null(0).cast(pl.Int64))
        .with_columns(
            (pl.col("watched") / pl.col("listed")).fill_nan(None).alias("watched_ratio"),
            (pl.col("seen") / pl.col("watched")).fill_nan(None).alias("seen_ratio"),
        )
        .sort("exchange")
    )


def spread_distribution(engine: sa.Engine, window: Window) -> pl.DataFrame:
    """Books by exchange and size of the relative spread: exchange, spread_ratio (lower end of a quarter decade), books."""
    metric, instrument = ORDER_BOOK_METRICS.c, INSTRUMENTS.c
    step = sa.func.floor(sa.func.log(sa.func.greatest(metric.relative_spread, 1e-6)) * SPREAD_STEPS)
    counts = read_frame(
        engine,
        sa.select(instrument.exchange, sa.cast(step, sa.Integer).label("step"), sa.func.count().label("books"))
        .join_from(ORDER_BOOK_METRICS, INSTRUMENTS, instrument.instrument_id == metric.instrument_id)
        .where(within(metric.bucket_end_at, window), metric.relative_spread.is_not(None))
        .group_by(instrument.exchange, step),
    )
    return counts.with_columns((10 ** (pl.col("step") / SPREAD_STEPS)).alias("spread_ratio")).drop("step").sort("spread_ratio", "exchange")


def newest_buckets(engine: sa.Engine, window: Window) -> pl.DataFrame:
    """The last bucket in `window` per exchange and shard: exchange, shard, bucket_end_at, lag_seconds."""
    bucket = BUCKET_COMMITS.c
    return read_frame(
        engine,
        sa.select(bucket.exchange, bucket.shard, bucket.bucket_end_at, bucket.lag_seconds)
        .distinct(bucket.exchange, bucket.shard)
        .where(within(bucket.bucket_end_at, window))
        .order_by(bucket.exchange, bucket.shard, bucket.bucket_end_at.desc()),
    )


def _percentile(value: sa.ColumnElement[float], share: float) -> sa.ColumnElement[float]:
    return sa.func.percentile_cont(share).within_group(value.asc())
