"""Speed of the market plane's inner loops: metrics of all books and trades at once, taking a book in, history from rollups."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from benchmarks.rows import row
from pnd_dagster.market.book_metrics import Books, book_metrics
from pnd_dagster.market.feeds.protocol import Sink
from pnd_dagster.market.rollup_history import BLOCK, read_history
from pnd_dagster.market.rollups import pool_block
from pnd_dagster.market.state import Instrument, MarketState
from pnd_dagster.market.trade_metrics import Trades, trade_metrics
from pnd_dagster.market.windows import HORIZONS, LAYOUT, METRICS
from pnd_dagster.settings import load_settings
from pnd_dagster.storage import connect, embedded, read_frame, upsert
from pnd_dagster.tables import BOOK_LEVELS, INSTRUMENTS, METRIC_ROLLUPS
from tests.unit.market.per_book import book_metrics_of_one, trade_metrics_of_one

BOOKS = 4_400
TRADES = 9_000
COINS, HOURS = 1_100, 72
NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)


def run() -> list[dict[str, Any]]:
    """Metrics against a loop over books (aim: 20 times faster, under 15 ms), a book taken in, and history from rollups (under 3 s)."""
    return [_metrics(), _sink(), _history()]


def _metrics() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    books, trades = _books(generator), _trades(generator)
    last_vwaps = generator.lognormal(size=BOOKS)

    def at_once() -> None:
        book_metrics(books)
        trade_metrics(trades, last_vwaps, books)

    sides = [(np.column_stack(bid), np.column_stack(ask)) for bid, ask in zip(_pairs(books, 0), _pairs(books, 2), strict=True)]
    own = [np.flatnonzero(trades.slots == slot) for slot in range(BOOKS)]
    streams = [(np.column_stack((trades.prices[index], trades.quantities[index])), trades.sides[index].tolist()) for index in own]

    def one_by_one() -> None:
        for slot, (bids, asks) in enumerate(sides):
            book_metrics_of_one(bids, asks)
            if len(own[slot]):
                trade_metrics_of_one(*streams[slot], last_vwaps[slot], bids, asks)

    ours, theirs = _best_of(at_once, 20), _best_of(one_by_one, 3)
    print(f"metrics of {BOOKS} books and {TRADES} trades: {1000 * ours:.1f} ms, one by one {1000 * theirs:.0f} ms")
    what = f"book and trade metrics, one tick ({1000 * ours:.1f} ms)"
    return row(what, "the same per book in plain numpy", BOOKS, BOOKS / ours, BOOKS / theirs)


def _sink() -> dict[str, Any]:
    count, per_second = 200_000, 5_000
    frame = b""

    def feed(sink: Sink) -> float:
        started = time.perf_counter()
        for index in range(count):
            sink.book(index % BOOKS, 1.0, 2.0, 1.5, 2.5, frame, index / per_second)
        return time.perf_counter() - started

    def state() -> MarketState:
        fresh = MarketState(0.0)
        fresh.assign([Instrument(slot + 1, "", "", "", "") for slot in range(BOOKS)], 0.0)
        return fresh

    ours, theirs = min(feed(state()) for _ in range(3)), min(feed(_Nowhere()) for _ in range(3))
    what = f"a book taken in ({1e6 * ours / count:.2f} us)"
    return row(what, "a sink that does nothing", count, count / ours, count / theirs)


def _history() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="pnd-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        settings = load_settings(home=folder / "home", database_url=None)
        engine = connect(settings)
        try:
            fill_rollups(engine)
            ours = _best_of(lambda: _pooled(engine), 3)
            theirs = _best_of(lambda: _listed(engine), 3)
        finally:
            engine.dispose()
            embedded.stop(settings.home)
    count = COINS * HOURS
    return row(
        f"history of {COINS} coins, {HOURS} h, pooled ({ours:.2f} s)",
        "the same rows through Arrow, unpooled",
        count,
        count / ours,
        count / theirs,
    )


def _pooled(engine: sa.Engine) -> None:
    assert len(read_history(engine, "kucoin", NOW, HOURS).instrument_ids) == COINS


def _listed(engine: sa.Engine) -> None:
    assert read_frame(engine, sa.select(METRIC_ROLLUPS)).height == COINS * HOURS


def fill_rollups(engine: sa.Engine, coins: int = COINS) -> None:
    """One made-up hour, written out as many."""
    width = len(METRICS) * len(HORIZONS)
    generator = np.random.default_rng(0)
    arrays = {"n": generator.integers(1, 180, (coins, width)), "mean": generator.lognormal(size=(coins, width))}
    arrays["m2"] = generator.lognormal(size=(coins, width))
    ids = pl.DataFrame({"instrument_id": np.arange(coins) * 7919})
    listed = {"exchange": "kucoin", "quote_symbol": "USDT", "quote_id": "USDT", "is_derivative": False, "valid_from": NOW}
    names = [pl.col("instrument_id").cast(pl.String).alias(name) for name in ("market_id", "symbol", "base_symbol", "base_id")]
    upsert(engine, INSTRUMENTS, ids.with_columns(*names, *(pl.lit(value).alias(name) for name, value in listed.items())))
    lists = [pl.Series(name, values).arr.to_list() for name, values in arrays.items()]
    upsert(engine, METRIC_ROLLUPS, ids.with_columns(*lists, pl.lit(NOW).alias("hour_end_at"), pl.lit(LAYOUT).alias("layout")))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO core.metric_rollups SELECT instrument_id, hour_end_at - make_interval(hours => hour), layout, n, mean, m2 "
            f"FROM generate_series(1, {HOURS - 1}) AS hour, core.metric_rollups"
        )
        for blocks in range(HOURS * timedelta(hours=1) // BLOCK):
            pool_block(connection, "kucoin", NOW - blocks * BLOCK)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE core.metric_rollups, core.metric_rollup_blocks")


class _Nowhere:
    """A sink that costs only its calls."""

    def book(self, *arguments: object) -> None:
        """Takes no notice."""

    trade = reject = duplicate = blind = sighted = book


def _books(generator: np.random.Generator) -> Books:
    middle = generator.lognormal(sigma=3, size=(BOOKS, 1))
    steps = np.cumsum(generator.uniform(1e-4, 1e-3, (BOOKS, BOOK_LEVELS)), axis=1)
    sizes = generator.lognormal(3, 1, (2, BOOKS, BOOK_LEVELS))
    levels = np.full(BOOKS, BOOK_LEVELS)
    return Books(middle * (1 - steps), sizes[0], middle * (1 + steps), sizes[1], levels, levels)


def _trades(generator: np.random.Generator) -> Trades:
    slots = generator.integers(0, BOOKS, TRADES)
    return Trades(slots, generator.lognormal(size=TRADES), generator.lognormal(size=TRADES), generator.choice([-1, 1], TRADES))


def _pairs(books: Books, first: int) -> Any:
    return zip(books[first], books[first + 1], strict=True)


def _best_of(job: Callable[[], None], times: int) -> float:
    def once() -> float:
        started = time.perf_counter()
        job()
        return time.perf_counter() - started

    return min(once() for _ in range(times))
