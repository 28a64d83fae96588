"""Counts and short lists of announcements and events, for metadata, the terminal and reports."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import sqlalchemy as sa

from pnd_dagster.storage import read_frame
from pnd_dagster.tables import PUMP_ANNOUNCEMENTS, PUMP_EVENTS, SCHEDULED_PUMPS

UNKNOWN_EXCHANGE = "unknown"


def events_per_exchange_and_month(engine: sa.Engine) -> pl.DataFrame:
    """Events by month (yyyy-mm) and exchange (the paper's Figure 3): month, exchange, events."""
    event = PUMP_EVENTS.c
    month = sa.func.to_char(sa.func.timezone("UTC", event.released_at), "YYYY-MM").label("month")
    exchange = sa.func.coalesce(event.exchange, UNKNOWN_EXCHANGE).label("exchange")
    counts = read_frame(engine, sa.select(month, exchange, sa.func.count().label("events")).group_by(month, exchange))
    return counts.sort("month", "exchange")


def latest_events(engine: sa.Engine, limit: int = 10) -> pl.DataFrame:
    """The newest events: released_at, exchange, symbol, quote, channel_count, confidence, event_id."""
    event = PUMP_EVENTS.c
    columns = (event.released_at, event.exchange, event.symbol, event.quote, event.channel_count, event.confidence, event.event_id)
    return read_frame(engine, sa.select(*columns).order_by(event.released_at.desc(), event.event_id).limit(limit))


def upcoming_pumps(engine: sa.Engine, limit: int = 10) -> pl.DataFrame:
    """Scheduled pumps that are still open, the next first: scheduled_at, exchange, status, channel_count."""
    pump = SCHEDULED_PUMPS.c
    columns = (pump.scheduled_at, pump.exchange, pump.status, pump.channel_count)
    is_open = pump.status.in_(("scheduled", "postponed"))
    return read_frame(engine, sa.select(*columns).where(is_open).order_by(pump.scheduled_at, pump.pump_id).limit(limit))


def announcements_by_status(engine: sa.Engine) -> pl.DataFrame:
    """Announcements by status: status, announcements."""
    status = PUMP_ANNOUNCEMENTS.c.status
    count = sa.func.count()
    return read_frame(engine, sa.select(status, count.label("announcements")).group_by(status).order_by(count.desc()))


def pumped_symbols(engine: sa.Engine, since: datetime) -> list[str]:
    """Coins that were released since then, in order of their names."""
    event = PUMP_EVENTS.c
    statement = sa.select(event.symbol).distinct().where(event.released_at >= since).order_by(event.symbol)
    return read_frame(engine, statement)["symbol"].to_list()
