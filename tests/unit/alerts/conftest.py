"""Made-up pumps in the database: the rows that extraction and a watch would write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from pnd_dagster import tables

CHANNEL_ID = 501
Insert = Callable[..., None]


@pytest.fixture
def now() -> datetime:
    """The moment of the test, on the second."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def insert(engine: sa.Engine) -> Insert:
    """Inserts rows into a table."""

    def insert_rows(table: sa.Table, *rows: dict[str, Any]) -> None:
        with engine.begin() as connection:
            connection.execute(sa.insert(table), list(rows))

    return insert_rows


@pytest.fixture
def message(insert: Insert, now: datetime) -> Callable[..., None]:
    """Stores a message of the channel, labelled."""

    def store(message_id: int, text: str, *, label: int = 0, at: datetime | None = None, channel_id: int = CHANNEL_ID) -> None:
        row = {"channel_id": channel_id, "message_id": message_id, "revision_id": 1}
        facts = {"occurred_at": at or now, "ingested_at": now, "is_deleted": False, "kind": "message", "text": text, "source": "simulated"}
        insert(tables.TELEGRAM_MESSAGES, {**row, **facts})
        judged = {"labeller": "pumpbert", "labeller_version": "v1", "label": label, "confidence": 0.93, "is_abstained": False}
        insert(tables.MESSAGE_LABELS, {**row, **judged, "labelled_at": now})

    return store


@pytest.fixture
def scheduled(engine: sa.Engine, insert: Insert, message: Callable[..., None], now: datetime) -> Callable[..., None]:
    """Stores, or changes, the pump `pump1` that one channel announced, with the announcing message."""

    def store(
        at: datetime | None = None, *, status: str = "scheduled", revision: int = 0, exchange: str | None = "poloniex", **more: Any
    ) -> None:
        at = at or now + timedelta(minutes=40)
        with engine.begin() as connection:
            for table in (tables.PUMP_ANNOUNCEMENTS, tables.SCHEDULED_PUMPS):
                connection.execute(sa.delete(table))
            is_first = connection.execute(sa.select(sa.func.count()).select_from(tables.TELEGRAM_CHANNELS)).scalar_one() == 0
        if is_first:
            channel = {"channel_id": CHANNEL_ID, "title": "Mega Signals", "found_via": "simulated", "status": "validated"}
            insert(tables.TELEGRAM_CHANNELS, {**channel, "is_vanished": False, "discovered_at": now})
            message(7, "Next pump today on Poloniex, be ready! join https://t.me/join now")
        announcement = {
            "announcement_id": "a1",
            "channel_id": CHANNEL_ID,
            "message_id": 7,
            "announced_at": now,
            "exchange": exchange,
            "scheduled_at": at,
            "previous_scheduled_at": None,
            "is_inferred": False,
            "schedule_revision": revision,
            "status": status,
            "status_at": now,
            "evidence_message_ids": [7],
        }
        insert(tables.PUMP_ANNOUNCEMENTS, {**announcement, **more})
        if "scheduled_at" in more:
            return
        insert(
            tables.SCHEDULED_PUMPS,
            {
                "pump_id": "pump1",
                "exchange": exchange,
                "scheduled_at": at,
                "schedule_revision": revision,
                "status": status,
                "announcement_ids": ["a1"],
                "channel_ids": [CHANNEL_ID],
                "channel_count": 1,
                "first_announced_at": now,
            },
        )

    return store


@pytest.fixture
def released(insert: Insert, message: Callable[..., None], now: datetime) -> Callable[..., None]:
    """Stores the event `event1`: the channel named a coin."""

    def store(at: datetime | None = None, *, symbol: str = "ABC", announcement_ids: tuple[str, ...] = ("a1",)) -> None:
        at = at or now
        message(9, f"The coin is {symbol}", label=2, at=at)
        common = {"exchange": "poloniex", "symbol": symbol, "quote": "USDT", "released_at": at, "confidence": 0.9, "event_id": "event1"}
        insert(
            tables.PUMP_EVENTS,
            {
                **common,
                "paper_event_key": f"poloniex {symbol}",
                "last_released_at": at,
                "channel_ids": [CHANNEL_ID],
                "channel_count": 1,
                "evidence_count": 1,
                "announcement_ids": list(announcement_ids),
                "aliases": ["event0"],
            },
        )
        insert(tables.PUMP_RELEASES, {**common, "channel_id": CHANNEL_ID, "message_id": 9, "is_symbol_listed": True})

    return store


@pytest.fixture
def pumped(insert: Insert) -> Callable[..., None]:
    """Stores an event of a coin, by another channel."""

    def store(symbol: str, at: datetime, exchange: str | None = "poloniex") -> None:
        key = f"{symbol} {exchange} {at:%Y-%m-%d %H:%M}"
        named = {"event_id": key, "paper_event_key": key, "exchange": exchange, "symbol": symbol, "released_at": at, "last_released_at": at}
        counted = {"channel_ids": [7], "channel_count": 1, "evidence_count": 1, "announcement_ids": [], "aliases": [], "confidence": 0.9}
        insert(tables.PUMP_EVENTS, {**named, **counted})

    return store


@pytest.fixture
def alerts(engine: sa.Engine) -> Callable[[], list[dict[str, Any]]]:
    """Reads the outbox for one channel, in the order it was queued."""

    def read(channel: str = "file") -> list[dict[str, Any]]:
        statement = sa.select(tables.ALERTS).where(tables.ALERTS.c.channel == channel).order_by(tables.ALERTS.c.created_at)
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    return read
