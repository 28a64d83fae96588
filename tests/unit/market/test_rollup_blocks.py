"""Blocks of six hours say what their hours say, and are read in their place."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from pnd_dagster.market.moments import moments
from pnd_dagster.market.rollup_history import History, read_history
from pnd_dagster.market.rollups import pool_block, rollup_hour, rollup_rows
from pnd_dagster.market.windows import HORIZONS, METRICS
from pnd_dagster.storage import count_rows, read_frame, upsert
from pnd_dagster.tables import BUCKET_COMMITS, INSTRUMENTS, METRIC_ROLLUP_BLOCKS, METRIC_ROLLUPS, ORDER_BOOK_METRICS
from tests.unit.market.rows import NOON, book, commit, instrument, store

HOUR = timedelta(hours=1)
WIDTH = len(METRICS) * len(HORIZONS)
IDS = np.array([1, 2, 9])


@pytest.fixture
def days(engine: sa.Engine) -> sa.Engine:
    """Two days of hours of three coins up to noon, one of them on xt; now and then nothing is known."""
    store(engine, INSTRUMENTS, instrument(1), instrument(2, base="B"), instrument(9, exchange="xt", base="C"))
    generator = np.random.default_rng(0)
    for back in range(48):
        values = 60_000 + generator.normal(size=(len(IDS), WIDTH, 12))
        values[generator.random(values.shape) < 0.3] = np.nan
        values[generator.random(len(IDS)) < 0.2] = np.nan
        upsert(engine, METRIC_ROLLUPS, rollup_rows(IDS, NOON - back * HOUR, moments(values)))
    return engine


def pool(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for exchange in ("kucoin", "xt"):
            for blocks in range(8):
                pool_block(connection, exchange, NOON - blocks * timedelta(hours=6))


def assert_same(found: History, wanted: History) -> None:
    assert found.instrument_ids.tolist() == wanted.instrument_ids.tolist()
    assert (found.moments.n == wanted.moments.n).all()
    for array, other in zip(found.moments[1:], wanted.moments[1:], strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-9)


def test_history_is_the_same_with_blocks_and_without(days: sa.Engine) -> None:
    spans = [(exchange, NOON - back * HOUR, hours) for exchange in ("kucoin", "xt") for back in (0, 1, 4, 6) for hours in (1, 5, 6, 17, 30)]
    wanted = [read_history(days, *span) for span in spans]
    pool(days)
    for span, history in zip(spans, wanted, strict=True):
        assert_same(read_history(days, *span), history)


def test_a_block_is_read_where_all_of_its_hours_are_wanted_and_only_there(days: sa.Engine) -> None:
    pool(days)
    whole, beyond = (read_history(days, "kucoin", NOON, hours) for hours in (6, 7))
    with days.begin() as connection:
        connection.execute(sa.delete(METRIC_ROLLUPS).where(METRIC_ROLLUPS.c.hour_end_at.between(NOON - 5 * HOUR, NOON)))
    assert_same(read_history(days, "kucoin", NOON, 6), whole)
    assert_same(read_history(days, "kucoin", NOON, 7), beyond)
    assert len(read_history(days, "kucoin", NOON, 5).instrument_ids) == 0
    assert len(read_history(days, "kucoin", NOON - HOUR, 5).instrument_ids) == 0


def test_an_hour_that_is_rolled_up_again_renews_its_block(engine: sa.Engine) -> None:
    store(engine, INSTRUMENTS, instrument(1))

    def see(hour_end: datetime, mid_price: float) -> None:
        ends = [hour_end - HOUR + timedelta(seconds=5 * (n + 1)) for n in range(720)]
        store(engine, BUCKET_COMMITS, *(commit(end, watched=1, book_rows=1) for end in ends))
        store(engine, ORDER_BOOK_METRICS, *(book(1, end, mid_price=mid_price) for end in ends))
        rollup_hour(engine, "kucoin", hour_end)

    def of_block() -> tuple[int, float]:
        row = read_frame(engine, sa.select(METRIC_ROLLUP_BLOCKS)).row(0, named=True)
        place = METRICS.index("mid_price") * len(HORIZONS)
        return row["n"][place], row["mean"][place]

    see(NOON, 1.0)
    assert of_block() == (180, 1.0)
    see(NOON - HOUR, 4.0)
    assert of_block() == (360, 2.5)
    with engine.begin() as connection:
        connection.execute(sa.delete(BUCKET_COMMITS).where(BUCKET_COMMITS.c.bucket_end_at > NOON - HOUR))
    rollup_hour(engine, "kucoin", NOON)
    assert of_block() == (180, 4.0)
    with engine.begin() as connection:
        connection.execute(sa.delete(BUCKET_COMMITS))
    rollup_hour(engine, "kucoin", NOON - HOUR)
    assert count_rows(engine, METRIC_ROLLUP_BLOCKS) == 0
    assert len(read_history(engine, "kucoin", NOON).instrument_ids) == 0
