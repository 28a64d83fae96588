"""Rolls up all hours of a span again, from the metric rows that are there: what a collector missed, or wrote late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.market.rollups import rollup_hour
from pnd_dagster.market.summaries import buckets_per_hour
from pnd_dagster.storage import NOTHING_WRITTEN, Window, Written, read_frame
from pnd_dagster.tables import METRIC_ROLLUPS

_TICK = timedelta(microseconds=1)


class RolledUp(NamedTuple):
    """What was written, and the stored rollups by day: day, row_count."""

    written: Written
    per_day: pl.DataFrame


def roll_up_days(engine: sa.Engine, window: Window, now: datetime, on_progress: Callable[[str], object] = lambda message: None) -> RolledUp:
    """Rolls up every exchange's hours that end in `window` (its start excluded, its end included) and have ended by `now`.

    Hours without any committed bucket are left alone: after retention has dropped their rows, their rollups stay.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    # Hours carry their end: that of the last hour of a day is the next midnight.
    inside = (window[0] + _TICK, window[1] + _TICK)
    hours = buckets_per_hour(engine, inside).filter(pl.col("hour_end_at") <= now)
    written = NOTHING_WRITTEN
    for exchange, hour_end in hours.select("exchange", "hour_end_at").iter_rows():
        hour = rollup_hour(engine, exchange, hour_end)
        written += hour
        on_progress(f"{exchange}, hour to {hour_end:%Y-%m-%d %H:%M}: {hour.inserted} new, {hour.updated} changed")
    rollup = METRIC_ROLLUPS.c
    day = sa.cast(sa.func.timezone("UTC", rollup.hour_end_at - _TICK), sa.Date)
    per_day = read_frame(
        engine,
        sa.select(day.label("day"), sa.func.count().label("row_count"))
        .where(rollup.hour_end_at >= inside[0], rollup.hour_end_at < inside[1])
        .group_by(day),
    )
    return RolledUp(written, per_day)
