"""What is known of each bucket, whatever gaps there are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from pnd_dagster.market import bucket_grid
from pnd_dagster.market.bucket_grid import read_blindness, read_grid
from pnd_dagster.tables import BUCKET_COMMITS, FEED_GAPS, ORDER_BOOK_METRICS
from tests.unit.market.rows import NOON, book, commit, store

BUCKET = timedelta(seconds=5)
END = NOON + 12 * BUCKET
IDS = np.array([1, 2, 3, 4])


def gap(instrument_id: int, started_at: datetime, ended_at: datetime | None) -> dict[str, Any]:
    facts = {"exchange": "kucoin", "shard": "1/1", "instrument_ids": [instrument_id], "reason": "stalled"}
    return {"gap_id": f"{instrument_id} {started_at}", "started_at": started_at, "ended_at": ended_at, **facts}


@pytest.fixture
def gaps(engine: sa.Engine) -> sa.Engine:
    """One instrument is seen; one is out of sight for 3 days and one for 9, until the sixth bucket; one is so still."""
    store(engine, BUCKET_COMMITS, *(commit(NOON + number * BUCKET) for number in range(1, 13)))
    back_at = NOON + 5.5 * BUCKET
    store(
        engine,
        FEED_GAPS,
        gap(2, NOON - timedelta(days=3), back_at),
        gap(3, NOON - timedelta(days=9), back_at),
        gap(4, NOON - timedelta(days=9), None),
    )
    rows = [book(1, NOON - BUCKET), *(book(number, NOON + 6 * BUCKET, is_gap=True) for number in (2, 3))]
    store(engine, ORDER_BOOK_METRICS, *rows, book(2, NOON + 7 * BUCKET), book(3, NOON + 7 * BUCKET), book(1, NOON + 7 * BUCKET))
    return engine


def test_a_gap_of_days_that_reaches_into_the_buckets_is_seen(gaps: sa.Engine) -> None:
    blind = read_blindness(gaps, "kucoin", IDS, NOON, END)
    assert blind[:2].sum(axis=1).tolist() == [0, 6]


def test_a_grid_is_the_same_whether_gaps_of_long_ago_are_looked_for_or_not(gaps: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = read_grid(gaps, "kucoin", IDS, NOON, END)
    monkeypatch.setattr(bucket_grid, "_GAP_MEMORY", timedelta(days=400))
    whole = read_grid(gaps, "kucoin", IDS, NOON, END)
    for name, values in whole.buckets.items():
        np.testing.assert_array_equal(bounded.buckets[name], values, err_msg=name)
    unknown = np.isnan(bounded.buckets["trade_count"]).sum(axis=1)
    assert unknown.tolist() == [0, 6, 6, 12]
