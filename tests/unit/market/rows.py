"""Rows of the market tables for tests: a few instruments, their buckets and metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.storage import upsert
from pnd_dagster.storage.bulk import copy_rows
from pnd_dagster.storage.partitions import make_days

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)


def instrument(instrument_id: int, exchange: str = "kucoin", base: str = "ABC", **changes: Any) -> dict[str, Any]:
    """A listed USDT market."""
    return {
        "instrument_id": instrument_id,
        "exchange": exchange,
        "market_id": f"{base}-USDT",
        "symbol": f"{base}/USDT",
        "base_symbol": base,
        "quote_symbol": "USDT",
        "base_id": base,
        "quote_id": "USDT",
        "is_derivative": False,
        "valid_from": NOON - timedelta(days=100),
        **changes,
    }


def commit(bucket_end_at: datetime, exchange: str = "kucoin", shard: str = "1/1", **changes: Any) -> dict[str, Any]:
    """A bucket that was written whole."""
    counts = ("blind", "book_rows", "trade_rows", "book_updates", "trades", "unusable_books", "rejected_frames", "duplicates")
    return {
        "exchange": exchange,
        "shard": shard,
        "bucket_end_at": bucket_end_at,
        "watched": 4,
        **dict.fromkeys(counts, 0),
        "is_gap": False,
        "is_spilled": False,
        "lag_seconds": 0.5,
        "lease_epoch": 1,
        "committed_at": bucket_end_at + timedelta(seconds=0.5),
        **changes,
    }


def book(instrument_id: int, bucket_end_at: datetime, **changes: Any) -> dict[str, Any]:
    """Order book metrics of one bucket."""
    fixed = {"bid_levels": 20, "ask_levels": 20, "update_count": 1, "is_gap": False, "relative_spread": 0.01}
    return {"instrument_id": instrument_id, "bucket_end_at": bucket_end_at, **fixed, **changes}


def store(engine: sa.Engine, table: sa.Table, *rows: dict[str, Any]) -> None:
    """Writes rows, and makes the day partitions they need."""
    frame = pl.DataFrame(list(rows), infer_schema_length=None)
    if table not in (tables.ORDER_BOOK_METRICS, tables.TRADE_METRICS):
        upsert(engine, table, frame)
        return
    make_days(engine, [table], frame["bucket_end_at"].dt.date().unique())
    with engine.begin() as connection:
        copy_rows(connection, f'"{table.schema}"."{table.name}"', tables.conform(frame, table))
