"""`pnd detect` on a real database: pumps in the buckets that collectors commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import LeaseLostError
from pnd_dagster.market.metric_store import write_tick
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.tick import Tick
from pnd_dagster.market.windows import HORIZONS, LAYOUT, METRICS
from pnd_dagster.services.detect import NAME, Pace, detect, write_detection
from pnd_dagster.services.detect_exchange import REFRACTORY, DetectedExchange
from pnd_dagster.settings import Settings
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.storage.leases import Lease, acquire
from pnd_dagster.tables import (
    ALERTS,
    DETECTED_PUMPS,
    HEARTBEATS,
    INSTRUMENTS,
    METRIC_ROLLUPS,
    ORDER_BOOK_METRICS,
    SCHEDULED_PUMPS,
    TRADE_METRICS,
    conform,
    polars_schema,
)

BUCKET = timedelta(seconds=5)
PUMPED, QUIET, NEW = 11, 12, 13
WIDTH = len(METRICS) * len(HORIZONS)
QUICK = Pace(poll_seconds=0.05, straggler_seconds=0.3, heartbeat_seconds=0.1, lease_seconds=2.0, retry_seconds=0.05)


@pytest.fixture
def base() -> datetime:
    """Recent enough for the detector, which passes over what is older than minutes; long enough ago for a few minutes of buckets."""
    return datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) // 60 * 60, UTC) - timedelta(minutes=3)


@pytest.fixture
def market(engine: sa.Engine, base: datetime) -> sa.Engine:
    """Three coins on kucoin, one of them without history; a quiet minute and a half up to `base`."""
    listed = pl.DataFrame({"instrument_id": [PUMPED, QUIET, NEW], "base_symbol": ["ZYNE", "QUARK", "MIRA"]}).with_columns(
        exchange=pl.lit("kucoin"),
        market_id=pl.col("base_symbol"),
        symbol=pl.col("base_symbol") + "/USDT",
        quote_symbol=pl.lit("USDT"),
        base_id=pl.col("base_symbol"),
        quote_id=pl.lit("USDT"),
        is_derivative=pl.lit(False),
        valid_from=pl.lit(base - timedelta(days=9)),
    )
    upsert(engine, INSTRUMENTS, listed)
    hour = datetime.fromtimestamp(base.timestamp() // 3600 * 3600, UTC)
    hours = [hour - timedelta(hours=back) for back in range(12)]
    # Sixty minutes an hour with a mean of 2 and a variance of 1.
    rows = [(coin, at, LAYOUT, [60] * WIDTH, [2.0] * WIDTH, [60.0] * WIDTH) for coin in (PUMPED, QUIET) for at in hours]
    upsert(engine, METRIC_ROLLUPS, pl.DataFrame(rows, schema=polars_schema(METRIC_ROLLUPS), orient="row"))
    for back in range(18, -1, -1):
        write(engine, base - back * BUCKET)
    return engine


def write(engine: sa.Engine, end: datetime, burst: tuple[int, ...] = (), shard: Shard = Shard(1, 1)) -> None:  # noqa: B008 - immutable
    """Commits a bucket in which every coin trades once at 1, and those of `burst` a hundred times at 1.3."""
    lease = acquire(engine, f"collect:kucoin:{shard}", "test", 30)
    assert lease is not None
    ids = [coin for coin in (PUMPED, QUIET, NEW) if shard.holds(coin)]
    trades = pl.DataFrame({"instrument_id": ids}).with_columns(is_burst=pl.col("instrument_id").is_in(list(burst)))
    price, count = pl.when("is_burst").then(1.3).otherwise(1.0), pl.when("is_burst").then(100).otherwise(1)
    trades = trades.with_columns(
        bucket_end_at=pl.lit(end),
        trade_count=count,
        volume=count.cast(pl.Float64),
        quote_volume=price * count,
        taker_buy_volume=count.cast(pl.Float64),
        taker_sell_volume=pl.lit(0.0),
        vwap=price,
        is_gap=pl.lit(False),
    ).drop("is_burst")
    zeros = dict.fromkeys(("blind", "book_rows", "book_updates", "trades", "unusable_books", "rejected_frames", "duplicates"), 0)
    books = pl.DataFrame(schema=polars_schema(ORDER_BOOK_METRICS))
    counts = {"watched": len(ids), **zeros, "is_gap": False}
    write_tick(engine, lease, "kucoin", shard, Tick(end, books, conform(trades, TRADE_METRICS), pl.DataFrame(), counts))


def rows(engine: sa.Engine, table: sa.Table) -> pl.DataFrame:
    return read_frame(engine, sa.select(table))


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def detecting(engine: sa.Engine, settings: Settings) -> Generator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=detect, args=(engine, settings, stop), kwargs={"pace": QUICK})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def caught_up(engine: sa.Engine, buckets: int) -> bool:
    beats = rows(engine, HEARTBEATS).filter(pl.col("name") == NAME)
    return bool(beats.height and f'"buckets": {buckets}' in str(beats["details"][0]))


def test_a_pump_is_flagged_once_with_its_evidence_and_alerted(market: sa.Engine, settings: Settings, base: datetime) -> None:
    with detecting(market, settings):
        until(lambda: caught_up(market, 1))
        assert rows(market, DETECTED_PUMPS).is_empty()
        for number in range(1, 4):
            write(market, base + number * BUCKET, burst=(PUMPED, NEW))
        until(lambda: rows(market, ALERTS).height > 0)
        write(market, base + 4 * BUCKET, burst=(PUMPED,))
        until(lambda: caught_up(market, 2) or rows(market, HEARTBEATS)["is_healthy"][0])
    (found,) = rows(market, DETECTED_PUMPS).iter_rows(named=True)
    assert (found["symbol"], found["exchange"], found["instrument_id"], found["pump_id"]) == ("ZYNE", "kucoin", PUMPED, None)
    assert found["detected_at"] == base + BUCKET
    assert found["volume_z"] == pytest.approx(111 - 2, rel=0.01)
    assert found["price_change"] > 0.2
    assert "trades came 109 standard deviations" in found["reason"]
    alerts = rows(market, ALERTS)
    assert set(alerts["stage"]) == {"detected"}
    assert set(alerts["subject_id"]) == {found["detection_id"]}
    beat = rows(market, HEARTBEATS).filter(pl.col("name") == NAME).row(0, named=True)
    assert not beat["is_healthy"]


def test_a_new_detector_does_not_flag_what_was_flagged_before_it(market: sa.Engine, settings: Settings, base: datetime) -> None:
    lease = acquire(market, NAME, "test", 30)
    assert lease is not None
    first = DetectedExchange(market, "kucoin", base)
    write(market, base + BUCKET, burst=(PUMPED,))
    (row,) = first.catch_up(market, base + BUCKET)
    assert write_detection(market, settings, lease, row) is not None
    assert write_detection(market, settings, lease, row) is None
    write(market, base + 2 * BUCKET, burst=(PUMPED,))
    assert first.catch_up(market, base + 2 * BUCKET) == []
    assert DetectedExchange(market, "kucoin", base + BUCKET).catch_up(market, base + 2 * BUCKET) == []
    with market.begin() as connection:
        connection.execute(sa.update(DETECTED_PUMPS).values(detected_at=base - REFRACTORY))
    assert len(DetectedExchange(market, "kucoin", base + BUCKET).catch_up(market, base + 2 * BUCKET)) == 1


def test_a_detection_names_the_pump_that_was_announced_for_then(market: sa.Engine, settings: Settings, base: datetime) -> None:
    def announce(pump_id: str, minutes: float, exchange: str | None, status: str = "scheduled") -> dict[str, object]:
        return {
            "pump_id": pump_id,
            "exchange": exchange,
            "scheduled_at": base + timedelta(minutes=minutes),
            "schedule_revision": 0,
            "status": status,
            "announcement_ids": [pump_id],
            "channel_ids": [1],
            "channel_count": 1,
            "first_announced_at": base - timedelta(hours=5),
        }

    pumps = [
        announce("unknown exchange", 0, None),
        announce("far", 50, "kucoin"),
        announce("elsewhere", 0, "xt"),
        announce("cancelled", 0, "kucoin", "cancelled"),
        announce("this", 4, "kucoin", "released"),
    ]
    upsert(market, SCHEDULED_PUMPS, pl.DataFrame(pumps, schema=polars_schema(SCHEDULED_PUMPS)))
    lease = acquire(market, NAME, "test", 30)
    assert lease is not None
    watched = DetectedExchange(market, "kucoin", base)
    write(market, base + BUCKET, burst=(PUMPED,))
    written = write_detection(market, settings, lease, watched.catch_up(market, base + BUCKET)[0])
    assert written is not None
    assert written["pump_id"] == "this"


def test_without_the_lease_nothing_is_written(market: sa.Engine, settings: Settings, base: datetime) -> None:
    watched = DetectedExchange(market, "kucoin", base)
    write(market, base + BUCKET, burst=(PUMPED,))
    (row,) = watched.catch_up(market, base + BUCKET)
    assert acquire(market, NAME, "somebody else", 30) is not None
    with pytest.raises(LeaseLostError):
        write_detection(market, settings, Lease(NAME, "test", 0), row)
    assert rows(market, DETECTED_PUMPS).is_empty()


def test_a_bucket_nobody_committed_is_unknown_and_raises_nothing(market: sa.Engine, base: datetime) -> None:
    watched = DetectedExchange(market, "kucoin", base)
    write(market, base + 2 * BUCKET, burst=(PUMPED,))
    assert watched.catch_up(market, base + 2 * BUCKET) == []
    # A minute later it is out of the window.
    for number in range(3, 17):
        write(market, base + number * BUCKET, burst=(PUMPED,) if number == 16 else ())
    assert len(watched.catch_up(market, base + 16 * BUCKET)) == 1


def test_an_exchange_without_coins_is_watched_in_silence(engine: sa.Engine, base: datetime) -> None:
    watched = DetectedExchange(engine, "xt", base)
    assert watched.catch_up(engine, base + BUCKET) == []
