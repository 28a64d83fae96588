"""Hourly rollups from sparse rows against windows computed one by one from dense data, and the history pooled from them."""

from __future__ import annotations

import math
from collections.abc import Set
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pnd_dagster.errors import DatabaseError, SettingError
from pnd_dagster.market.moments import Moments, merge, moments
from pnd_dagster.market.rollup_history import read_history
from pnd_dagster.market.rollups import rollup_hour
from pnd_dagster.market.shards import Shard, parse_shard
from pnd_dagster.market.windows import HORIZONS, LAYOUT, METRICS, STATES
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import BUCKET_COMMITS, FEED_GAPS, INSTRUMENTS, METRIC_ROLLUPS, ORDER_BOOK_METRICS, TRADE_METRICS
from tests.unit.market.rows import NOON, commit, instrument, store

HOUR, BUCKET = timedelta(hours=1), timedelta(seconds=5)
BUCKETS = 720


def a_book(number: float) -> dict[str, Any]:
    """State metrics that differ from each other, exact in single precision."""
    levels = {"bid_levels": 20, "ask_levels": 20, "update_count": 1, "is_gap": False}
    return {**levels, **{name: number * 2.0**-place for place, name in enumerate(STATES)}, "best_level_flow": number}


def a_trade(price: float, quantity: float, sell: float = 0.0) -> dict[str, Any]:
    """Metrics of a bucket with one purchase and perhaps one sale at another price, exact in single precision."""
    volume, low = quantity + sell, price / 2 if sell else price
    value = price * quantity + low * sell
    return {
        "trade_count": 2 if sell else 1,
        "volume": volume,
        "quote_volume": value,
        "taker_buy_volume": quantity,
        "taker_sell_volume": sell,
        "vwap": value / volume,
        "high_price": price,
        "low_price": low,
        "is_gap": False,
    }


def an_hour(seed: int) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
    """Sparse rows by number of bucket: books now and then, trades in bursts."""
    generator = np.random.default_rng(seed)
    books = {int(k): a_book(float(generator.integers(1, 1000))) for k in np.flatnonzero(generator.random(BUCKETS) < 0.3)}
    books |= {int(generator.integers(BUCKETS)): {**a_book(1.0), **dict.fromkeys((*STATES, "best_level_flow"), None)}}
    trades = {
        int(k): a_trade(float(generator.integers(64, 80)), float(generator.integers(1, 9)), float(generator.integers(0, 2) * 4))
        for k in np.flatnonzero(generator.random(BUCKETS) < 0.1)
    }
    return books, trades


def write(engine: sa.Engine, instrument_id: int, books: dict[int, dict[str, Any]], trades: dict[int, dict[str, Any]]) -> None:
    for table, rows in ((ORDER_BOOK_METRICS, books), (TRADE_METRICS, trades)):
        if rows:
            keys = [{"instrument_id": instrument_id, "bucket_end_at": NOON - HOUR + (k + 1) * BUCKET} for k in rows]
            store(engine, table, *(key | row for key, row in zip(keys, rows.values(), strict=True)))


def commit_hours(engine: sa.Engine, hours: int = 2, shard: str = "1/1", without: frozenset[int] = frozenset()) -> None:
    ends = (NOON - k * BUCKET for k in range(hours * BUCKETS))
    upsert(
        engine,
        BUCKET_COMMITS,
        pl.DataFrame([commit(end, shard=shard) for k, end in enumerate(ends) if k not in without], infer_schema_length=None),
    )


def expected(
    books: dict[int, dict[str, Any]], trades: dict[int, dict[str, Any]], blind: Set[int] = frozenset()
) -> dict[tuple[str, int], list[float]]:
    """The values of every known window by metric and horizon, one after the other from the definitions."""
    # Before the first book nobody looked.
    blind = blind | set(range(min(books)))
    found: dict[tuple[str, int], list[float]] = {(metric, horizon): [] for metric in METRICS for horizon in HORIZONS}
    for horizon in HORIZONS:
        size = horizon // 5
        for start in range(0, BUCKETS, size):
            window = range(start, start + size)
            for name in STATES:
                states: list[float] = []
                for k in window:
                    held = next((books[j] for j in range(k, -1, -1) if j in books), None)
                    if k not in blind and held is not None and held[name] is not None:
                        states.append(held[name])
                if 2 * len(states) >= size:
                    found[name, horizon].append(sum(states) / len(states))
            if blind & set(window):
                continue
            flows = [books[k]["best_level_flow"] for k in window if k in books]
            if None not in flows:
                found["best_level_flow", horizon].append(sum(flows))
            own = [trades[k] for k in window if k in trades]
            total = {
                name: sum(row[name] for row in own)
                for name in ("trade_count", "volume", "quote_volume", "taker_buy_volume", "taker_sell_volume")
            }
            net = total["taker_buy_volume"] - total["taker_sell_volume"]
            values = {name: total[name] for name in ("trade_count", "volume", "quote_volume", "taker_buy_volume")}
            values |= {"active_buckets": len(own), "taker_net_volume": net, "market_orders_impact": total["volume"]}
            if own:
                vwap = total["quote_volume"] / total["volume"]
                spread = max(row["high_price"] for row in own) - min(row["low_price"] for row in own)
                values |= {"vwap": vwap, "high_low_spread": spread, "relative_high_low_spread": spread / vwap}
                values |= {"average_trade_size": total["volume"] / total["trade_count"], "taker_imbalance": net / total["volume"]}
                earlier = next((j for j in range(start - 1, -1, -1) if j in trades or j in blind), None)
                if earlier is not None and earlier not in blind:
                    values["vwap_log_return"] = math.log(vwap / trades[earlier]["vwap"])
            for name, value in values.items():
                found[name, horizon].append(value)
    return found


def assert_stored(engine: sa.Engine, instrument_id: int, wanted: dict[tuple[str, int], list[float]]) -> None:
    row = read_frame(engine, sa.select(METRIC_ROLLUPS).where(METRIC_ROLLUPS.c.instrument_id == instrument_id)).row(0, named=True)
    for place, ((metric, horizon), values) in enumerate(wanted.items()):
        what = f"{metric} over {horizon} s"
        assert row["n"][place] == len(values), what
        if not values:
            assert (row["mean"][place], row["m2"][place]) == (None, None), what
            continue
        assert row["mean"][place] == pytest.approx(np.mean(values), rel=1e-9, abs=1e-12), what
        assert row["m2"][place] == pytest.approx(np.var(values) * len(values), rel=1e-5, abs=1e-12), what


@pytest.fixture
def listed(engine: sa.Engine) -> sa.Engine:
    rows = [instrument(number, base=f"COIN{number}") for number in (1, 2, 3, 4)]
    upsert(engine, INSTRUMENTS, pl.DataFrame([*rows, instrument(9, exchange="xt")], infer_schema_length=None))
    return engine


def test_sparse_rows_give_the_windows_that_dense_data_would(listed: sa.Engine) -> None:
    commit_hours(listed)
    hours = {number: an_hour(number) for number in (1, 2)}
    for number, (books, trades) in hours.items():
        write(listed, number, books, trades)

    rollup_hour(listed, "kucoin", NOON)

    for number, (books, trades) in hours.items():
        assert_stored(listed, number, expected(books, trades))


def test_writing_every_bucket_out_gives_the_same_rollups(listed: sa.Engine) -> None:
    commit_hours(listed)
    books, trades = an_hour(5)
    books[0] = a_book(3.0)
    none = dict.fromkeys(a_trade(1.0, 1.0)) | {
        "trade_count": 0,
        "volume": 0.0,
        "taker_buy_volume": 0.0,
        "taker_sell_volume": 0.0,
        "is_gap": False,
    }
    write(listed, 1, books, trades)
    held = [books[max(j for j in books if j <= k)] for k in range(BUCKETS)]
    write(
        listed,
        2,
        {k: row if k in books else row | {"best_level_flow": 0.0} for k, row in enumerate(held)},
        {k: trades.get(k, none) for k in range(BUCKETS)},
    )

    rollup_hour(listed, "kucoin", NOON)

    rows = read_frame(listed, sa.select(METRIC_ROLLUPS).order_by(METRIC_ROLLUPS.c.instrument_id)).drop("instrument_id")
    assert rows.row(0) == rows.row(1)


def test_buckets_in_a_gap_flagged_or_uncommitted_are_unknown(listed: sa.Engine) -> None:
    books, trades = an_hour(3)
    flagged = min(k for k in trades if k > 300)
    trades[flagged]["is_gap"] = True
    uncommitted, all_blind = frozenset({4, 5}), 50
    commit_hours(listed, without=uncommitted | {all_blind})
    upsert(listed, BUCKET_COMMITS, pl.DataFrame([commit(NOON - all_blind * BUCKET, blind=4)]))
    write(listed, 1, books, trades)
    # 10:59:58 to 11:05:00, when bucket 59 ended, and an instant within bucket 100.
    spans = ((NOON - HOUR - timedelta(seconds=2), NOON - HOUR + timedelta(seconds=300)), (NOON - HOUR + timedelta(seconds=501),) * 2)
    for place, (start, end) in enumerate(spans):
        end += timedelta(seconds=1) * (start == end)
        gap = {"gap_id": str(place), "exchange": "kucoin", "shard": "1/1", "instrument_ids": [1, 7], "reason": "silent"}
        upsert(listed, FEED_GAPS, pl.DataFrame([gap | {"started_at": start, "ended_at": end}]))

    rollup_hour(listed, "kucoin", NOON)

    blind = {*range(60), 100, flagged, *(BUCKETS - 1 - k for k in (*uncommitted, all_blind))}
    assert_stored(listed, 1, expected(books, trades, blind))


def test_a_gap_that_lasts_hides_the_rest_of_the_hour(listed: sa.Engine) -> None:
    commit_hours(listed)
    books, trades = an_hour(4)
    write(listed, 1, books, trades)
    gap = {"gap_id": "a", "exchange": "kucoin", "shard": "1/1", "instrument_ids": [1], "reason": "silent", "ended_at": None}
    upsert(
        listed, FEED_GAPS, pl.DataFrame([gap | {"started_at": NOON - HOUR / 2}], schema_overrides={"ended_at": pl.Datetime("us", "UTC")})
    )

    rollup_hour(listed, "kucoin", NOON)

    assert_stored(listed, 1, expected(books, trades, set(range(360, BUCKETS))))


def test_a_shard_that_did_not_commit_blinds_only_its_own_instruments(listed: sa.Engine) -> None:
    commit_hours(listed, shard="1/2")
    for number in (1, 2):
        write(listed, number, *an_hour(number))

    rollup_hour(listed, "kucoin", NOON)

    assert parse_shard("1/2") == Shard(1, 2)
    assert read_frame(listed, sa.select(METRIC_ROLLUPS.c.instrument_id))["instrument_id"].to_list() == [2]
    with pytest.raises(SettingError, match="expected i/n"):
        parse_shard("3/2")


def test_the_book_and_the_trade_before_the_hour_are_carried_into_it(listed: sa.Engine) -> None:
    commit_hours(listed)
    write(listed, 1, {-700: a_book(7.0)}, {-600: a_trade(10.0, 1.0), 3: a_trade(20.0, 1.0)})

    rollup_hour(listed, "kucoin", NOON)

    row = read_frame(listed, sa.select(METRIC_ROLLUPS).where(METRIC_ROLLUPS.c.instrument_id == 1)).row(0, named=True)
    mid, log_return = METRICS.index("mid_price") * len(HORIZONS), METRICS.index("vwap_log_return") * len(HORIZONS)
    assert (row["n"][mid], row["mean"][mid], row["m2"][mid]) == (180, 7.0, 0.0)
    assert [row["n"][log_return + k] for k in range(5)] == [1] * 5
    assert [row["mean"][log_return + k] for k in range(5)] == pytest.approx([math.log(2)] * 5)


def test_a_rollup_run_twice_changes_nothing_and_what_became_unknown_goes(listed: sa.Engine) -> None:
    commit_hours(listed)
    write(listed, 1, *an_hour(1))
    first = rollup_hour(listed, "kucoin", NOON)
    again = rollup_hour(listed, "kucoin", NOON)
    with listed.begin() as connection:
        connection.execute(sa.delete(BUCKET_COMMITS))
    after = rollup_hour(listed, "kucoin", NOON)

    # The other three are listed, but no book of theirs was ever seen: they are not watched.
    assert (first.inserted, first.updated) == (1, 0)
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, 1)
    assert after.deleted == 1
    with pytest.raises(ValueError, match="no full hour"):
        rollup_hour(listed, "kucoin", NOON + BUCKET)


def test_history_is_the_moments_of_all_windows_of_the_hours_together(listed: sa.Engine) -> None:
    generator = np.random.default_rng(0)
    width = len(METRICS) * len(HORIZONS)
    windows: dict[int, list[np.ndarray]] = {1: [], 2: []}
    for number, hour in ((number, hour) for number in windows for hour in range(5)):
        values = 60_000 + generator.normal(size=(width, 12))
        values[generator.random(values.shape) < 0.3] = np.nan
        values[hour] = np.nan
        if hour < 4:  # the fifth is too old
            windows[number].append(values)
        n, mean, m2 = moments(values)
        lists = {"n": [n.tolist()], "mean": [pl.Series(mean).fill_nan(None).to_list()], "m2": [pl.Series(m2).fill_nan(None).to_list()]}
        upsert(
            listed,
            METRIC_ROLLUPS,
            pl.DataFrame({"instrument_id": [number], "hour_end_at": [NOON - hour * HOUR], "layout": [LAYOUT], **lists}),
        )

    history = read_history(listed, "kucoin", NOON, hours=4)

    assert history.instrument_ids.tolist() == [1, 2]
    for place, of_hours in enumerate(windows.values()):
        pooled = moments(np.concatenate(of_hours, axis=1))
        for found, wanted in zip(history.moments, pooled, strict=True):
            assert found[place].ravel() == pytest.approx(wanted, rel=1e-6)
    assert read_history(listed, "xt", NOON).instrument_ids.tolist() == []


def test_rollups_of_another_length_are_refused_by_name(listed: sa.Engine) -> None:
    lists = {"n": [[1]], "mean": [[1.0]], "m2": [[0.0]]}
    upsert(listed, METRIC_ROLLUPS, pl.DataFrame({"instrument_id": [1], "hour_end_at": [NOON], "layout": [LAYOUT], **lists}))

    with pytest.raises(DatabaseError, match="another version"):
        read_history(listed, "kucoin", NOON)


@hypothesis_settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), min_size=3, max_size=3), min_size=1, max_size=8),
    st.sampled_from([0.0, 6e4]),
)
def test_merged_moments_are_those_of_all_values(parts: list[list[float]], offset: float) -> None:
    values = np.array(parts)[:, None, :] + offset

    pooled = merge(moments(values))
    n, mean, m2 = moments(values.reshape(1, -1))

    assert pooled.n.tolist() == n.tolist()
    assert pooled.mean == pytest.approx(mean, rel=1e-9, abs=1e-9, nan_ok=True)
    assert pooled.m2 == pytest.approx(m2, rel=1e-6, abs=1e-6, nan_ok=True)


def test_a_high_price_does_not_cost_the_variance_its_digits() -> None:
    parts = 60_000 + np.array([0.001, 0.002, 0.003, 0.004]).reshape(2, 1, 2)

    assert merge(moments(parts)).m2[0] == pytest.approx(5e-6, rel=1e-4)
    assert isinstance(moments(parts), Moments)
