"""Vulnerability and flags of coins, from the database and into it, as of a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis.coin_flags import SWING_DAYS, USUAL_DAYS, coin_flags
from pnd_dagster.analysis.prior_pumps import prior_pumps
from pnd_dagster.analysis.sound import known, not_negative, positive
from pnd_dagster.analysis.vulnerability import vulnerability
from pnd_dagster.candidates.market_cap import MAX_CAP_AGE
from pnd_dagster.storage import Written, read_frame, replace_window
from pnd_dagster.tables import (
    CANDIDATE_COINS,
    COIN_FLAGS,
    COIN_LINKS,
    COIN_VULNERABILITY,
    COINMARKETCAP_SNAPSHOTS,
    INSTRUMENTS,
    OHLCV_DAILY,
    ORDER_BOOK_METRICS,
    PUMP_EVENTS,
    TRADE_METRICS,
    polars_schema,
)

_BOOK_COLUMNS = ("mid_price", "relative_spread", "average_order_size", "average_order_value", "value_imbalance", "order_book_pressure")


class CoinRows(NamedTuple):
    """What was written of a day: the rows, and what a reader should know, a line each."""

    written: Written
    rows: pl.DataFrame
    notes: list[str]


def last_day_of_books(engine: sa.Engine, now: datetime) -> date:
    """The last whole day if any book was collected then, else today: collectors run since a few hours, or not yet."""
    start, end = _span(now.date() - timedelta(days=1))
    book = ORDER_BOOK_METRICS.c.bucket_end_at
    return _yesterday_if(engine, now, sa.and_(book > start, book <= end))


def last_day_of_listings(engine: sa.Engine, now: datetime) -> date:
    """The last whole day if any market was known to be listed by its end, else today: a listing begins when it is first seen."""
    _, end = _span(now.date() - timedelta(days=1))
    return _yesterday_if(engine, now, INSTRUMENTS.c.valid_from < end)


def _yesterday_if(engine: sa.Engine, now: datetime, is_there: sa.ColumnElement[bool]) -> date:
    with engine.connect() as connection:
        is_known = connection.execute(sa.select(sa.exists().where(is_there))).scalar()
    return now.date() - timedelta(days=1) if is_known else now.date()


def write_vulnerability(engine: sa.Engine, day: date, now: datetime) -> CoinRows:
    """Makes out.coin_vulnerability of the day what its books and trades say: a row per instrument with a book. Run twice, nothing changes.

    The last book of each hour is read, not all of them. Prior pumps are those known before the day.

    Raises:
        DatabaseError: Postgres refused.
    """
    start, end = _span(day)
    book, trade, listing, candidate, event = (
        table.c for table in (ORDER_BOOK_METRICS, TRADE_METRICS, INSTRUMENTS, CANDIDATE_COINS, PUMP_EVENTS)
    )
    hour = sa.func.date_trunc("hour", book.bucket_end_at - sa.text("interval '1 microsecond'"))
    last = (
        sa.select(book.instrument_id, sa.func.max(book.bucket_end_at).label("bucket_end_at"))
        .where(book.bucket_end_at > start, book.bucket_end_at <= end, ~book.is_gap)
        .group_by(book.instrument_id, hour)
        .subquery("last")
    )
    is_last = sa.and_(book.instrument_id == last.c.instrument_id, book.bucket_end_at == last.c.bucket_end_at)
    columns = (book.instrument_id, book.bid_levels, book.ask_levels, *(book[name] for name in _BOOK_COLUMNS))
    in_day = sa.and_(book.bucket_end_at > start, book.bucket_end_at <= end)
    books = read_frame(engine, sa.select(*columns).join_from(ORDER_BOOK_METRICS, last, is_last).where(in_day))
    values = read_frame(
        engine,
        sa.select(trade.instrument_id, sa.cast(sa.func.sum(trade.quote_volume), sa.Double).label("value_24h_usd"))
        .where(trade.bucket_end_at > start, trade.bucket_end_at <= end)
        .group_by(trade.instrument_id),
    )
    caps = read_frame(
        engine,
        sa.select(candidate.instrument_id, candidate.market_cap_usd)
        .distinct(candidate.instrument_id)
        .where(candidate.as_of_date.between(day - MAX_CAP_AGE, day))
        .order_by(candidate.instrument_id, candidate.as_of_date.desc()),
    )
    instruments = read_frame(engine, sa.select(listing.instrument_id, listing.exchange, listing.symbol, listing.base_symbol))
    events = read_frame(engine, sa.select(event.exchange, event.symbol, event.released_at).where(event.released_at < start))
    seen = instruments.join(books.select("instrument_id").unique(), on="instrument_id", how="semi").sort("instrument_id")
    asked = seen.select("instrument_id", "exchange", symbol="base_symbol", at=pl.lit(start))
    prior = prior_pumps(events, asked).select("instrument_id", "prior_pumps")
    rows = (
        vulnerability(seen, books)
        .join(values, on="instrument_id", how="left")
        .join(caps, on="instrument_id", how="left")
        .join(prior, on="instrument_id")
        .with_columns(pl.col("value_24h_usd").fill_null(0.0))
        .with_columns(known("value_24h_usd"), known("market_cap_usd"), as_of_date=pl.lit(day), computed_at=pl.lit(now))
        .select(polars_schema(COIN_VULNERABILITY).names())
    )
    written = replace_window(engine, COIN_VULNERABILITY, rows, COIN_VULNERABILITY.c.as_of_date == day)
    notes = [f"{rows.height:,} instruments with a book on {day}, {rows['score'].count():,} with a score; ranked within their exchange"]
    if rows.is_empty():
        notes.append("no books of that day: run `pnd collect`")
    return CoinRows(written, rows, notes)


def write_flags(engine: sa.Engine, day: date, now: datetime) -> CoinRows:
    """Makes out.coin_flags of the day what links, capitalisations, snapshots and candles say. Run twice, nothing changes.

    Raises:
        DatabaseError: Postgres refused.
    """
    _, end = _span(day)
    listing, link, candidate, snapshot, candle = (
        table.c for table in (INSTRUMENTS, COIN_LINKS, CANDIDATE_COINS, COINMARKETCAP_SNAPSHOTS, OHLCV_DAILY)
    )
    is_listed = sa.and_(listing.valid_from < end, sa.or_(listing.valid_to.is_(None), listing.valid_to >= end), ~listing.is_derivative)
    coins = read_frame(
        engine,
        sa.select(listing.instrument_id, listing.exchange, listing.symbol, link.coin_id, link.reason.label("link_reason"))
        .join_from(INSTRUMENTS, COIN_LINKS, link.instrument_id == listing.instrument_id, isouter=True)
        .where(is_listed)
        .order_by(listing.instrument_id),
    )
    caps = read_frame(
        engine,
        sa.select(candidate.instrument_id, candidate.cap_source, candidate.market_cap_usd)
        .distinct(candidate.instrument_id)
        .where(candidate.as_of_date.between(day - MAX_CAP_AGE, day))
        .order_by(candidate.instrument_id, candidate.as_of_date.desc()),
    )
    added = read_frame(
        engine,
        sa.select(snapshot.coin_id, snapshot.added_at)
        .distinct(snapshot.coin_id)
        .where(snapshot.snapshot_at < end)
        .order_by(snapshot.coin_id, snapshot.snapshot_at.desc()),
    )
    given = (candle[name] for name in ("exchange", "symbol", "day", "high", "low", "close", "volume", "quote_volume"))
    candles = read_frame(
        engine, sa.select(*given).where(candle.is_complete, candle.day.between(day - timedelta(days=SWING_DAYS + USUAL_DAYS), day))
    ).with_columns(value=pl.coalesce("quote_volume", pl.col("volume") * pl.col("close")))
    sound = candles.filter(positive("high", "low", "close"), not_negative("value"))
    described = coins.join(caps.with_columns(known("market_cap_usd")), on="instrument_id", how="left").join(added, on="coin_id", how="left")
    rows = coin_flags(described, sound, day)
    written = replace_window(engine, COIN_FLAGS, rows.with_columns(computed_at=pl.lit(now)), COIN_FLAGS.c.as_of_date == day)
    notes = [f"{coins.height:,} instruments listed on {day}, {rows['instrument_id'].n_unique():,} with a flag"]
    if refused := candles.height - sound.height:
        notes.append(f"{refused:,} candles without positive, finite prices were passed over")
    missing = {"instruments": coins, "decisions on candidates": caps, "snapshots of CoinMarketCap": added, "daily candles": candles}
    notes += [f"no {what} are known yet: such flags are not raised" for what, frame in missing.items() if frame.is_empty()]
    return CoinRows(written, rows, notes)


def _span(day: date) -> tuple[datetime, datetime]:
    """The day's buckets end in (start, end]."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + timedelta(days=1)
