"""Speed of reading times and of replaying channels, on one core.

`run()` returns rows: what, peer, rows_per_second, peer_rows_per_second, ratio, n. The channels are generated: pumps with their lead-up
among chatter; texts are normalised while the clock runs, labels are given.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from dateparser.search import search_dates

from benchmarks.rows import row
from pnd_dagster.events import extract_events
from pnd_dagster.events.times import read_times
from pnd_dagster.messages.normalise import normalise_many

START = datetime(2023, 1, 1, tzinfo=UTC)
ANNOUNCEMENT, COUNTDOWN, RELEASE, RESULTS, _, NOISE = range(6)


def run() -> list[dict[str, Any]]:
    """One row per measured job."""
    announcements = [
        f"Next pump\nDate: {day} July 2023\nTime: {hour}:00 GMT\nExchange: Binance" for day in range(1, 29) for hour in (16, 17)
    ]
    settings: Any = {"RELATIVE_BASE": START.replace(tzinfo=None), "PREFER_DATES_FROM": "future"}
    messages = _channels(channel_count=20, pump_count=40)
    texts = messages["text"].to_list()
    return [
        _row(
            "read the times of announcements",
            "dateparser.search_dates, English",
            len(announcements),
            lambda: [read_times(text, START + timedelta(days=180)) for text in announcements],
            lambda: [search_dates(text, languages=["en"], settings=settings) for text in announcements],
        ),
        _row(
            "messages to events, labels given",
            "normalising every message alone",
            messages.height,
            lambda: extract_events(messages),
            lambda: normalise_many(texts),
        ),
    ]


def _row(what: str, peer: str, n: int, ours: Callable[[], Any], theirs: Callable[[], Any]) -> dict[str, Any]:
    return row(what, peer, n, _rate(ours, n), _rate(theirs, n))


def _rate(job: Callable[[], Any], n: int) -> float:
    began = time.perf_counter()
    job()
    return n / (time.perf_counter() - began)


def _channels(channel_count: int, pump_count: int) -> pl.DataFrame:
    rng = random.Random(0)  # noqa: S311 - synthetic texts, no secrets
    rows: list[tuple[int, int, datetime, str, int, float]] = []
    for channel in range(channel_count):
        for pump in range(pump_count):
            at = START + timedelta(days=2 * pump + 1, hours=17)
            coin = "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4))
            posts = [
                (-1200, ANNOUNCEMENT, f"Next pump\nDate: {at:%d %B %Y}\nTime: 17:00 GMT\nExchange: Binance"),
                (-60, COUNTDOWN, "1 hour left until the pump"),
                (-5, COUNTDOWN, "5 minutes left, next post will be the coin"),
                (0, RELEASE, f"The coin is {coin} 🚀"),
                (30, RESULTS, f"Pump results\nCoin was {coin}, peak 250%"),
                *(
                    (rng.randint(-1400, 900), NOISE, f"Market looks good today, {rng.random():.5f} #{rng.randint(1, 99)}")
                    for _ in range(45)
                ),
            ]
            for minute, label, text in posts:
                rows.append((channel, len(rows), at + timedelta(minutes=minute), text, label, 0.9))
    return pl.DataFrame(rows, schema=["channel_id", "message_id", "date", "text", "label", "confidence"], orient="row")
