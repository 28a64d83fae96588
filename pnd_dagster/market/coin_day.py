"""One instrument's day as it is stored: its metric rows and the gaps in them."""

from __future__ import annotations

import difflib
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SourceError
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import FEED_GAPS, INSTRUMENTS, ORDER_BOOK_METRICS, TRADE_METRICS


class CoinDay(NamedTuple):
    """What is stored of one instrument and UTC day.

    Attributes:
        exchange, symbol, day: which.
        books: bucket_end_at, mid_price, bid_ask_spread, relative_spread, order_book_pressure, is_gap.
        trades: bucket_end_at, vwap, trade_count, volume, is_gap.
        gaps: started_at, ended_at, reason; cut to the day.
    """

    exchange: str
    symbol: str
    day: date
    books: pl.DataFrame
    trades: pl.DataFrame
    gaps: pl.DataFrame


def read_coin_day(engine: sa.Engine, coin: str, *, exchange: str | None = None, day: date | None = None) -> CoinDay:
    """The day of a coin, by default the last one with rows, on the exchange with the most of them.

    Args:
        engine: the platform's database.
        coin: base symbol or pair, e.g. `ABC` or `ABC/USDT`.
        exchange: canonical id.
        day: UTC.

    Raises:
        SourceError: no such coin (names the nearest), or no rows that day (names the days there are).
        DatabaseError: Postgres cannot be reached.
    """
    instruments = _instruments(engine, coin.upper(), exchange)
    days = _days(engine, instruments["instrument_id"].to_list())
    where = f"{coin.upper()}{f' on {exchange}' if exchange else ''}"
    if days.is_empty():
        raise SourceError(f"{where}: nothing is collected yet; `pnd collect` does that")
    chosen = days if day is None else days.filter(pl.col("day") == day)
    if chosen.is_empty():
        known = days["day"].unique().sort().dt.to_string("%Y-%m-%d").to_list()
        raise SourceError(f"{where}: nothing is stored of {day}; there is {_listed(known)}")
    newest = chosen.filter(pl.col("day") == pl.col("day").max()).sort("rows")
    instrument_id, found_day = newest["instrument_id"][-1], newest["day"][-1]
    instrument = instruments.filter(pl.col("instrument_id") == instrument_id).row(0, named=True)
    return _read(engine, instrument, found_day)


def _instruments(engine: sa.Engine, coin: str, exchange: str | None) -> pl.DataFrame:
    listing = INSTRUMENTS.c
    everything = read_frame(engine, sa.select(listing.instrument_id, listing.exchange, listing.symbol, listing.base_symbol))
    if everything.is_empty():
        raise SourceError("no instruments are known yet; `pnd run core/instruments` reads them")
    here = everything if exchange is None else everything.filter(pl.col("exchange") == exchange)
    if here.is_empty():
        raise SourceError(f"no instruments of {exchange} are known; there is {_listed(everything['exchange'].unique().sort().to_list())}")
    found = here.filter((pl.col("base_symbol") == coin) | (pl.col("symbol") == coin))
    if found.is_empty():
        near = difflib.get_close_matches(coin.split("/")[0], here["base_symbol"].unique().sort().to_list(), n=5, cutoff=0.5)
        raise SourceError(f"no coin {coin}{f' on {exchange}' if exchange else ''}{'; do you mean ' + ', '.join(near) if near else ''}")
    return found


def _days(engine: sa.Engine, instrument_ids: list[int]) -> pl.DataFrame:
    """instrument_id, day, rows."""
    parts = [
        sa.select(table.c.instrument_id, sa.cast(sa.func.timezone("UTC", table.c.bucket_end_at), sa.Date).label("day"))
        .where(table.c.instrument_id.in_(instrument_ids))
        .subquery()
        for table in (ORDER_BOOK_METRICS, TRADE_METRICS)
    ]
    rows = sa.union_all(*(sa.select(part.c.instrument_id, part.c.day) for part in parts)).subquery()
    counted = sa.select(rows.c.instrument_id, rows.c.day, sa.func.count().label("rows")).group_by(rows.c.instrument_id, rows.c.day)
    return read_frame(engine, counted)


def _read(engine: sa.Engine, instrument: dict[str, object], day: date) -> CoinDay:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = start + timedelta(days=1)
    book, trade, gap = ORDER_BOOK_METRICS.c, TRADE_METRICS.c, FEED_GAPS.c
    instrument_id = instrument["instrument_id"]

    def rows(select: sa.Select[Any], columns: Any) -> pl.DataFrame:
        at = columns.bucket_end_at
        return read_frame(engine, select.where(columns.instrument_id == instrument_id, at >= start, at < end).order_by(at))

    books = sa.select(book.bucket_end_at, book.mid_price, book.bid_ask_spread, book.relative_spread, book.order_book_pressure, book.is_gap)
    trades = sa.select(trade.bucket_end_at, trade.vwap, trade.trade_count, trade.volume, trade.is_gap)
    gaps = sa.select(
        sa.func.greatest(gap.started_at, start).label("started_at"),
        sa.func.least(sa.func.coalesce(gap.ended_at, sa.func.now()), end).label("ended_at"),
        gap.reason,
    ).where(
        gap.exchange == instrument["exchange"],
        sa.literal(instrument_id, sa.BigInteger) == sa.any_(gap.instrument_ids),
        gap.started_at < end,
        sa.func.coalesce(gap.ended_at, end) > start,
    )
    return CoinDay(
        str(instrument["exchange"]),
        str(instrument["symbol"]),
        day,
        rows(books, book),
        rows(trades, trade),
        read_frame(engine, gaps.order_by(gap.started_at)),
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:3])} ... {', '.join(names[-2:])} ({len(names)} in all)"
