"""Daily volumes, prices and numbers of trades of coins: of candles, of collected metrics, of tick trades, in one form."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis.sound import known, not_negative, positive
from pnd_dagster.analysis.sources import Sources, Ticks, read_columns, reading
from pnd_dagster.errors import SourceError
from pnd_dagster.tables import BUCKET_COMMITS, INSTRUMENTS, OHLCV_DAILY, ORDER_BOOK_METRICS, TRADE_METRICS

BUCKETS_PER_DAY = 24 * 3_600 // 5
CANDLE = "ohlcv"
"""Source of an exchange's own candles."""

DAILY = {
    "market": pl.String,
    "symbol": pl.String,
    "day": pl.Date,
    "volume": pl.Float64,
    "quote_volume": pl.Float64,
    "price": pl.Float64,
    "trade_count": pl.Int64,
    "is_complete": pl.Boolean,
    "source": pl.String,
}


def daily_of(sources: Sources) -> tuple[pl.DataFrame, list[str]]:
    """Daily candles of the database and of the file of candles, columns of `DAILY`; market is the exchange, symbol the base currency.

    Candles without a finite price and quantity are passed over; how many is said in the second result, a line each for database and file.

    Raises:
        SourceError: the file cannot be read, or does not fit.
    """
    candle = OHLCV_DAILY.c
    frame = sources.select(
        sa.select(
            candle.exchange.label("market"),
            sa.func.split_part(candle.symbol, "/", 1).label("symbol"),
            candle.day,
            candle.volume,
            candle.quote_volume,
            candle.close.label("price"),
            candle.trade_count,
            candle.is_complete,
            candle.source,
        )
    )
    parts = {"raw.ohlcv_daily": _typed(frame)}
    if (path := sources.files.candles) is not None:
        with reading(path):
            parts[path.name] = _candle_file(path)
    sound = [part.filter(not_negative("volume", "price")).with_columns(known("quote_volume")) for part in parts.values()]
    refused = {name: part.height - kept.height for (name, part), kept in zip(parts.items(), sound, strict=True)}
    notes = [f"{count:,} candles of {name} without a finite price and volume were passed over" for name, count in refused.items() if count]
    return pl.concat(sound), notes


def one_per_day(daily: pl.DataFrame) -> pl.DataFrame:
    """One row per market, symbol and day: a complete day before a partial one, an exchange's own candle before what was made of trades."""
    keys = ["market", "symbol", "day"]
    ordered = daily.sort(pl.col("is_complete").fill_null(False), pl.col("source") == CANDLE, "source", descending=[True, True, False])
    return ordered.unique(keys, keep="first", maintain_order=True)


def days_of_ticks(ticks: Ticks) -> pl.DataFrame:
    """Days made of tick trades, columns of `DAILY`; market is the event's id, so that events of one coin keep apart.

    A day is complete if the trades reach from before its start to beyond its end.
    """
    days = ticks.trades.group_by("event_id", day=pl.col("at").dt.date()).agg(
        volume=pl.col("quantity").sum(),
        quote_volume=(pl.col("price") * pl.col("quantity")).sum(),
        price=pl.col("price").last(),
        trade_count=pl.len(),
    )
    span = ticks.trades.group_by("event_id").agg(first=pl.col("at").min().dt.date(), last=pl.col("at").max().dt.date())
    named = days.join(span, on="event_id").join(ticks.events.select("event_id", "symbol"), on="event_id")
    return _typed(
        named.with_columns(
            market="event_id",
            is_complete=(pl.col("first") < pl.col("day")) & (pl.col("day") < pl.col("last")),
            source=pl.lit("tick trades"),
        )
    )


def days_of_metrics(sources: Sources) -> pl.DataFrame:
    """Days made of core.trade_metrics, columns of `DAILY`; a day is complete if every bucket of it was collected, and none blind.

    Coins that share a symbol on an exchange are left out: nothing says which of them was meant.
    """
    trade, listing = TRADE_METRICS.c, INSTRUMENTS.c
    day = sa.cast(sa.func.timezone("UTC", trade.bucket_end_at - sa.text("interval '1 microsecond'")), sa.Date)
    frame = sources.select(
        sa.select(
            listing.exchange.label("market"),
            listing.base_symbol.label("symbol"),
            trade.instrument_id,
            day.label("day"),
            sa.cast(sa.func.sum(trade.volume), sa.Double).label("volume"),
            sa.cast(sa.func.sum(trade.quote_volume), sa.Double).label("quote_volume"),
            sa.cast(sa.func.sum(trade.trade_count), sa.BigInteger).label("trade_count"),
            sa.func.bool_or(trade.is_gap).label("has_gap"),
        )
        .join_from(TRADE_METRICS, INSTRUMENTS, listing.instrument_id == trade.instrument_id)
        .group_by(listing.exchange, listing.base_symbol, trade.instrument_id, day)
    )
    single = frame.filter(pl.col("instrument_id").n_unique().over("market", "symbol", "day") == 1)
    seen = single.join(_collected_days(sources), on=["market", "day"], how="left")
    return _typed(
        seen.with_columns(
            price=pl.when(pl.col("volume") > 0).then(pl.col("quote_volume") / pl.col("volume")),
            is_complete=~pl.col("has_gap") & (pl.col("buckets") == BUCKETS_PER_DAY).fill_null(False),
            source=pl.lit("trade metrics"),
        )
    ).filter(not_negative("volume"), pl.col("quote_volume").is_null() | not_negative("quote_volume"))


def _collected_days(sources: Sources) -> pl.DataFrame:
    """How many buckets of a day were collected of an exchange: market, day, buckets."""
    bucket = BUCKET_COMMITS.c
    day = sa.cast(sa.func.timezone("UTC", bucket.bucket_end_at - sa.text("interval '1 microsecond'")), sa.Date)
    buckets = sa.func.count(bucket.bucket_end_at.distinct())
    return sources.select(
        sa.select(bucket.exchange.label("market"), day.label("day"), buckets.label("buckets")).group_by(bucket.exchange, day)
    )


def book_sizes_of(sources: Sources) -> pl.DataFrame:
    """Mean quantity of an order book's level by day from core.order_book_metrics: market, symbol, day, level_size [base units]."""
    book, listing = ORDER_BOOK_METRICS.c, INSTRUMENTS.c
    day = sa.cast(sa.func.timezone("UTC", book.bucket_end_at - sa.text("interval '1 microsecond'")), sa.Date)
    sizes = sources.select(
        sa.select(
            listing.exchange.label("market"),
            listing.base_symbol.label("symbol"),
            day.label("day"),
            sa.cast(sa.func.avg(book.average_order_size), sa.Double).label("level_size"),
        )
        .join_from(ORDER_BOOK_METRICS, INSTRUMENTS, listing.instrument_id == book.instrument_id)
        .where(~book.is_gap)
        .group_by(listing.exchange, listing.base_symbol, day)
        .having(sa.func.count(book.instrument_id.distinct()) == 1)
    )
    return sizes.filter(positive("level_size"))


def _candle_file(path: Path) -> pl.DataFrame:
    frame = read_columns(path, ("symbol", "close", "volume"))
    when = "day" if "day" in frame.columns else "timestamp"
    if when not in frame.columns:
        raise SourceError(f"{path}: missing column day or timestamp")
    given = frame.columns
    return _typed(
        frame.with_columns(
            market=pl.col("exchange") if "exchange" in given else pl.lit(path.stem),
            symbol=pl.col("symbol").str.split("/").list.first().str.to_uppercase(),
            day=pl.col(when).cast(pl.Date),
            price=pl.col("close"),
            is_complete=pl.col("is_complete").fill_null(False)
            if "is_complete" in given
            else (pl.col("hours") == 24 if "hours" in given else pl.lit(True)),
            source=pl.lit(path.name),
        )
    )


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of `DAILY`; those that a source does not have are NULL."""
    return frame.select((pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name) for name, dtype in DAILY.items())
