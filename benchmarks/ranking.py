"""Speed of ranking: a tick of 4,400 coins against memory bandwidth and a scan of the history, an update, and the load of a watch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from benchmarks.market import NOW, fill_rollups
from benchmarks.polars_ranking import BUCKETS, rank_by_scan, write_history
from benchmarks.rows import row
from pnd_dagster.market.moments import Moments
from pnd_dagster.market.windows import EXTREMES, FLOWS, HORIZONS, METRICS, STATES, Grid
from pnd_dagster.ranking.ranking import rank
from pnd_dagster.ranking.rolling import load_windows
from pnd_dagster.ranking.rules import DEFAULT
from pnd_dagster.settings import load_settings
from pnd_dagster.storage import connect, embedded, read_frame, upsert
from pnd_dagster.storage.binary_copy import copy_binary
from pnd_dagster.storage.partitions import make_days, partition_name
from pnd_dagster.tables import (
    BUCKET_COMMITS,
    BUCKET_SECONDS,
    METRIC_ROLLUPS,
    ORDER_BOOK_METRICS,
    TRADE_METRICS,
    conform,
)

COINS = 4_400
# A hundredth of the coins: three days of all would be 228 million rows.
SCANNED_COINS = 44
LOADED_COINS = (1_100, COINS)
HOUR_BUCKETS = 720
BUCKET = timedelta(seconds=BUCKET_SECONDS)
TRADED_SHARE = 0.15


def run() -> list[dict[str, Any]]:
    """Aims: at most 15 times the floor, 300 times a scan; an update within 50 ms; a load within 3 s for 1,100 coins, 8 s for 4,400."""
    return [*_ranks(), *_loads()]


def _ranks() -> Iterator[dict[str, Any]]:
    # Each call reads arrays that the last ones have driven out of the cache, as a tick every 5 s does.
    inputs = [_inputs(np.random.default_rng(seed)) for seed in range(8)]
    ids = np.arange(COINS)
    columns = len(DEFAULT.columns)
    floors = [[np.random.default_rng(seed).random((columns, COINS)) for _ in range(4)] for seed in range(8)]
    ours = _best_of([lambda values=values, history=history: rank(ids, values, history, DEFAULT) for values, history in inputs], 10)
    floor = _best_of([lambda arrays=arrays: [array.sum() for array in arrays] for arrays in floors], 10)
    warm = _best_of([lambda: rank(ids, *inputs[0], DEFAULT)], 50), _best_of([lambda: [array.sum() for array in floors[0]]], 50)
    print(
        f"rank of {COINS} coins: {1e3 * ours:.2f} ms cold, {1e3 * warm[0]:.2f} ms warm; floor {1e3 * floor:.2f} and {1e3 * warm[1]:.2f} ms"
    )
    megabytes = sum(array.nbytes for array in floors[0]) / 1e6
    what = f"rank {COINS} coins, {columns} z each ({1e3 * ours:.1f} ms)"
    yield row(what, f"sum of the {megabytes:.1f} MB it reads (warm: {warm[1] / warm[0]:.2f})", COINS, COINS / ours, COINS / floor)
    with tempfile.TemporaryDirectory(prefix="pnd-bench-", dir="/var/tmp") as name:
        path = Path(name) / "history.parquet"
        write_history(path, SCANNED_COINS)
        scan = _best_of([lambda: rank_by_scan(path)], 2) * COINS / SCANNED_COINS
    peer = f"Polars scan, 3 days of Parquet; {SCANNED_COINS} coins x {BUCKETS} rows, scaled to {COINS} ({scan:.0f} s)"
    yield row(what, peer, COINS, COINS / ours, COINS / scan)


def _inputs(generator: np.random.Generator) -> tuple[Any, Moments]:
    """Values and history in the layout of `LatestWindows`."""

    def array(numbers: Callable[..., Any]) -> Any:
        return numbers(size=(len(METRICS), len(HORIZONS), COINS)).transpose(2, 0, 1)

    counts = array(lambda size: generator.integers(30, 800, size))
    return array(generator.normal), Moments(counts, array(generator.normal), array(lambda size: generator.random(size) * 300))


def _loads() -> Iterator[dict[str, Any]]:
    for coins in LOADED_COINS:
        with tempfile.TemporaryDirectory(prefix="pnd-bench-", dir="/var/tmp") as name:
            folder = Path(name)
            folder.chmod(0o755)
            settings = load_settings(home=folder / "home", database_url=None)
            engine = connect(settings)
            try:
                yield from _load(engine, coins)
            finally:
                engine.dispose()
                embedded.stop(settings.home)


def _load(engine: sa.Engine, coins: int) -> Iterator[dict[str, Any]]:
    ids = np.arange(coins) * 7919
    until = NOW - timedelta(minutes=10)
    fill_rollups(engine, coins)
    rows = _fill_hour(engine, ids, until)

    def load() -> Any:
        return load_windows(engine, "kucoin", ids, until, DEFAULT)

    def unpooled() -> None:
        assert read_frame(engine, sa.select(METRIC_ROLLUPS)).height == coins * 72
        assert sum(read_frame(engine, sa.select(table)).height for table in (ORDER_BOOK_METRICS, TRADE_METRICS)) == rows

    ours, theirs = _best_of([load], 2), _best_of([unpooled], 1)
    what = f"load of a watch of {coins} coins, {coins * 72} rollups and {rows} buckets ({ours:.1f} s)"
    yield row(what, "the same rows through Arrow, as they are", coins, coins / ours, coins / theirs)

    windows = load()
    seconds: list[float] = []
    generator = np.random.default_rng(0)
    for _ in range(60):
        grid = _bucket(generator, coins)
        started = time.perf_counter()
        windows.update(grid)
        seconds.append(time.perf_counter() - started)
    update = float(np.median(seconds))
    print(f"update of {coins} coins: median {1e3 * update:.1f} ms, longest {1e3 * max(seconds):.1f} ms")
    what = f"rolling windows of {coins} coins renewed with a bucket ({1e3 * update:.1f} ms)"
    yield row(what, "the same windows loaded anew", coins, coins / update, coins / ours)


def _fill_hour(engine: sa.Engine, ids: Any, until: Any) -> int:
    """A book of every coin in every bucket of the last hour, and trades in some; the number of rows."""
    generator = np.random.default_rng(0)
    make_days(engine, (ORDER_BOOK_METRICS, TRADE_METRICS), [until.date()])
    fixed = {"bid_levels": 20, "ask_levels": 20, "update_count": 5, "is_gap": False}
    rows = 0
    for back in range(HOUR_BUCKETS):
        end_at = until - back * BUCKET
        bucket = _bucket(generator, len(ids)).buckets
        columns = {name: values[:, 0] for name, values in bucket.items()}
        key = pl.DataFrame({"instrument_id": ids}).with_columns(pl.lit(end_at).alias("bucket_end_at"), pl.lit(False).alias("is_gap"))
        books = key.with_columns(
            *(pl.lit(value).alias(name) for name, value in fixed.items()),
            *(pl.Series(name, columns[name]) for name in (*STATES, "best_level_flow")),
        )
        names = [name for name in (*FLOWS, *EXTREMES) if name != "best_level_flow"]
        trades = key.with_columns(*(pl.Series(name, columns[name]) for name in names), pl.Series("vwap", columns["low_price"]))
        trades = trades.filter(pl.col("trade_count") > 0)
        with engine.begin() as connection:
            for table, frame in ((ORDER_BOOK_METRICS, books), (TRADE_METRICS, trades)):
                target = f'"{table.schema}"."{partition_name(table, end_at.date())}"'
                copy_binary(connection, target, conform(frame, table))
        rows += books.height + trades.height
    counts = ("blind", "book_rows", "trade_rows", "book_updates", "trades", "unusable_books", "rejected_frames", "duplicates")
    ends = pl.DataFrame({"bucket_end_at": [until - back * BUCKET for back in range(HOUR_BUCKETS)]})
    facts = {"exchange": "kucoin", "shard": "1/1", "watched": len(ids), "is_gap": False, "is_spilled": False, "lag_seconds": 0.5}
    facts |= dict.fromkeys(counts, 0) | {"lease_epoch": 1}
    commits = ends.with_columns(*(pl.lit(value).alias(name) for name, value in facts.items()), committed_at="bucket_end_at")
    upsert(engine, BUCKET_COMMITS, commits)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE core.order_book_metrics, core.trade_metrics")
    return rows


def _bucket(generator: np.random.Generator, coins: int) -> Grid:
    """One bucket: every coin's book, and some coins' trades."""
    shape = (coins, 1)
    has_traded = generator.random(shape) < TRADED_SHARE
    flows = {name: np.where(has_traded, generator.integers(1, 50, shape).astype(np.float64), 0.0) for name in FLOWS}
    extremes = {name: np.where(has_traded, price, np.nan) for name, price in zip(EXTREMES, (1.1, 1.0), strict=True)}
    states = {name: generator.normal(size=shape) for name in STATES}
    return Grid({**flows, **extremes, **states}, np.full(coins, np.nan))


def _best_of(jobs: list[Callable[[], object]], times: int) -> float:
    """Seconds of one job; the shortest of so many rounds through all of them."""
    seconds: list[float] = []
    for _ in range(times):
        for job in jobs:
            started = time.perf_counter()
            job()
            seconds.append(time.perf_counter() - started)
    return min(seconds)
