"""How the detector is judged: on made-up trades of which it is known what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pnd_dagster.backtest.detection import DetectionBacktest, alarms, backtest_detection, poisson, wilson
from pnd_dagster.errors import SchemaError
from pnd_dagster.ranking.detection import THRESHOLDS, Thresholds

AT = datetime(2021, 5, 1, 17, 0, tzinfo=UTC)
LENIENT = Thresholds(5.0, 5.0, 0.02, 5)


def trades_of(event_id: str, seed: int, bursts: list[float]) -> pl.DataFrame:
    """Two days of a trade a minute or so at a price of about 1, and bursts of buying at 20% more, in seconds after the announced time."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.uniform(-48 * 3600, 3600, 2900))
    frames = [
        pl.DataFrame(
            {"seconds": seconds, "price": 1 + rng.normal(0, 0.001, len(seconds)), "side": rng.choice(["buy", "sell"], len(seconds))}
        )
    ]
    frames += [pl.DataFrame({"seconds": start + rng.uniform(0, 4, 200), "price": 1.2, "side": "buy"}) for start in bursts]
    return pl.concat(frames).select(
        event_id=pl.lit(event_id),
        timestamp_ms=(int(AT.timestamp() * 1000) + pl.col("seconds") * 1000).cast(pl.Int64),
        side="side",
        price="price",
        amount=pl.lit(1.0),
    )


@pytest.fixture(scope="module")
def market() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Four coins: two pumped on time, one pumped never and with a burst a day before, one half an hour early and again on time."""
    bursts = {"AAA": [2.0], "BBB": [12.0], "CCC": [-86_400.0], "DDD": [-1800.0, 2.0]}
    trades = pl.concat([trades_of(coin, place, of_coin) for place, (coin, of_coin) in enumerate(bursts.items())])
    return trades, pl.DataFrame({"event_id": list(bursts), "event_coin": list(bursts), "event_time": [AT.isoformat()] * 4})


@pytest.fixture(scope="module")
def found(market: tuple[pl.DataFrame, pl.DataFrame]) -> DetectionBacktest:
    return backtest_detection(*market, grid=[LENIENT])


def test_pumps_seen_in_time_delays_and_false_alarms_are_counted(found: DetectionBacktest) -> None:
    delays = dict(found.events.select("event_id", "delay_seconds").iter_rows())
    assert delays == {"AAA": 5.0, "BBB": 15.0, "CCC": None, "DDD": None}
    whole = found.table.row(2, named=True)
    assert (whole["pumps"], whole["seen"], whole["early"], whole["false_alarms"]) == (4, 2, 1, 1)
    assert whole["per_1000_coin_days"] == pytest.approx(1000 / whole["coin_days"])
    # 46 hours of which the first six, and a minute, have no baseline.
    assert whole["coin_days"] == pytest.approx(4 * 40 / 24, rel=0.01)


def test_the_coins_that_choose_do_not_judge(found: DetectionBacktest) -> None:
    parts = dict(found.events.select("event_id", "part").iter_rows())
    assert parts == {"AAA": "chosen on", "BBB": "judged on", "CCC": "chosen on", "DDD": "judged on"}
    assert found.table["pumps"].to_list() == [2, 2, 4]


def test_what_comes_after_the_minute_changes_nothing(market: tuple[pl.DataFrame, pl.DataFrame], found: DetectionBacktest) -> None:
    trades, events = market
    late = pl.col("timestamp_ms") > int((AT + timedelta(seconds=60)).timestamp() * 1000)
    poisoned = trades.with_columns(
        price=pl.when(late).then(1e9).otherwise("price"), amount=pl.when(late).then(float("nan")).otherwise("amount")
    )
    assert backtest_detection(poisoned, events, grid=[LENIENT]).table.equals(found.table)


def test_one_alarm_in_two_hours() -> None:
    raised = np.zeros((1, 4000), np.bool_)
    raised[0, 10:200] = raised[0, 1450:1460] = raised[0, 2895] = True
    assert np.flatnonzero(alarms(raised)[0]).tolist() == [10, 1450, 2895]


def test_missing_columns_are_named(market: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    trades, events = market
    with pytest.raises(SchemaError, match="trades: missing columns side"):
        backtest_detection(trades.drop("side"), events)


def test_intervals_are_those_of_the_textbooks() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert poisson(0) == pytest.approx((0.0, 3.6889), abs=1e-3)
    assert poisson(3) == pytest.approx((0.6187, 8.7673), abs=1e-3)


def test_the_thresholds_that_ship_are_those_that_half_of_the_coins_choose(shared_data: Path) -> None:
    trades = pl.read_parquet(shared_data / "market/binance_trades_around_pumps.parquet")
    events = pl.read_csv(shared_data / "market/binance_trades_events.csv")
    # The strongest competitors of the grid; all of it takes longer.
    grid = [THRESHOLDS, Thresholds(8.0, 8.0, 0.05, 10), Thresholds(15.0, 15.0, 0.02, 10)]
    found = backtest_detection(trades, events, grid)
    assert found.thresholds == THRESHOLDS
    assert found.table["seen"].to_list() == [13, 9, 22]
