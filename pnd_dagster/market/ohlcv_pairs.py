"""Which daily candles are still lacking, by pair."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SourceError
from pnd_dagster.storage import Window, read_frame
from pnd_dagster.tables import INSTRUMENTS, OHLCV_DAILY, OHLCV_GAPS

log = logging.getLogger(__name__)

DAY = timedelta(days=1)
# A gap is asked for again until a day and a night after the day's end: exchanges deliver late, but not for ever.
SETTLED_AFTER = timedelta(days=1)


class Pair(NamedTuple):
    """A pair and the days of the window it still lacks, in order."""

    symbol: str
    market_id: str
    days: list[date]
    # Days with an incomplete candle: the number of trades it was made of.
    partial: dict[date, int]
    delisted_at: datetime | None


def pairs_due(engine: sa.Engine, exchange: str, window: Window, now: datetime) -> list[Pair]:
    """The exchange's pairs that lack days of the window, by symbol.

    A day is not lacking if its candle is complete, or if its gap was listed `SETTLED_AFTER` its end and the exchange did not just refuse.

    Raises:
        SourceError: no instrument of the exchange is known yet.
    """
    listing = INSTRUMENTS.c
    instruments = read_frame(
        engine,
        sa.select(listing.symbol, listing.market_id, listing.valid_from, listing.valid_to).where(listing.exchange == exchange),
    )
    if instruments.is_empty():
        raise SourceError(f"{exchange}: core.instruments holds no markets of it; refresh the instruments first")
    days = _days(window, now)
    if not days:
        return []
    # Of several listings of one symbol the one that is open, then the newest, is asked: raw.ohlcv_daily has one candle per symbol.
    is_open = instruments.filter(pl.col("valid_to").is_null())
    if namesakes := sorted(set(is_open.filter(pl.col("symbol").is_duplicated())["symbol"])):
        log.warning("%s: several markets share a symbol, candles are of the newest one: %s", exchange, ", ".join(namesakes))
    latest = instruments.sort("symbol", "valid_to", "valid_from", nulls_last=True, descending=[False, False, False]).unique(
        "symbol", keep="last", maintain_order=True
    )
    latest = latest.filter(pl.col("valid_to").is_null() | (pl.col("valid_to") > pl.lit(day_start(days[0]))))
    stored, settled = _stored_days(engine, exchange, days)
    pairs = (
        Pair(
            row["symbol"],
            row["market_id"],
            [day for day in days if (row["symbol"], day) not in settled and stored.get((row["symbol"], day), 0) is not None],
            {day: count for day in days if (count := stored.get((row["symbol"], day))) is not None},
            row["valid_to"],
        )
        for row in latest.iter_rows(named=True)
    )
    return [pair for pair in pairs if pair.days]


def _days(window: Window, now: datetime) -> list[date]:
    first = window[0].astimezone(UTC)
    day = first.date() if first == day_start(first.date()) else first.date() + DAY
    days: list[date] = []
    while day_start(day) < min(window[1], now):
        days.append(day)
        day += DAY
    return days


def _stored_days(
    engine: sa.Engine, exchange: str, days: Sequence[date]
) -> tuple[dict[tuple[str, date], int | None], set[tuple[str, date]]]:
    """Candles that are there: None where complete, else the number of trades; and the gaps that are settled."""
    candle, gap = OHLCV_DAILY.c, OHLCV_GAPS.c
    candles = read_frame(
        engine,
        sa.select(candle.symbol, candle.day, candle.is_complete, candle.trade_count).where(
            candle.exchange == exchange, candle.day.between(days[0], days[-1])
        ),
    )
    gaps = read_frame(
        engine,
        sa.select(gap.symbol, gap.day, gap.asked_at).where(
            gap.exchange == exchange, gap.day.between(days[0], days[-1]), gap.reason != "refused"
        ),
    )
    stored = {(symbol, day): None if is_complete else count or 0 for symbol, day, is_complete, count in candles.iter_rows()}
    settled = {(symbol, day) for symbol, day, asked_at in gaps.iter_rows() if asked_at >= day_start(day) + DAY + SETTLED_AFTER}
    return stored, settled


def day_start(day: date) -> datetime:
    """Midnight UTC at which the day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
