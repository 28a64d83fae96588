"""The sparse rows of the metric tables as a dense grid of buckets.

What no row says follows from three tables: outside a gap a missing bucket means that nothing traded and that the last book stood;
in a gap (core.feed_gaps), where the instrument's shard committed no bucket (core.bucket_commits), and before an instrument's first
book, as long as it is not watched at all, nothing is known.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.market.book_metrics import Booleans, Floats, Integers
from pnd_dagster.market.shards import parse_shard
from pnd_dagster.market.windows import EXTREMES, FLOWS, STATES, Grid, carry
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import BUCKET_COMMITS, BUCKET_SECONDS, FEED_GAPS, ORDER_BOOK_METRICS, TRADE_METRICS

_TRADE_FLOWS = tuple(name for name in FLOWS if name != "best_level_flow")
# How far back the last book and the last trade before a grid are looked for.
BOOK_MEMORY = timedelta(hours=24)
_TRADE_MEMORY = timedelta(hours=1)
# An instrument that was lost longer ago has neither a last book nor three days of history: that nothing is known of it needs no gap.
_GAP_MEMORY = timedelta(days=4)
_BUCKET = timedelta(seconds=BUCKET_SECONDS)


def read_grid(
    engine: sa.Engine, exchange: str, instrument_ids: Integers, start: datetime, end: datetime, states: tuple[str, ...] = STATES
) -> Grid:
    """The buckets that end in (`start`, `end`] of some instruments of an exchange.

    The book before the grid is looked for within the last 24 h, the trade before it within the last hour. A gap that began before
    `start` and lasts is known from core.feed_gaps; rows that are flagged as a gap count as out of sight too.

    Args:
        engine: the database.
        exchange: canonical id; its commits and gaps are read.
        instrument_ids: ascending.
        start: a bucket's end.
        end: a bucket's end.
        states: those of `STATES` that are wanted; the grid has no others.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    before = start - _TRADE_MEMORY
    is_blind = read_blindness(engine, exchange, instrument_ids, before, end)
    books, trades = (read_rows(engine, table, instrument_ids, start, end, states) for table in (ORDER_BOOK_METRICS, TRADE_METRICS))
    last_books = read_last_rows(engine, ORDER_BOOK_METRICS, instrument_ids, start, BOOK_MEMORY, states)
    last_trades = read_last_rows(engine, TRADE_METRICS, instrument_ids, start, _TRADE_MEMORY, states)
    split = (start - before) // _BUCKET
    last_vwaps = _last_vwaps(instrument_ids, last_trades, before, is_blind[:, :split])
    return densify(instrument_ids, start, is_blind[:, split:], books, trades, last_books, last_vwaps)


def densify(
    instrument_ids: Integers,
    start: datetime,
    is_blind: Booleans,
    books: pl.DataFrame,
    trades: pl.DataFrame,
    last_books: pl.DataFrame,
    last_vwaps: Floats,
) -> Grid:
    """A grid of sparse rows.

    Args:
        instrument_ids: [instruments], ascending.
        start: the grid's first bucket is the one that ends 5 s later.
        is_blind: [instruments, buckets], where nothing is known; rows flagged as a gap are added to it.
        books: rows of core.order_book_metrics within the grid; the grid has those of `STATES` that they have.
        trades: rows of core.trade_metrics within the grid.
        last_books: at most one earlier row per instrument.
        last_vwaps: [instruments], see `Grid`.
    """
    is_blind = is_blind.copy()
    book_rows, book_columns = _places(instrument_ids, start, books)
    trade_rows, trade_columns = _places(instrument_ids, start, trades)
    last_rows = np.searchsorted(instrument_ids, last_books["instrument_id"].to_numpy())
    is_blind[book_rows, book_columns] |= books["is_gap"].to_numpy()
    is_blind[trade_rows, trade_columns] |= trades["is_gap"].to_numpy()

    def spread(rows: Integers, columns: Integers, values: Floats, fill: float) -> Floats:
        grid = np.full(is_blind.shape, fill)
        grid[rows, columns] = values
        return grid

    # Of what a state is carried from: one column more, so that "before the next bucket" is "at this one".
    count, width = is_blind.shape
    has_book = np.zeros((count, width + 1), np.bool_)
    has_book[book_rows, book_columns] = True
    has_seen = np.maximum.accumulate(has_book[:, :width], axis=1)
    has_seen[last_rows] = True
    is_blind |= ~has_seen
    buckets: dict[str, Floats] = {}
    for name in (name for name in STATES if name in books.columns):
        state, first = np.full((count, width + 1), np.nan), np.full(count, np.nan)
        state[book_rows, book_columns] = _numbers(books, name)
        first[last_rows] = _numbers(last_books, name)
        buckets[name] = carry(state, has_book, first)[:, 1:]
    buckets["best_level_flow"] = spread(book_rows, book_columns, _numbers(books, "best_level_flow"), 0.0)
    for name in _TRADE_FLOWS:
        buckets[name] = spread(trade_rows, trade_columns, _trade_flow(trades, name), 0.0)
    for name in EXTREMES:
        buckets[name] = spread(trade_rows, trade_columns, _numbers(trades, name), np.nan)
    for values in buckets.values():
        values[is_blind] = np.nan
    return Grid(buckets, last_vwaps)


def read_blindness(engine: sa.Engine, exchange: str, instrument_ids: Integers, start: datetime, end: datetime) -> Booleans:
    """Where an instrument was out of sight in any part of a bucket, or its shard did not commit it, [instruments, buckets].

    A bucket that was committed while all of the shard's instruments were blind, as an irregular one is, says nothing either. Gaps that
    began more than four days before `start` are not looked for.
    """
    width = (end - start) // _BUCKET
    gap, commit = FEED_GAPS.c, BUCKET_COMMITS.c
    gaps = read_frame(
        engine,
        sa.select(gap.instrument_ids, gap.started_at, gap.ended_at).where(
            gap.exchange == exchange,
            gap.started_at > start - _GAP_MEMORY,
            gap.started_at < end,
            sa.or_(gap.ended_at.is_(None), gap.ended_at > start),
        ),
    ).explode("instrument_ids")
    gaps = gaps.filter(pl.col("instrument_ids").is_in(instrument_ids.tolist()))
    rows = np.searchsorted(instrument_ids, gaps["instrument_ids"].to_numpy())
    # Bucket k holds (start + k, start + k + 1] in buckets; a gap [a, b) overlaps it when a < its end and b > its start.
    first = np.clip(np.floor(_offsets(gaps["started_at"], start)), 0, width).astype(np.int64)
    beyond = np.clip(np.ceil(_offsets(gaps["ended_at"].fill_null(end), start)), first, width).astype(np.int64)
    changes = np.zeros((len(instrument_ids), width + 1), np.int64)
    np.add.at(changes, (rows, first), 1)
    np.add.at(changes, (rows, beyond), -1)
    in_gap = np.cumsum(changes, axis=1)[:, :width] > 0

    commits = read_frame(
        engine,
        sa.select(commit.shard, commit.bucket_end_at).where(
            commit.exchange == exchange, commit.bucket_end_at > start, commit.bucket_end_at <= end, commit.blind < commit.watched
        ),
    )
    is_committed = np.zeros_like(in_gap)
    for (text,), of_shard in commits.group_by("shard"):
        shard = parse_shard(str(text))
        own = np.flatnonzero([shard.holds(instrument_id) for instrument_id in instrument_ids.tolist()])
        columns = _offsets(of_shard["bucket_end_at"], start).astype(np.int64) - 1
        is_committed[np.ix_(own, columns)] = True
    return in_gap | ~is_committed


def read_rows(
    engine: sa.Engine, table: sa.Table, instrument_ids: Integers, start: datetime, end: datetime, states: tuple[str, ...] = STATES
) -> pl.DataFrame:
    """Rows of a metric table that end in (`start`, `end`], with what `densify` takes.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    c = table.c
    return read_frame(
        engine,
        sa.select(*_columns(table, states)).where(
            c.instrument_id == sa.any_(sa.literal_column(_array(instrument_ids))), c.bucket_end_at > start, c.bucket_end_at <= end
        ),
    )


def read_last_rows(
    engine: sa.Engine, table: sa.Table, instrument_ids: Integers, start: datetime, memory: timedelta, states: tuple[str, ...] = STATES
) -> pl.DataFrame:
    """Each instrument's last row of a metric table up to `start` and no older than `memory`, if there is one.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    wanted = sa.func.unnest(sa.literal_column(_array(instrument_ids))).table_valued("instrument_id").render_derived("wanted")
    row = (
        sa.select(*_columns(table, states))
        .where(
            table.c.instrument_id == wanted.c.instrument_id,
            table.c.bucket_end_at <= start,
            table.c.bucket_end_at > start - memory,
        )
        .order_by(table.c.bucket_end_at.desc())
        .limit(1)
        .lateral("row")
    )
    return read_frame(engine, sa.select(*row.c).select_from(wanted.join(row, sa.true())))


def _last_vwaps(instrument_ids: Integers, last_trades: pl.DataFrame, before: datetime, is_blind: Booleans) -> Floats:
    """Vwap of each instrument's last trade, NaN when it lies in a gap, or one lies after it, [instruments]."""
    rows, columns = _places(instrument_ids, before, last_trades)
    width = is_blind.shape[1]
    last_blind = np.where(is_blind.any(axis=1), width - 1 - np.argmax(is_blind[:, ::-1], axis=1), -1)
    is_known = (columns > last_blind[rows]) & ~last_trades["is_gap"].to_numpy()
    vwaps = np.full(len(instrument_ids), np.nan)
    vwaps[rows[is_known]] = _numbers(last_trades, "vwap")[is_known]
    return vwaps


def _columns(table: sa.Table, states: tuple[str, ...]) -> list[sa.Column[Any]]:
    wanted = (*states, "best_level_flow") if table is ORDER_BOOK_METRICS else (*_TRADE_FLOWS, *EXTREMES, "vwap")
    return [table.c[name] for name in ("instrument_id", "bucket_end_at", "is_gap", *wanted) if name != "quote_volume"]


def _array(instrument_ids: Integers) -> str:
    # Literals: thousands of bound parameters would be longer, and these are integers.
    return f"'{{{','.join(map(str, instrument_ids.tolist()))}}}'::bigint[]"


def _places(instrument_ids: Integers, start: datetime, rows: pl.DataFrame) -> tuple[Integers, Integers]:
    """Row and column in the grid of each of `rows`."""
    return np.searchsorted(instrument_ids, rows["instrument_id"].to_numpy()), _offsets(rows["bucket_end_at"], start).astype(np.int64) - 1


def _offsets(times: pl.Series, start: datetime) -> Floats:
    """Times as buckets after `start`."""
    return (times - start).dt.total_microseconds().to_numpy().astype(np.float64) / (BUCKET_SECONDS * 1e6)


def _trade_flow(trades: pl.DataFrame, name: str) -> Floats:
    if name != "quote_volume":
        return _numbers(trades, name)
    # vwap is stored in double precision, quote_volume is not.
    volume = _numbers(trades, "volume")
    return np.where(volume == 0, 0.0, _numbers(trades, "vwap") * volume)


def _numbers(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
