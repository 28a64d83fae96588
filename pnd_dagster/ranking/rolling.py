"""Rolling windows of an exchange: loaded once from the database, then renewed with each bucket that is committed.

    windows = load_windows(engine, "kucoin", instrument_ids, until, rule)
    windows.catch_up(engine, bucket_end_at)    # at each commit
    rank(windows.instrument_ids, windows.values, windows.history, rule)

x is the metric over (t - h, t]. Its history is of three days: the rollups of the hours that were full at the load and, from then on, the
windows that lie end to end and have ended by t - h, which join one by one: no window is compared with itself. While a watch lasts its
oldest hours stay.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.market.book_metrics import Integers
from pnd_dagster.market.bucket_grid import BOOK_MEMORY, densify, read_blindness, read_grid, read_last_rows, read_rows
from pnd_dagster.market.moments import Moments
from pnd_dagster.market.rollup_history import History, read_history
from pnd_dagster.market.windows import HORIZONS, METRICS, STATES
from pnd_dagster.ranking.latest import LatestWindows, nothing
from pnd_dagster.ranking.rules import ScoreRule
from pnd_dagster.ranking.sliding import LONGEST
from pnd_dagster.tables import BUCKET_SECONDS, ORDER_BOOK_METRICS, TRADE_METRICS

HISTORY_HOURS = 72
_HOUR = timedelta(hours=1)
_BUCKET = timedelta(seconds=BUCKET_SECONDS)
_SPAN = LONGEST * _BUCKET
# Instruments of one pass: a grid of an hour holds 20 numbers per bucket, 115 kB per instrument.
_AT_ONCE = 500
_PARTS_AT_ONCE = 2
# Buckets of one pass when there is much to catch up.
_BUCKETS_AT_ONCE = 60
# What was late is looked for so often, and then read again: an hour of many instruments takes longer than a tick.
_REPAIR_EVERY = timedelta(seconds=30)


class Windows(LatestWindows):
    """Latest windows of an exchange's instruments that follow the database; see `load_windows`.

    A bucket that an instrument's shard had not committed when it was taken in is unknown, and so is all of a gap. When such a bucket is
    committed later (it waited on a collector's disk), or a gap turns out to have begun earlier than it was told, the last hour of those
    instruments is read again within half a minute; what has joined their history by then stays as it was.
    """

    def __init__(self, exchange: str, instrument_ids: Integers, states: tuple[str, ...], bucket_end_at: datetime) -> None:
        super().__init__(instrument_ids, states, bucket_end_at)
        self._exchange = exchange
        self._last_books = pl.DataFrame()
        # [instruments, LONGEST], which of the last hour's buckets were unknown when they were taken in.
        self._is_blind = np.zeros((len(instrument_ids), LONGEST), np.bool_)
        self._checked_at = bucket_end_at

    def load(self, engine: sa.Engine) -> None:
        """Reads the last hour's buckets and the rollups before."""
        now = self.bucket_end_at
        hour = datetime.fromtimestamp(now.timestamp() // 3600 * 3600, UTC)
        with ThreadPoolExecutor(2) as threads:
            spans = ((hour - _HOUR, HISTORY_HOURS - 1), (hour, 1))
            rollups = [threads.submit(read_history, engine, self._exchange, until, hours) for until, hours in spans]
            self._is_blind = read_blindness(engine, self._exchange, self.instrument_ids, now - _SPAN, now)
            self._last_books = read_last_rows(engine, ORDER_BOOK_METRICS, self.instrument_ids, now, BOOK_MEMORY, self._states)
            self._read_hour(engine, np.arange(len(self.instrument_ids)), with_history=True)
            earlier, last_hour = (self._aligned(rollup.result()) for rollup in rollups)
        self.add_history(earlier, last_hour)

    def catch_up(self, engine: sa.Engine, until: datetime) -> None:
        """Takes in the buckets after the latest one up to `until`; those that are not committed are unknown.

        Args:
            engine: the database.
            until: a bucket's end.

        Raises:
            DatabaseError: Postgres refused or cannot be reached; what was not taken in will be by the next call.
        """
        while self.bucket_end_at < until:
            start, end = self.bucket_end_at, min(until, self.bucket_end_at + _BUCKETS_AT_ONCE * _BUCKET)
            is_blind = read_blindness(engine, self._exchange, self.instrument_ids, start, end)
            books, trades = (
                read_rows(engine, table, self.instrument_ids, start, end, self._states) for table in (ORDER_BOOK_METRICS, TRADE_METRICS)
            )
            self.update(densify(self.instrument_ids, start, is_blind, books, trades, self._last_books, self.last_vwaps))
            self._is_blind = np.concatenate((self._is_blind, is_blind), axis=1)[:, -LONGEST:]
            self._last_books = _latest(pl.concat((self._last_books, books)))
        if self.bucket_end_at - self._checked_at >= _REPAIR_EVERY:
            self._repair(engine)

    def _repair(self, engine: sa.Engine) -> None:
        """Reads the last hour of those instruments again of which buckets were late, or were taken in and should not have been."""
        now = self.bucket_end_at
        is_blind = read_blindness(engine, self._exchange, self.instrument_ids, now - _SPAN, now)
        stale = np.flatnonzero((is_blind != self._is_blind).any(axis=1))
        if len(stale):
            again = read_last_rows(engine, ORDER_BOOK_METRICS, self.instrument_ids[stale], now, BOOK_MEMORY, self._states)
            self._read_hour(engine, stale, with_history=False)
            self._last_books = _latest(pl.concat((self._last_books, again)))
        self._is_blind, self._checked_at = is_blind, now

    def _read_hour(self, engine: sa.Engine, places: Integers, *, with_history: bool) -> None:
        now = self.bucket_end_at

        def read(part: Integers) -> None:
            grid = read_grid(engine, self._exchange, self.instrument_ids[part], now - _SPAN, now, self._states)
            self.fill(part, grid, with_history=with_history)

        # Each part has places of its own, so that one is read while another is filled in.
        with ThreadPoolExecutor(_PARTS_AT_ONCE) as threads:
            list(threads.map(read, np.split(places, range(_AT_ONCE, len(places), _AT_ONCE))))

    def _aligned(self, history: History) -> Moments:
        """Rollups of these instruments, in their order; nothing for those that have none."""
        is_ours = np.isin(history.instrument_ids, self.instrument_ids)
        places = np.searchsorted(self.instrument_ids, history.instrument_ids[is_ours])
        aligned = nothing((len(self.instrument_ids), len(METRICS), len(HORIZONS)))
        for whole, part in zip(aligned, history.moments, strict=True):
            whole[places] = part[is_ours]
        return aligned


def load_windows(engine: sa.Engine, exchange: str, instrument_ids: Integers, until: datetime, rule: ScoreRule) -> Windows:
    """The windows of instruments up to a bucket, and their history of three days.

    The rollup of an hour that ended just now may not be written yet: history lacks it then.

    Args:
        engine: the database.
        exchange: canonical id.
        instrument_ids: of the exchange, in any order; a value per instrument is in ascending order of them.
        until: end of the latest bucket.
        rule: what will score; book states that it does not count are left out.

    Raises:
        ValueError: `until` is no bucket's end.
        DatabaseError: Postgres refused or cannot be reached.
    """
    if until.timestamp() % BUCKET_SECONDS:
        raise ValueError(f"{until.isoformat()} is no bucket's end")
    states = tuple(name for name in STATES if name in rule.metrics)
    windows = Windows(exchange, np.unique(instrument_ids), states, until)
    windows.load(engine)
    return windows


def _latest(books: pl.DataFrame) -> pl.DataFrame:
    """The last row of each instrument."""
    return books.sort("bucket_end_at").unique("instrument_id", keep="last")
