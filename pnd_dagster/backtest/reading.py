"""Files of a backtest: known pumps (CSV), and trades and books around them (Parquet)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pnd_dagster.backtest.grids import BookStream, TradeStream
from pnd_dagster.errors import SourceError
from pnd_dagster.market.book_metrics import empty_books
from pnd_dagster.market.feeds.protocol import BUY, SELL, UNKNOWN
from pnd_dagster.tables import BOOK_LEVELS

SAME_PUMP = timedelta(hours=2)
"""Announcements of one coin so close to each other are one event."""

_EVENT_COLUMNS = ("event_id", "event_coin", "event_time")
_KEYS: dict[str, type[pl.DataType]] = {"event_id": pl.String, "timestamp_ms": pl.Int64}
_TRADE_COLUMNS = _KEYS | {"side": pl.String, "price": pl.Float64, "amount": pl.Float64, "btc_volume": pl.Float64}
_BOOK_COLUMNS = _KEYS | {"side": pl.String, "level": pl.Int64, "price": pl.Float64, "amount": pl.Float64}
_SIDES = {"buy": BUY, "sell": SELL}
_BOOK_SIDES = {"bid": 0, "bids": 0, "buy": 0, "ask": 1, "asks": 1, "sell": 1}


class Event(NamedTuple):
    """A pump, however many channels announced it.

    Attributes:
        event_id: names its trades and books.
        coin: upper case.
        at: announced start, milliseconds since 1970.
    """

    event_id: str
    coin: str
    at: int


def event_ids(path: Path) -> set[str]:
    """The events that a Parquet file of trades or books has rows of.

    Raises:
        SourceError: the file cannot be read, or has no column event_id.
    """
    try:
        file = pl.scan_parquet(path)
        _must_have(path, file.collect_schema().names(), ("event_id",))
        return set(file.select(pl.col("event_id").cast(pl.String).unique()).collect()["event_id"].drop_nulls())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{path}: {_first_line(error)}") from error


def read_events(path: Path, known: set[str]) -> list[Event]:
    """The pumps of a CSV file, ascending in time and id; a time without a zone is UTC.

    Several rows of one coin within 2 h are one event: the earliest time counts, and the first id in alphabetical order, those of
    which there is data before the others.

    Args:
        path: CSV with event_id, event_coin, event_time; other columns and the order do not matter.
        known: ids of which there are trades or books.

    Raises:
        SourceError: the file cannot be read, a column is missing, or a row has no id, no coin or no time.
    """
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{path}: {_first_line(error)}") from error
    _must_have(path, frame.columns, _EVENT_COLUMNS)
    rows = [_event(f"{path}, row {number}", *row) for number, row in enumerate(frame.select(_EVENT_COLUMNS).iter_rows(), 2)]
    coins = dict[str, str]()
    for event in rows:
        if coins.setdefault(event.event_id, event.coin) != event.coin:
            raise SourceError(f"{path}: event_id {event.event_id} stands for two coins, {coins[event.event_id]} and {event.coin}")
    events = _distinct(rows, known)
    ids = [event.event_id for event in events]
    if repeated := [event_id for event_id, later in pairwise(sorted(ids)) if event_id == later]:
        raise SourceError(f"{path}: event_id {repeated[0]} stands for two pumps more than 2 h apart")
    return sorted(events, key=lambda event: (event.at, event.event_id))


def read_trades(path: Path, until: dict[str, int]) -> tuple[dict[str, TradeStream], int]:
    """Trades by event, and how many were refused; like live, a trade without a positive, finite price and amount is none.

    Args:
        path: Parquet with event_id, timestamp_ms, side (the taker's), price, amount, btc_volume; other columns and the order do not matter.
        until: event_id -> milliseconds since 1970; later trades of the event are not looked at, and those of other events neither.

    Raises:
        SourceError: the file cannot be read, or a column is missing or of another type.
    """
    rows = _read(path, _TRADE_COLUMNS, until)
    is_sound = pl.all_horizontal(pl.col(name).is_finite() & (pl.col(name) > 0) for name in ("price", "amount"))
    sound = rows.filter(is_sound).with_columns(
        pl.col("side").str.to_lowercase().replace_strict(_SIDES, default=UNKNOWN, return_dtype=pl.Int64)
    )
    streams = {
        str(event_id): TradeStream(*(part[name].to_numpy() for name in ("timestamp_ms", "price", "amount", "side")))
        for (event_id,), part in sound.sort("event_id", "timestamp_ms", "side", "price", "amount").group_by("event_id")
    }
    return streams, rows.height - sound.height


def read_books(path: Path, until: dict[str, int]) -> tuple[dict[str, BookStream], int]:
    """Books by event, and how many rows were refused: those without a positive, finite price and amount, or a known side and level.

    All rows of one event and instant are one book; of level 0 is the best. Levels beyond the twentieth are not looked at.

    Args:
        path: Parquet with event_id, timestamp_ms, side (bid or ask), level, price, amount; other columns and the order do not matter.
        until: event_id -> milliseconds since 1970; later books of the event are not looked at, and those of other events neither.

    Raises:
        SourceError: the file cannot be read, or a column is missing or of another type.
    """
    rows = _read(path, _BOOK_COLUMNS, until).with_columns(
        pl.col("side").str.to_lowercase().replace_strict(_BOOK_SIDES, default=None, return_dtype=pl.Int64)
    )
    is_sound = pl.all_horizontal(pl.col(name).is_finite() & (pl.col(name) > 0) for name in ("price", "amount"))
    sound = rows.filter(is_sound & pl.col("side").is_not_null() & (pl.col("level") >= 0))
    return {str(event_id): _book_stream(part) for (event_id,), part in sound.group_by("event_id")}, rows.height - sound.height


def _book_stream(rows: pl.DataFrame) -> BookStream:
    """Books of one event's rows."""
    ordered = rows.sort("timestamp_ms", "side", "level", "price", "amount")
    place = ordered.select(place=pl.int_range(pl.len()).over("timestamp_ms", "side"))["place"].to_numpy()
    times, book = np.unique(ordered["timestamp_ms"].to_numpy(), return_inverse=True)
    side, price, amount = (ordered[name].to_numpy() for name in ("side", "price", "amount"))
    books = empty_books(len(times), BOOK_LEVELS)
    sides = ((books.bid_prices, books.bid_quantities, books.bid_levels), (books.ask_prices, books.ask_quantities, books.ask_levels))
    for number, (prices, quantities, levels) in enumerate(sides):
        own = (side == number) & (place < BOOK_LEVELS)
        prices[book[own], place[own]], quantities[book[own], place[own]] = price[own], amount[own]
        levels[:] = np.bincount(book[own], minlength=len(times))
    return BookStream(times, books)


def _read(path: Path, columns: dict[str, type[pl.DataType]], until: dict[str, int]) -> pl.DataFrame:
    try:
        file = pl.scan_parquet(path)
        _must_have(path, file.collect_schema().names(), columns)
        limits = pl.LazyFrame({"event_id": list(until), "until": list(until.values())}, {"event_id": pl.String, "until": pl.Int64})
        rows = file.select(pl.col(name).cast(dtype) for name, dtype in columns.items()).join(limits, on="event_id")
        return rows.filter(pl.col("timestamp_ms") <= pl.col("until")).drop("until").collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{path}: {_first_line(error)}") from error


def _must_have(path: Path, given: list[str], wanted: tuple[str, ...] | dict[str, type[pl.DataType]]) -> None:
    if missing := [name for name in wanted if name not in given]:
        raise SourceError(
            f"{path}: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)} (it has {', '.join(given[:30]) or 'none'})"
        )


def _event(where: str, event_id: str | None, coin: str | None, time: str | None) -> Event:
    if not event_id or not coin:
        raise SourceError(f"{where}: no {'event_coin' if event_id else 'event_id'}")
    try:
        at = datetime.fromisoformat((time or "").strip())
    except ValueError:
        raise SourceError(f"{where}: event_time {time!r} is no time such as 2020-11-18 18:00:00+00:00") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return Event(event_id, coin.strip().upper(), round(at.timestamp() * 1000))


def _distinct(rows: list[Event], known: set[str]) -> list[Event]:
    """One event of each chain of rows of one coin that lie within `SAME_PUMP` of each other."""
    chains: list[list[Event]] = []
    for event in sorted(rows, key=lambda event: (event.coin, event.at, event.event_id)):
        last = chains[-1][-1] if chains else None
        if last and last.coin == event.coin and event.at - last.at <= SAME_PUMP.total_seconds() * 1000:
            chains[-1].append(event)
        else:
            chains.append([event])
    return [chain[0]._replace(event_id=min((event.event_id not in known, event.event_id) for event in chain)[1]) for chain in chains]


def _first_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or str(error)).splitlines()[0] if (text or str(error)) else type(error).__name__
