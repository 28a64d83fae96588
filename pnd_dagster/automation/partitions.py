"""Partitions of the graph, and the spans of time they stand for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import dagster as dg

# The first channel of the public archives posted on 2016-08-13. The current day is a partition: it is worked on while it lasts.
DAILY = dg.DailyPartitionsDefinition("2016-08-01", timezone="UTC", end_offset=1)
# Candles and market capitalisations: the paper's pumps begin in December 2017.
MARKET_DAILY = dg.DailyPartitionsDefinition("2017-12-01", timezone="UTC", end_offset=1)
# Metrics exist from the first collector on; exchanges serve no history of order books.
HOURLY = dg.HourlyPartitionsDefinition("2026-01-01-00:00", timezone="UTC", end_offset=1)


def window(context: dg.AssetExecutionContext) -> tuple[datetime, datetime]:
    """[start, end) in UTC of the partitions this run works on."""
    span = context.partition_time_window
    return span.start.astimezone(UTC), span.end.astimezone(UTC)


def days(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """First day of the partitions this run works on, and the day after the last."""
    start, end = window(context)
    return start.date(), end.date()


def contiguous_ranges(keys: Iterable[str]) -> list[tuple[str, str]]:
    """First and last day of each unbroken run of daily partition keys, in order."""
    ranges: list[tuple[str, str]] = []
    for key in sorted(set(keys)):
        if ranges and datetime.fromisoformat(key) - datetime.fromisoformat(ranges[-1][1]) == timedelta(days=1):
            ranges[-1] = (ranges[-1][0], key)
        else:
            ranges.append((key, key))
    return ranges
