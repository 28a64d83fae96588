"""A small made-up world in the database: channels, pumps, prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.storage import transaction, upsert
from pnd_dagster.storage.bulk import copy_rows
from pnd_dagster.storage.partitions import make_days

START = datetime(2024, 5, 10, 17, tzinfo=UTC)
NOW = START + timedelta(days=2)
PAIR = 77
"""Instrument of AAA/USDT on xt."""


def put(engine: sa.Engine, table: sa.Table, *rows: dict[str, Any]) -> None:
    """Writes rows; required columns that are missing get a plain value of their type."""
    plain: dict[Any, Any] = {pl.String: "x", pl.Boolean: False, pl.List: [], pl.Datetime: START}
    schema = tables.polars_schema(table)
    required = {
        column.name: plain.get(schema[column.name].base_type(), 0)
        for column in table.columns
        if not column.nullable and not column.primary_key
    }
    frame = tables.conform(pl.DataFrame([required | row for row in rows], schema=schema), table)
    if table.dialect_options["postgresql"]["partition_by"]:
        with transaction(engine) as connection:
            copy_rows(connection, f'"{table.schema}"."{table.name}"', frame)
    else:
        upsert(engine, table, frame)


def event(event_id: str, symbol: str = "AAA", at: datetime = START, **others: Any) -> dict[str, Any]:
    """A row of core.pump_events."""
    plain = {"exchange": "xt", "released_at": at, "last_released_at": at, "channel_ids": [1], "channel_count": 1}
    return {"event_id": event_id, "symbol": symbol, "paper_event_key": event_id} | plain | others


def message(channel: int, number: int, at: datetime, text: str, **others: Any) -> dict[str, Any]:
    """A row of raw.telegram_messages."""
    plain = {"revision_id": 1, "occurred_at": at, "ingested_at": at, "kind": "message", "source": "archive", "text": text}
    return {"channel_id": channel, "message_id": number} | plain | others


def labelled(engine: sa.Engine, label: int, row: dict[str, Any]) -> None:
    """A message with its label."""
    put(engine, tables.TELEGRAM_MESSAGES, row)
    keys = {name: row[name] for name in ("channel_id", "message_id", "revision_id")}
    put(engine, tables.MESSAGE_LABELS, keys | {"labeller": "rules", "labeller_version": "1", "label": label})


def instrument(instrument_id: int = PAIR, base: str = "AAA", **others: Any) -> dict[str, Any]:
    """A row of core.instruments."""
    plain = {"exchange": "xt", "market_id": base, "symbol": f"{base}/USDT", "base_symbol": base, "quote_symbol": "USDT"}
    return {"instrument_id": instrument_id, "valid_from": START - timedelta(days=90)} | plain | others


def collected(engine: sa.Engine, *buckets: tuple[float, float, float]) -> None:
    """Buckets of (seconds from the start to its end, price, value) of AAA on xt, and that its exchange was collected."""
    days = {START.date() + timedelta(days=offset) for offset in (-2, -1, 0, 1)}
    make_days(engine, [tables.TRADE_METRICS, tables.ORDER_BOOK_METRICS], days)
    first = START - timedelta(days=2)
    put(engine, tables.BUCKET_COMMITS, {"exchange": "xt", "shard": "1/1", "bucket_end_at": first, "committed_at": first})
    rows = [
        {
            "instrument_id": PAIR,
            "bucket_end_at": START + timedelta(seconds=seconds),
            **dict.fromkeys(("vwap", "first_price", "last_price", "high_price", "low_price"), price),
            "quote_volume": value,
            "trade_count": 1,
        }
        for seconds, price, value in buckets
    ]
    put(engine, tables.TRADE_METRICS, *rows)


def quiet_day() -> list[tuple[float, float, float]]:
    """A bucket of 10 USDT at a price of 1 in each of the 25 hours before."""
    return [(-3600.0 * hour - 1800, 1.0, 10.0) for hour in range(25)]
