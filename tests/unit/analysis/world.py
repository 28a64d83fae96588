"""A small made-up world in the database: one pump whose every figure can be worked out by hand, and what surrounds it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.storage import upsert
from pnd_dagster.storage.bulk import copy_rows
from pnd_dagster.storage.partitions import make_days
from pnd_dagster.tables import polars_schema
from pnd_dagster.tables.frames import conform

PUMP = datetime(2026, 3, 10, 17, tzinfo=UTC)
NAME = "<b>Coin|X</b>"


def put(engine: sa.Engine, table: sa.Table, *rows: dict[str, object]) -> None:
    """Writes rows; columns that are not given are NULL."""
    schema = {name: dtype for name, dtype in polars_schema(table).items() if any(name in row for row in rows)}
    frame = pl.DataFrame(list(rows), schema=schema)
    if table in (tables.TRADE_METRICS, tables.ORDER_BOOK_METRICS):  # partitioned: no upsert
        with engine.begin() as connection:
            copy_rows(connection, f'"{table.schema}"."{table.name}"', conform(frame, table))
    else:
        upsert(engine, table, frame)


def fill(engine: sa.Engine) -> None:
    """Event e1 of ABC on KuCoin with everything around it; e2 of an unknown coin on Hotbit, years before, with nothing."""
    event = {"confidence": 0.9, "channel_count": 2, "evidence_count": 2, "announcement_ids": [], "aliases": [], "quote": "USDT"}
    releases = [("e1", "kucoin", "ABC", PUMP, [7, 8]), ("e2", "hotbit", "OLD", PUMP - timedelta(days=1_500), [7])]
    for event_id, exchange, symbol, at, channels in releases:
        known = {"event_id": event_id, "exchange": exchange, "symbol": symbol, "released_at": at}
        key = f"{exchange}:{symbol}:{at:%Y%m%d%H}"
        put(engine, tables.PUMP_EVENTS, event | known | {"paper_event_key": key, "last_released_at": at, "channel_ids": channels})
        for channel in channels:
            told = {"channel_id": channel, "message_id": 1, "exchange_source": "text", "quote": "USDT", "confidence": 0.9}
            put(engine, tables.PUMP_RELEASES, known | told | {"is_symbol_listed": True, "announcement_id": None})
    common = {"exchange": "kucoin", "market_id": "ABC-USDT", "symbol": "ABC/USDT", "base_symbol": "ABC", "quote_symbol": "USDT"}
    listed = {"base_id": "ABC", "quote_id": "USDT", "is_derivative": False, "valid_from": PUMP - timedelta(days=100)}
    put(engine, tables.INSTRUMENTS, {"instrument_id": 1} | common | listed)
    link = {"instrument_id": 1, "coin_id": 11, "method": tables.LINK_METHODS[0], "rivals": [], "reason": "made up", "linked_at": PUMP}
    put(engine, tables.COIN_LINKS, link)
    coin = {"symbol": "ABC", "name": NAME, "slug": "abc", "token_standard": "ERC-20", "is_active": True, "payload": "{}"}
    other = {"coin_id": 12, "symbol": "RUN", "name": "Run", "slug": "run", "token_standard": "Runes", "is_active": True, "payload": "{}"}
    for hours, cap in ((-30, 3e6), (5, 9e7)):
        at = PUMP + timedelta(hours=hours)
        put(engine, tables.COINMARKETCAP_SNAPSHOTS, {"coin_id": 11, "snapshot_at": at, "market_cap_usd": cap, "price_usd": 0.5} | coin)
        put(engine, tables.COINMARKETCAP_SNAPSHOTS, {"snapshot_at": at} | other)
    candidate = {"instrument_id": 1, "as_of_date": PUMP.date(), "exchange": "kucoin", "symbol": "ABC/USDT", "coin_id": 11}
    chosen = {"market_cap_usd": 3e6, "cap_source": "coinmarketcap", "is_candidate": True, "reason": "made up"}
    put(engine, tables.CANDIDATE_COINS, candidate | chosen)
    candle = {"exchange": "kucoin", "symbol": "ABC/USDT", **dict.fromkeys(("open", "high", "low", "close"), 2.0)}
    asked = {"source": "ohlcv", "is_complete": True, "ingested_at": PUMP}
    days = [(ahead, 4_000.0 if ahead == 0 else 100.0, 40 if ahead == 0 else 10) for ahead in range(8)]
    candles = [
        candle | asked | {"day": PUMP.date() - timedelta(days=ahead), "volume": value / 2, "quote_volume": value, "trade_count": count}
        for ahead, value, count in days
    ]
    put(engine, tables.OHLCV_DAILY, *candles)
    make_days(engine, [tables.TRADE_METRICS, tables.ORDER_BOOK_METRICS], [PUMP.date()])
    bucket = {"instrument_id": 1, "is_gap": False}
    trades = [
        bucket
        | {"bucket_end_at": PUMP + timedelta(seconds=offset), "trade_count": 1, "volume": 1.0, "last_price": price, "high_price": high}
        for offset, price, high in ((-610, 1.0, 1.0), (30, 3.0, 4.5), (60, 2.0, 2.0))
    ]
    put(engine, tables.TRADE_METRICS, *trades)
    book = {"bucket_end_at": PUMP - timedelta(seconds=620), "mid_price": 1.5, "average_order_size": 2.0}
    put(engine, tables.ORDER_BOOK_METRICS, bucket | book | {"bid_levels": 1, "ask_levels": 1, "update_count": 1})
    label = {"channel_id": 7, "revision_id": 1, "labelled_at": PUMP, "labeller_version": "1"}
    given = ((1, "pumpbert", 5), (1, "human:a", 2), (2, "pumpbert", 1), (2, "llm:x", 0), (3, "pumpbert", 5))
    labels = [label | {"message_id": n, "labeller": who, "label": kind, "is_abstained": who == "llm:x"} for n, who, kind in given]
    put(engine, tables.MESSAGE_LABELS, *labels)
    social = {"coin_id": 5, "symbol": "ABC", "interactions": 10, "social_dominance": 1.0, "price_usd": 1.0, "payload": "{}"}
    put(engine, tables.LUNARCRUSH_SNAPSHOTS, *(social | {"snapshot_at": PUMP - timedelta(days=day)} for day in range(12)))


def tick_files(folder: Path) -> tuple[Path, Path]:
    """Trades around two pumps of ABC (one in the database, one not) and their log; a third pump of the log has none."""
    rows = [(event, at + timedelta(seconds=offset), price)
            for event, at in (("t1", PUMP), ("t2", PUMP - timedelta(days=300)))
            for offset, price in ((-170_000, 1.0), (-90_000, 1.0), (-601, 1.0), (6, 2.0), (90_000, 1.0))]  # fmt: skip
    trades = pl.DataFrame(rows, schema=["event_id", "at", "price"], orient="row").select(
        "event_id", "price", timestamp_ms=pl.col("at").dt.epoch("ms"), side=pl.lit("buy"), amount=pl.lit(3.0), btc_volume=pl.lit(1.0)
    )
    trades.write_parquet(folder / "some_trades.parquet")
    log = [("t1", "ABC", PUMP), ("t2", "ABC", PUMP - timedelta(days=300)), ("t3", "ABC", PUMP - timedelta(days=600))]
    pl.DataFrame(log, schema=["event_id", "event_coin", "event_time"], orient="row").with_columns(
        pl.col("event_time").dt.to_string("%Y-%m-%d %H:%M:%S+00:00")
    ).write_csv(folder / "some_events.csv")
    return folder / "some_trades.parquet", folder / "some_events.csv"
