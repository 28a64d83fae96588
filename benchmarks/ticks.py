"""Speed of writing ticks of 4,400 book rows and 1,500 trade rows: idempotent and fenced, against bare COPY and against executemany.

All write into the same indexed day partitions, in turn, each tick a bucket of its own; medians. The aim is a ratio of at least 1/2
against COPY.
"""

from __future__ import annotations

import statistics
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
from pnd_dagster.market.metric_store import METRIC_TABLES, write_tick
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.tick import Tick
from pnd_dagster.settings import load_settings
from pnd_dagster.storage import connect, embedded
from pnd_dagster.storage.binary_copy import copy_binary
from pnd_dagster.storage.bulk import copy_rows
from pnd_dagster.storage.leases import acquire
from pnd_dagster.storage.partitions import make_days
from pnd_dagster.tables import (
    BOOK_METRIC_COLUMNS,
    FEED_GAPS,
    ORDER_BOOK_METRICS,
    TRADE_METRIC_COLUMNS,
    TRADE_METRICS,
    conform,
    polars_schema,
)

BOOK_ROWS, TRADE_ROWS, TICKS = 4_400, 1_500, 25
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
SHARD = Shard(1, 1)
DEPTH = {"bid_levels": 20, "ask_levels": 20, "update_count": 5}


def run() -> list[dict[str, Any]]:
    """A row per peer; n is ticks' rows in all."""
    with tempfile.TemporaryDirectory(prefix="pnd-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        settings = load_settings(home=folder / "home", database_url=None)
        engine = connect(settings)
        try:
            seconds = _measure(engine)
        finally:
            engine.dispose()
            embedded.stop(settings.home)
    rows = BOOK_ROWS + TRADE_ROWS
    ours = seconds.pop("ours")
    print(f"one tick of {BOOK_ROWS:,} and {TRADE_ROWS:,} rows, idempotent: {ours * 1_000:.0f} ms (median of {TICKS})")
    return [row("a tick, idempotent, with commit row", peer, rows * TICKS, rows / ours, rows / theirs) for peer, theirs in seconds.items()]


def _measure(engine: sa.Engine) -> dict[str, float]:
    make_days(engine, METRIC_TABLES, [START.date()])
    lease = acquire(engine, "benchmark", "benchmark", 3_600)
    assert lease is not None

    def write_ours(tick: Tick) -> None:
        assert write_tick(engine, lease, "kucoin", SHARD, tick)

    def copy_with(copy: Callable[[sa.Connection, str, pl.DataFrame], None]) -> Callable[[Tick], None]:
        def write(tick: Tick) -> None:
            with engine.begin() as connection:
                copy(connection, '"core"."order_book_metrics"', tick.books)
                copy(connection, '"core"."trade_metrics"', tick.trades)

        return write

    def execute_many(tick: Tick) -> None:
        with engine.begin() as connection:
            for table, frame in ((ORDER_BOOK_METRICS, tick.books), (TRADE_METRICS, tick.trades)):
                names = ", ".join(frame.columns)
                values = ", ".join(["%s"] * frame.width)
                driver = connection.connection.driver_connection
                assert driver is not None
                with driver.cursor() as cursor:
                    cursor.executemany(
                        f"INSERT INTO core.{table.name} ({names}) VALUES ({values}) ON CONFLICT DO NOTHING",
                        frame.rows(),
                    )

    writers: dict[str, Callable[[Tick], None]] = {
        "ours": write_ours,
        "bare COPY, CSV": copy_with(copy_rows),
        "bare COPY, our binary form": copy_with(copy_binary),
        "psycopg executemany": execute_many,
    }
    taken: dict[str, list[float]] = {name: [] for name in writers}
    ticks = _ticks(TICKS * len(writers))
    for _ in range(TICKS):
        for name, write in writers.items():
            tick = next(ticks)
            started = time.perf_counter()
            write(tick)
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in taken.items()}


def _ticks(count: int) -> Any:
    rng = np.random.default_rng(0)
    ids = np.sort(rng.integers(0, 2**63 - 1, BOOK_ROWS))
    counts: dict[str, int | bool] = dict.fromkeys(
        ("watched", "blind", "book_updates", "trades", "unusable_books", "rejected_frames", "duplicates"), 0
    )
    for place in range(count):
        end = START + timedelta(seconds=5 * place)
        traded = np.sort(rng.choice(ids, TRADE_ROWS, replace=False))
        yield Tick(
            end,
            conform(
                _frame(rng, ids, end, BOOK_METRIC_COLUMNS).with_columns(bid_levels=20, ask_levels=20, update_count=5), ORDER_BOOK_METRICS
            ),
            conform(_frame(rng, traded, end, TRADE_METRIC_COLUMNS), TRADE_METRICS),
            pl.DataFrame(schema=polars_schema(FEED_GAPS)),
            {**counts, "is_gap": False},
        )


def _frame(rng: np.random.Generator, ids: Any, end: datetime, columns: Any) -> pl.DataFrame:
    # One book in fifty is unusable: NULL in every metric.
    is_null = rng.random(len(ids)) < 0.02
    values = {column.name: np.where(is_null, np.nan, rng.lognormal(0, 3, len(ids))) for column in columns}
    frame = pl.DataFrame({"instrument_id": ids, **values}).with_columns(pl.col(*values).fill_nan(None))
    if "trade_count" in values:
        frame = frame.with_columns(pl.col("trade_count").fill_null(1).ceil().cast(pl.Int64).clip(1, 1_000_000))
    return frame.with_columns(bucket_end_at=pl.lit(end), is_gap=False)
