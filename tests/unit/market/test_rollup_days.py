"""Hours that a collector missed are rolled up again, and only those that have rows to roll up."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.market.rollup_days import roll_up_days
from pnd_dagster.storage import count_rows
from tests.unit.market.rows import NOON, book, commit, instrument, store

MIDNIGHT = NOON.replace(hour=0)
DAY = (MIDNIGHT, MIDNIGHT + timedelta(days=1))


def a_minute_of_books(engine: sa.Engine, first_end) -> None:
    ends = [first_end + timedelta(seconds=5 * n) for n in range(12)]
    store(engine, tables.BUCKET_COMMITS, *(commit(end, watched=1, book_rows=1) for end in ends))
    store(engine, tables.ORDER_BOOK_METRICS, *(book(1, end, mid_price=1.0 + n) for n, end in enumerate(ends)))


def test_hours_of_the_span_are_rolled_up_once_they_have_ended(engine: sa.Engine) -> None:
    store(engine, tables.INSTRUMENTS, instrument(1))
    a_minute_of_books(engine, MIDNIGHT + timedelta(seconds=5))
    a_minute_of_books(engine, DAY[1] - timedelta(seconds=55))
    a_minute_of_books(engine, DAY[1] + timedelta(seconds=5))
    early = roll_up_days(engine, DAY, NOON)
    assert (early.written.inserted, early.per_day.rows()) == (1, [(MIDNIGHT.date(), 1)])
    late = roll_up_days(engine, DAY, DAY[1])
    assert (late.written.inserted, late.written.updated, late.per_day.rows()) == (1, 0, [(MIDNIGHT.date(), 2)])
    assert count_rows(engine, tables.METRIC_ROLLUPS) == 2


def test_rollups_outlive_the_rows_they_were_made_of(engine: sa.Engine) -> None:
    store(engine, tables.INSTRUMENTS, instrument(1))
    a_minute_of_books(engine, MIDNIGHT + timedelta(seconds=5))
    roll_up_days(engine, DAY, DAY[1])
    with engine.begin() as connection:
        connection.execute(sa.delete(tables.ORDER_BOOK_METRICS))
        connection.execute(sa.delete(tables.BUCKET_COMMITS))
    assert roll_up_days(engine, DAY, DAY[1]).per_day.rows() == [(MIDNIGHT.date(), 1)]
