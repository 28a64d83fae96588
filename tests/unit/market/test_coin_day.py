"""A coin's day as it is stored, and its picture."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.cli.coin_plot import default_path, describe, draw_coin_day
from pnd_dagster.errors import SourceError
from pnd_dagster.market.coin_day import read_coin_day
from pnd_dagster.market.metric_store import gap_row, write_tick
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.tick import Tick
from pnd_dagster.storage.leases import acquire
from pnd_dagster.tables import INSTRUMENTS, ORDER_BOOK_METRICS, TRADE_METRICS, conform

WHOLE = Shard(1, 1)
DAY = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
COINS = {1: ("kucoin", "ZYNE"), 2: ("mexc", "ZYNE"), 3: ("kucoin", "ZENE"), 4: ("kucoin", "QUIET")}


@pytest.fixture
def collected(engine: sa.Engine) -> sa.Engine:
    """ZYNE: 10 buckets on KuCoin, 4 on MEXC, one a day later; a gap in the middle."""
    row = {"quote_symbol": "USDT", "base_id": "x", "quote_id": "y", "is_derivative": False, "valid_from": NOON}
    with engine.begin() as connection:
        for instrument_id, (exchange, base) in COINS.items():
            named = {"exchange": exchange, "market_id": base, "symbol": f"{base}/USDT", "base_symbol": base}
            connection.execute(sa.insert(INSTRUMENTS).values(instrument_id=instrument_id, **named, **row))
    for exchange, instrument_id, ends in (
        ("kucoin", 1, [NOON + timedelta(seconds=5 * place) for place in range(10)]),
        ("mexc", 2, [NOON + timedelta(seconds=5 * place) for place in range(4)]),
        ("kucoin", 1, [NOON + timedelta(days=1)]),
    ):
        lease = acquire(engine, f"collect:{exchange}:1/1", "me", 60)
        assert lease
        for place, end in enumerate(ends):
            books = pl.DataFrame({"instrument_id": [instrument_id]}).with_columns(
                bucket_end_at=pl.lit(end), mid_price=2.0 + place, bid_ask_spread=0.1, relative_spread=0.05, order_book_pressure=0.4
            )
            books = books.with_columns(bid_levels=20, ask_levels=20, update_count=3, is_gap=False)
            trades = books.select("instrument_id", "bucket_end_at", "is_gap", trade_count=2, volume=pl.lit(1.5), vwap=pl.lit(2.5))
            gap = gap_row(exchange, WHOLE, [instrument_id] if place == 5 else [], end, end + timedelta(seconds=30), "silent")
            names = ("watched", "blind", "book_updates", "trades", "unusable_books", "rejected_frames", "duplicates")
            counts = {**dict.fromkeys(names, 0), "is_gap": False}
            tick = Tick(end, conform(books, ORDER_BOOK_METRICS), conform(trades, TRADE_METRICS), gap, counts)
            assert write_tick(engine, lease, exchange, WHOLE, tick)
    return engine


def test_the_last_day_is_taken_on_the_exchange_with_the_most_rows(collected: sa.Engine) -> None:
    newest = read_coin_day(collected, "zyne")
    assert (newest.exchange, newest.day, newest.books.height) == ("kucoin", DAY + timedelta(days=1), 1)
    wanted = read_coin_day(collected, "ZYNE/USDT", day=DAY)
    assert (wanted.exchange, wanted.books.height, wanted.trades.height, wanted.gaps.height) == ("kucoin", 10, 10, 1)
    assert read_coin_day(collected, "ZYNE", exchange="mexc", day=DAY).books.height == 4


@pytest.mark.parametrize(
    ("coin", "options", "words"),
    [
        ("ZINE", {}, "do you mean Z[EY]NE, Z[EY]NE"),
        ("12345678", {}, "no coin 12345678$"),
        ("ZYNE", {"exchange": "binance"}, "no instruments of binance.*kucoin, mexc"),
        ("ZYNE", {"day": date(2026, 2, 1)}, "nothing is stored of 2026-02-01; there is 2026-03-01, 2026-03-02"),
        ("QUIET", {}, "nothing is collected yet"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(collected: sa.Engine, coin: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        read_coin_day(collected, coin, **options)  # pyright: ignore[reportArgumentType]


def test_an_empty_database_says_how_to_fill_it(engine: sa.Engine) -> None:
    with pytest.raises(SourceError, match="no instruments are known"):
        read_coin_day(engine, "ZYNE")


def test_a_day_is_drawn_and_described(collected: sa.Engine, tmp_path: Path) -> None:
    coin = read_coin_day(collected, "ZYNE", day=DAY)
    draw_coin_day(coin, tmp_path / "day.png")
    assert (tmp_path / "day.png").read_bytes()[:4] == b"\x89PNG"
    assert default_path(coin) == Path("kucoin-ZYNE-USDT-2026-03-01.png")
    assert describe(coin) == (
        "ZYNE/USDT on kucoin, 2026-03-01 from 12:00:00 to 12:00:45 UTC: 10 books, 20 trades in 10 buckets, 1 gap (30 s)"
    )


@pytest.mark.parametrize("name", ["no/such/folder/day.png", "day.nonsense"])
def test_a_picture_that_cannot_be_written_is_named(collected: sa.Engine, tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="day"):
        draw_coin_day(read_coin_day(collected, "ZYNE", day=DAY), tmp_path / name)
