"""A market with a clock of its own: buckets are written by hand, and the watch's clock follows them. Loaded by its path."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import sqlalchemy as sa

from pnd_dagster.market.metric_store import write_tick
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.tick import Tick
from pnd_dagster.market.windows import HORIZONS, LAYOUT, METRICS
from pnd_dagster.services.watch import Pace, watch
from pnd_dagster.services.watch_market import RankedTick
from pnd_dagster.services.watch_orders import Order, order_for_pump
from pnd_dagster.services.watch_rows import WatchEnd
from pnd_dagster.settings import Settings
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.storage.leases import acquire
from pnd_dagster.tables import (
    INSTRUMENTS,
    METRIC_ROLLUPS,
    ORDER_BOOK_METRICS,
    PUMP_ANNOUNCEMENTS,
    PUMP_EVENTS,
    SCHEDULED_PUMPS,
    TRADE_METRICS,
    conform,
    polars_schema,
)

START = datetime(2026, 3, 6, 17, 0, tzinfo=UTC)
BUCKET = timedelta(seconds=5)
COINS = 8
WIDTH = len(METRICS) * len(HORIZONS)
QUICK = Pace(lease_seconds=2.0, poll_seconds=0.05, straggler_seconds=0.4, retry_seconds=0.05, longest_retry_seconds=0.2)
LISTED_SINCE = datetime(2025, 1, 1, tzinfo=UTC)


def ids_of(exchange: str) -> list[int]:
    """The instruments of an exchange; the last of them is the one that is pumped."""
    first = {"kucoin": 100, "xt": 200, "mexc": 300, "latoken": 400, "poloniex": 500}[exchange]
    return [first + place for place in range(COINS)]


class Scene:
    """Exchanges with listed coins, announced pumps, and buckets as they come."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self.engine, self.settings = engine, settings
        self.now = START - timedelta(seconds=60)
        self.ticks: list[RankedTick] = []
        # After so many ticks the clock jumps beyond the watch's end.
        self.most_ticks = 6
        self._lock = threading.Lock()

    def list_coins(self, exchange: str, *, with_history: bool = True) -> None:
        """Lists the exchange's coins; with three hours of history in which every metric was about 1."""
        ids = ids_of(exchange)
        names = [f"C{place}" for place in range(COINS - 1)] + ["PUMP"]
        listed = pl.DataFrame({"instrument_id": ids, "base_symbol": names}).with_columns(
            exchange=pl.lit(exchange),
            market_id=pl.col("base_symbol"),
            symbol=pl.col("base_symbol") + "/USDT",
            quote_symbol=pl.lit("USDT"),
            base_id=pl.col("base_symbol"),
            quote_id=pl.lit("USDT"),
            is_derivative=pl.lit(False),
            valid_from=pl.lit(LISTED_SINCE),
        )
        upsert(self.engine, INSTRUMENTS, listed)
        if with_history:
            hours = [START - timedelta(hours=hour) for hour in (1, 2, 3)]
            rows = [(number, hour, LAYOUT, [50] * WIDTH, [1.0] * WIDTH, [49.0] * WIDTH) for number in ids for hour in hours]
            upsert(self.engine, METRIC_ROLLUPS, pl.DataFrame(rows, schema=polars_schema(METRIC_ROLLUPS), orient="row"))

    def announce(self, pump_id: str = "p1", exchange: str | None = "kucoin", at: datetime = START, **changed: object) -> None:
        """Writes the pump's row, as the listener would."""
        row = {
            "pump_id": pump_id,
            "exchange": exchange,
            "scheduled_at": at,
            "schedule_revision": 0,
            "status": "scheduled",
            "announcement_ids": [f"a-{pump_id}"],
            "channel_ids": [1],
            "channel_count": 1,
            "first_announced_at": START - timedelta(hours=5),
            **changed,
        }
        upsert(self.engine, SCHEDULED_PUMPS, pl.DataFrame([row], schema=polars_schema(SCHEDULED_PUMPS)))

    def announce_without_time(self, announcement_id: str, exchange: str | None, at: datetime, **changed: object) -> None:
        """Writes an announcement that names no time."""
        row = {
            "announcement_id": announcement_id,
            "channel_id": 1,
            "message_id": 1,
            "announced_at": at,
            "exchange": exchange,
            "is_inferred": False,
            "schedule_revision": 0,
            "status": "scheduled",
            "status_at": at,
            "evidence_message_ids": [1],
            **changed,
        }
        upsert(self.engine, PUMP_ANNOUNCEMENTS, pl.DataFrame([row], schema=polars_schema(PUMP_ANNOUNCEMENTS)))

    def release(self, at: datetime, *, pump_id: str | None = "p1", exchange: str | None = "kucoin", symbol: str = "PUMP") -> None:
        """Writes the event of a coin that was named; of a pump, or of one that nobody announced."""
        row = {
            "event_id": f"e-{pump_id}",
            "paper_event_key": "k",
            "exchange": exchange,
            "symbol": symbol,
            "released_at": at,
            "last_released_at": at,
            "confidence": 0.9,
            "channel_ids": [1],
            "channel_count": 1,
            "evidence_count": 1,
            "announcement_ids": [f"a-{pump_id}"] if pump_id else [],
            "aliases": [],
        }
        upsert(self.engine, PUMP_EVENTS, pl.DataFrame([row], schema=polars_schema(PUMP_EVENTS)))

    def write(self, end: datetime, exchange: str = "kucoin", shard: Shard = Shard(1, 1)) -> None:  # noqa: B008 - immutable
        """Commits a bucket: every coin trades a little, the pumped one thirty times as much in the last minute."""
        lease = acquire(self.engine, f"collect:{exchange}:{shard}", "scene", 30)
        assert lease is not None
        ids = [number for number in ids_of(exchange) if shard.holds(number)]
        is_pumped = end > START - timedelta(seconds=70)
        volumes = [30.0 if number == ids_of(exchange)[-1] and is_pumped else 0.2 + 0.01 * (number % 7) for number in ids]
        books = pl.DataFrame({"instrument_id": ids}).with_columns(
            bucket_end_at=pl.lit(end), mid_price=pl.lit(1.0), bid_levels=20, ask_levels=20, update_count=1, is_gap=pl.lit(False)
        )
        trades = pl.DataFrame({"instrument_id": ids, "volume": volumes}).with_columns(
            bucket_end_at=pl.lit(end),
            trade_count=1,
            quote_volume=pl.col("volume"),
            taker_buy_volume=pl.col("volume"),
            taker_sell_volume=pl.lit(0.0),
            vwap=pl.lit(1.0),
            high_price=pl.lit(1.0),
            low_price=pl.lit(1.0),
            is_gap=pl.lit(False),
        )
        zeros = dict.fromkeys(("blind", "book_updates", "trades", "unusable_books", "rejected_frames", "duplicates"), 0)
        counts = {"watched": len(ids), **zeros, "is_gap": False}
        tick = Tick(end, conform(books, ORDER_BOOK_METRICS), conform(trades, TRADE_METRICS), pl.DataFrame(), counts)
        write_tick(self.engine, lease, exchange, shard, tick)

    def write_minute_before(self, exchange: str = "kucoin") -> None:
        """Commits the buckets of the last half minute up to now."""
        for back in range(6, -1, -1):
            self.write(self.now - back * BUCKET, exchange)

    def watch(
        self,
        order: Order | None = None,
        on_tick: Callable[[RankedTick], None] | None = None,
        *,
        stop: threading.Event | None = None,
        pace: Pace = QUICK,
    ) -> WatchEnd:
        """Watches a pump; unless something else is given to do at a tick, the next bucket is written and the clock follows it."""
        order = order or order_for_pump(self.engine, self.settings, "p1", self.now)

        def each(tick: RankedTick) -> None:
            with self._lock:
                self.ticks.append(tick)
            (on_tick or self.go_on)(tick)

        return watch(self.engine, self.settings, order, stop or threading.Event(), each, pace=pace, clock=lambda: self.now)

    def go_on(self, tick: RankedTick) -> None:
        """Writes the bucket after a ranked one."""
        self.now = max(self.now, tick.bucket_end_at + BUCKET + timedelta(seconds=0.5))
        if len(self.ticks) >= self.most_ticks:
            self.now = START + timedelta(hours=1)
            return
        self.write(tick.bucket_end_at + BUCKET, tick.exchange)

    def rows(self, table: sa.Table) -> pl.DataFrame:
        """All of a table."""
        return read_frame(self.engine, sa.select(table))
