"""The history that is made up for the demo: like what the simulated exchanges stream, of three days, and never over what was measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.cli import history_seed
from pnd_dagster.cli.history_seed import HOURS, draw_history, markets_of, play, seed_history
from pnd_dagster.market.moments import Moments
from pnd_dagster.market.rollup_history import read_history
from pnd_dagster.market.windows import HORIZONS, LAYOUT, METRICS, bucket_count, last_buckets, window_values
from pnd_dagster.ranking.zscores import z_scores
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.universe import make_universe
from pnd_dagster.storage import upsert
from pnd_dagster.tables import INSTRUMENTS, METRIC_ROLLUPS

COINS, RATE, SEED = 40, 80.0, 3
NOW = datetime(2026, 5, 1, 12, 34, tzinfo=UTC)


@pytest.fixture(scope="module")
def history() -> pl.DataFrame:
    return draw_history(COINS, RATE, SEED)


def list_markets(engine: sa.Engine) -> pl.DataFrame:
    """Instruments of all markets of the universe."""
    listings = [it for listed in make_universe(SEED, COINS).listings.values() for it in listed]
    frame = pl.DataFrame(
        {
            "instrument_id": range(1, len(listings) + 1),
            "exchange": [it.exchange for it in listings],
            "base_symbol": [it.base for it in listings],
        }
    ).with_columns(
        market_id=pl.col("base_symbol"),
        symbol=pl.col("base_symbol") + "/USDT",
        quote_symbol=pl.lit("USDT"),
        base_id=pl.col("base_symbol"),
        quote_id=pl.lit("USDT"),
        is_derivative=pl.lit(value=False),
        valid_from=pl.lit(NOW - timedelta(days=9)),
    )
    upsert(engine, INSTRUMENTS, frame)
    return frame


def test_three_days_are_there_for_every_market_and_what_streams_is_no_outlier(engine: sa.Engine, history: pl.DataFrame) -> None:
    markets = list_markets(engine)
    assert seed_history(engine, history, NOW) == markets.height
    kucoin = markets.filter(exchange="kucoin")
    found = read_history(engine, "kucoin", NOW.replace(minute=0))
    assert found.instrument_ids.tolist() == kucoin["instrument_id"].to_list()
    windows = dict(zip(HORIZONS, found.moments.n[:, METRICS.index("trade_count")].min(axis=0).tolist(), strict=True))
    assert windows == {horizon: HOURS * 3600 // horizon for horizon in HORIZONS}

    # The same markets at other minutes, as a collector would see them.
    world = World(make_universe(SEED, COINS), seed=SEED, rate=RATE, start_at=0.0)
    is_own = [market.exchange == "kucoin" for market in markets_of(world)]
    grid = last_buckets(play(world), bucket_count(60))
    values = np.stack([window_values(grid, bucket_count(60))[:, is_own, -1].T], axis=2)
    place = HORIZONS.index(60)
    n, mean, m2 = found.moments
    z = z_scores(values, Moments(n[:, :, [place]], mean[:, :, [place]], m2[:, :, [place]]))
    of_states = np.abs(z[:, [METRICS.index(name) for name in ("order_book_pressure", "bid_ask_spread", "trade_count", "volume")]])
    assert np.nanmedian(of_states) < 1.5
    assert np.nanquantile(of_states, 0.9) < 5


def test_hours_that_were_measured_stay_and_a_second_time_nothing_changes(engine: sa.Engine, history: pl.DataFrame) -> None:
    markets = list_markets(engine)
    width = len(METRICS) * len(HORIZONS)
    measured = {
        "instrument_id": markets["instrument_id"][0],
        "hour_end_at": NOW.replace(minute=0) - timedelta(hours=30),
        "layout": LAYOUT,
        "n": [7] * width,
        "mean": [1.0] * width,
        "m2": [0.0] * width,
    }
    upsert(engine, METRIC_ROLLUPS, pl.DataFrame([measured]))
    seed_history(engine, history, NOW)
    digest = sa.text("SELECT count(*), md5(string_agg(r::text, '' ORDER BY instrument_id, hour_end_at)) FROM core.metric_rollups r")
    rollup = METRIC_ROLLUPS.c
    is_measured = sa.and_(rollup.instrument_id == measured["instrument_id"], rollup.hour_end_at == measured["hour_end_at"])
    with engine.connect() as connection:
        first = connection.execute(digest).one()
        assert connection.execute(sa.select(rollup.n).where(is_measured)).scalar_one() == measured["n"]
    seed_history(engine, history, NOW)
    with engine.connect() as connection:
        assert connection.execute(digest).one() == first
    assert first[0] == markets.height * HOURS


def test_hours_of_another_layout_which_nobody_reads_are_replaced(engine: sa.Engine, history: pl.DataFrame) -> None:
    listed, hour = list_markets(engine)["instrument_id"], NOW.replace(minute=0)
    old = {"hour_end_at": hour, "layout": LAYOUT - 1, "n": [7], "mean": [1.0], "m2": [0.0]}
    upsert(engine, METRIC_ROLLUPS, pl.DataFrame([{"instrument_id": number} | old for number in listed]))
    assert not len(read_history(engine, "kucoin", hour).instrument_ids)
    seed_history(engine, history, NOW)
    rollup = METRIC_ROLLUPS.c
    with engine.connect() as connection:
        found = connection.execute(sa.select(rollup.layout, sa.func.cardinality(rollup.n)).distinct()).all()
    assert found == [(LAYOUT, len(METRICS) * len(HORIZONS))]


def test_the_same_seed_gives_the_same_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_seed, "DRAWN_HOURS", 1)
    few = draw_history(40, 2.0, 5)
    assert few.equals(draw_history(40, 2.0, 5))
