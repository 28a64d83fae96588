"""A market in the database, built row by row: instruments, coins, candles, and how instruments are linked and decided on."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import COIN_LINKS, COINCODEX_DAILY, COINMARKETCAP_SNAPSHOTS, INSTRUMENTS, OHLCV_DAILY, PUMP_EVENTS, polars_schema

DAY = date(2024, 5, 1)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
LONG_BEFORE = datetime(2024, 1, 1, tzinfo=UTC)


class MarketPlace:
    """Writes rows and reads them back."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def put(self, table: sa.Table, *rows: dict[str, Any]) -> None:
        columns = {name for row in rows for name in row}
        upsert(self.engine, table, pl.DataFrame(list(rows), schema={n: t for n, t in polars_schema(table).items() if n in columns}))

    def instrument(self, base: str, exchange: str = "kucoin", **changes: Any) -> int:
        row = {
            "instrument_id": int.from_bytes(hashlib.blake2b(f"{exchange} {base} {changes}".encode(), digest_size=7).digest(), "big"),
            "exchange": exchange,
            "market_id": f"{base}-USDT",
            "symbol": f"{base}/USDT",
            "base_symbol": base,
            "quote_symbol": "USDT",
            "base_id": base,
            "quote_id": "USDT",
            "is_derivative": False,
            "valid_from": LONG_BEFORE,
        } | changes
        self.put(INSTRUMENTS, row)
        return row["instrument_id"]

    def coin(self, coin_id: int, symbol: str, name: str, *, at: datetime = NOON - timedelta(days=1), **changes: Any) -> None:
        row = {
            "coin_id": coin_id,
            "snapshot_at": at,
            "symbol": symbol,
            "name": name,
            "slug": name.lower(),
            "is_active": True,
            "payload": "{}",
        } | changes
        self.put(COINMARKETCAP_SNAPSHOTS, row)

    def history(self, codex_id: str, symbol: str, name: str, caps: dict[date, float | None]) -> None:
        rows = [
            {"coin_id": codex_id, "day": day, "symbol": symbol, "name": name, "market_cap_usd": cap, "payload": "{}", "ingested_at": NOON}
            for day, cap in caps.items()
        ]
        self.put(COINCODEX_DAILY, *rows)

    def price(self, base: str, close: float, exchange: str = "kucoin", day: date = DAY) -> None:
        prices = dict.fromkeys(("open", "high", "low", "close"), close)
        row = {
            "exchange": exchange,
            "symbol": f"{base}/USDT",
            "day": day,
            "volume": 1.0,
            "source": "ohlcv",
            "is_complete": True,
            "ingested_at": NOON,
        }
        self.put(OHLCV_DAILY, row | prices)

    def link(self, instrument_id: int, coin_id: int | None) -> None:
        row = {
            "instrument_id": instrument_id,
            "coin_id": coin_id,
            "method": "name" if coin_id else "none",
            "rivals": [],
            "reason": "as told",
        }
        self.put(COIN_LINKS, row | {"linked_at": NOON})

    def pump(self, exchange: str, symbol: str, released_at: datetime) -> None:
        row: dict[str, Any] = {
            "event_id": f"{exchange}{symbol}{released_at}",
            "paper_event_key": "key",
            "exchange": exchange,
            "symbol": symbol,
        }
        times = {"released_at": released_at, "last_released_at": released_at}
        lists: dict[str, Any] = {"channel_ids": [1], "announcement_ids": [], "aliases": []}
        self.put(PUMP_EVENTS, row | times | lists | {"confidence": 1.0, "channel_count": 1, "evidence_count": 1})

    def links(self) -> dict[int, dict[str, Any]]:
        frame = read_frame(self.engine, sa.select(COIN_LINKS))
        return {row["instrument_id"]: row for row in frame.iter_rows(named=True)}


@pytest.fixture
def place(engine: sa.Engine) -> MarketPlace:
    """An empty market in the database."""
    return MarketPlace(engine)
