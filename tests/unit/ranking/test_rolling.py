"""Windows that follow the database, against those that the stored rows say when all is read at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError
from pnd_dagster.market.bucket_grid import read_grid
from pnd_dagster.market.moments import moments
from pnd_dagster.market.windows import EXTREMES, FLOWS, HORIZONS, LAYOUT, METRICS, STATES, bucket_count, window_values
from pnd_dagster.ranking.ranking import rank
from pnd_dagster.ranking.rolling import Windows, load_windows
from pnd_dagster.ranking.rules import DEFAULT, RULES, ScoreRule, of_source
from pnd_dagster.storage import create_engine, upsert
from pnd_dagster.tables import BUCKET_COMMITS, FEED_GAPS, INSTRUMENTS, METRIC_ROLLUPS, ORDER_BOOK_METRICS, TRADE_METRICS
from tests.unit.market.rows import NOON, book, commit, instrument, store

HOUR, BUCKET = timedelta(hours=1), timedelta(seconds=5)
IDS = np.array([3, 5, 8])
ALL = ScoreRule("all", METRICS, HORIZONS, clip=10.0, is_positive_only=True, normalise="after")


def fill(engine: sa.Engine, first: int, end: int, seed: int = 0, without_commit: frozenset[int] = frozenset()) -> None:
    """Rows of the buckets after NOON + first buckets, up to `end`; even numbers are of shard 1/2, odd ones of 2/2."""
    rng = np.random.default_rng(seed)
    books, trades, commits = [], [], []
    for k in range(first + 1, end + 1):
        end_at = NOON + k * BUCKET
        for shard in ("1/2", "2/2"):
            if shard == "1/2" or k not in without_commit:
                commits.append(commit(end_at, shard=shard))
        for number in IDS.tolist():
            if rng.random() < 0.4:
                states = dict(zip(STATES, rng.normal(5, 1, len(STATES)).tolist(), strict=True))
                books.append(book(number, end_at, **states, best_level_flow=float(rng.normal())))
            if rng.random() < 0.2:
                trades.append(trade(number, end_at, float(rng.lognormal()), float(rng.lognormal())))
    for table, rows in ((ORDER_BOOK_METRICS, books), (TRADE_METRICS, trades)):
        if rows:
            store(engine, table, *rows)
    upsert(engine, BUCKET_COMMITS, pl.DataFrame(commits, infer_schema_length=None))


def trade(number: int, end_at: Any, price: float, volume: float) -> dict[str, Any]:
    flows = {name: volume for name in FLOWS if name not in ("best_level_flow", "trade_count")}
    extremes = dict(zip(EXTREMES, (price * 1.01, price * 0.99), strict=True))
    row = {"instrument_id": number, "bucket_end_at": end_at, "is_gap": False, "trade_count": 2, "vwap": price}
    return row | flows | extremes


@pytest.fixture
def listed(engine: sa.Engine) -> sa.Engine:
    upsert(engine, INSTRUMENTS, pl.DataFrame([instrument(number, base=f"COIN{number}") for number in IDS.tolist()]))
    return engine


def expected(engine: sa.Engine, until: Any) -> np.ndarray:
    found = []
    for horizon in HORIZONS:
        grid = read_grid(engine, "kucoin", IDS, until - timedelta(seconds=horizon), until)
        found.append(window_values(grid, bucket_count(horizon))[:, :, 0].T)
    return np.stack(found, axis=-1)


def same_as_stored(windows: Windows, engine: sa.Engine) -> None:
    np.testing.assert_allclose(windows.values, expected(engine, windows.bucket_end_at), rtol=1e-6, atol=1e-9)


def test_windows_follow_the_database_through_gaps_and_missing_buckets(listed: sa.Engine) -> None:
    fill(listed, -800, 100, without_commit=frozenset({90, 130}))
    gap = {"gap_id": "a", "exchange": "kucoin", "shard": "2/2", "instrument_ids": [5], "reason": "silent"}
    upsert(listed, FEED_GAPS, pl.DataFrame([gap | {"started_at": NOON + 40 * BUCKET, "ended_at": NOON + 45 * BUCKET}]))
    windows = load_windows(listed, "kucoin", IDS[::-1], NOON + 100 * BUCKET, ALL)
    assert windows.instrument_ids.tolist() == IDS.tolist()
    same_as_stored(windows, listed)

    for start, end in ((100, 101), (101, 140), (140, 230)):
        fill(listed, start, end, seed=start, without_commit=frozenset({130}))
        windows.catch_up(listed, NOON + end * BUCKET)
        assert windows.bucket_end_at == NOON + end * BUCKET
        same_as_stored(windows, listed)
    windows.catch_up(listed, NOON)
    assert windows.bucket_end_at == NOON + 230 * BUCKET


def test_a_bucket_that_was_committed_late_is_unknown_and_then_repaired(listed: sa.Engine) -> None:
    fill(listed, -750, 8)
    windows = load_windows(listed, "kucoin", IDS, NOON + 4 * BUCKET, ALL)
    with listed.begin() as connection:
        late = sa.and_(BUCKET_COMMITS.c.shard == "2/2", BUCKET_COMMITS.c.bucket_end_at == NOON + 6 * BUCKET)
        connection.execute(sa.delete(BUCKET_COMMITS).where(late))
    windows.catch_up(listed, NOON + 8 * BUCKET)
    volume = windows.values[:, METRICS.index("volume"), 0]
    # 3 and 5 are odd: of the other shard.
    assert np.isnan(volume).tolist() == [True, True, False]

    upsert(listed, BUCKET_COMMITS, pl.DataFrame([commit(NOON + 6 * BUCKET, shard="2/2")]))
    fill(listed, 8, 20, seed=1)
    windows.catch_up(listed, NOON + 20 * BUCKET)
    same_as_stored(windows, listed)
    assert not np.isnan(windows.values[:, METRICS.index("volume")]).any()


def test_a_gap_that_began_before_it_was_told_makes_the_past_unknown(listed: sa.Engine) -> None:
    fill(listed, -750, 20)
    windows = load_windows(listed, "kucoin", IDS, NOON + 10 * BUCKET, ALL)
    gap = {"gap_id": "a", "exchange": "kucoin", "shard": "1/2", "instrument_ids": [8], "reason": "stalled"}
    upsert(listed, FEED_GAPS, pl.DataFrame([gap | {"started_at": NOON + 2 * BUCKET, "ended_at": NOON + 12 * BUCKET}]))
    windows.catch_up(listed, NOON + 20 * BUCKET)
    same_as_stored(windows, listed)
    assert np.isnan(windows.values[2, METRICS.index("volume"), 1:]).all()


def test_history_is_three_days_of_rollups_and_the_windows_since(listed: sa.Engine) -> None:
    rng = np.random.default_rng(0)
    width = len(METRICS) * len(HORIZONS)
    parts = [moments(rng.normal(100, 1, (width, 30))) for _ in range(73)]
    for hours_ago, part in enumerate(parts):
        lists = {name: [values.tolist()] for name, values in part._asdict().items()}
        row = pl.DataFrame({"instrument_id": [5], "hour_end_at": [NOON - hours_ago * HOUR], "layout": [LAYOUT], **lists})
        upsert(listed, METRIC_ROLLUPS, row)
    fill(listed, -720, 200)
    at_load = load_windows(listed, "kucoin", IDS, NOON + 100 * BUCKET, ALL)
    windows = load_windows(listed, "kucoin", IDS, NOON + 200 * BUCKET, ALL)
    at_load.catch_up(listed, NOON + 200 * BUCKET)

    for found in (windows.history, at_load.history):
        # 72 hours at 30 windows; of the last 1,000 s the windows but the latest: 49 of 20 s, 15 of 60 s, 2 of 300 s, none of 900 s.
        n = found.n[1, METRICS.index("volume")]
        assert n.tolist() == [2160 + 49, 2160 + 15, 2160 + 2, 2160, 2160 - 30]
        assert not found.n[0, METRICS.index("volume"), 4]
    for one, other in zip(windows.history, at_load.history, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize("rule", [*RULES.values(), of_source(DEFAULT, "trades")._replace(name="trades only")], ids=lambda rule: rule.name)
def test_every_rule_ranks_by_what_is_loaded_for_it(listed: sa.Engine, rule: ScoreRule) -> None:
    fill(listed, -720, 400)
    fill(listed, 400, 401, seed=5)
    store(listed, TRADE_METRICS, trade(8, NOON + 402 * BUCKET, 90.0, 1e6))
    upsert(listed, BUCKET_COMMITS, pl.DataFrame([commit(NOON + 402 * BUCKET, shard=shard) for shard in ("1/2", "2/2")]))
    windows = load_windows(listed, "kucoin", IDS, NOON + 401 * BUCKET, rule)
    windows.catch_up(listed, NOON + 402 * BUCKET)
    found = rank(windows.instrument_ids, windows.values, windows.history, rule)
    assert found.is_active.all()
    assert found.rank[2] == 1.0


def test_a_coin_without_rows_and_an_exchange_without_commits_are_neutral(listed: sa.Engine) -> None:
    windows = load_windows(listed, "kucoin", np.array([3, 77]), NOON, DEFAULT)
    windows.catch_up(listed, NOON + BUCKET)
    found = rank(windows.instrument_ids, windows.values, windows.history, DEFAULT)
    assert found.is_active.tolist() == [False, False]
    assert found.rank.tolist() == [1.5, 1.5]


def test_a_time_that_no_bucket_ends_at_and_a_database_that_is_away_are_named(listed: sa.Engine) -> None:
    with pytest.raises(ValueError, match="no bucket's end"):
        load_windows(listed, "kucoin", IDS, NOON + timedelta(seconds=3), DEFAULT)
    with pytest.raises(DatabaseError, match="cannot"):
        load_windows(create_engine("postgresql+psycopg://nobody@127.0.0.1:9/none"), "kucoin", IDS, NOON, DEFAULT)
