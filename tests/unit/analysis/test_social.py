"""Social features: of the past only, and their relation to returns and pumps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from pnd_dagster.analysis.social import around_pumps, correlations, social_features
from pnd_dagster.analysis.sources import SOCIAL

FIRST = date(2024, 1, 1)


def social(coin: str, interactions: list[float], prices: list[float] | None = None, symbol: str | None = None) -> pl.DataFrame:
    n = len(interactions)
    columns = {
        "coin": [coin] * n,
        "symbol": [symbol or coin] * n,
        "day": [FIRST + timedelta(days=day) for day in range(n)],
        "interactions": interactions,
        "dominance": [value / 100 for value in interactions],
        "sentiment": [None] * n,
        "price": prices or [None] * n,
    }
    return pl.DataFrame(columns, schema=SOCIAL)


def test_a_ratio_is_that_of_the_day_to_the_seven_before() -> None:
    features = social_features(social("A", [1, 2, 3, 4, 5, 6, 7, 8, 70]))
    assert features["interactions_mean"].to_list() == [None, None, None, None, 2.5, 3.0, 3.5, 4.0, 5.0]
    assert features["interaction_ratio"][8] == 14.0
    assert features["dominance_ratio"][8] == pytest.approx(14.0)


def test_what_comes_later_changes_nothing_before() -> None:
    names = ["interactions_mean", "interaction_ratio", "dominance_ratio", "return_same_day"]
    prices = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    before = social_features(social("A", [1, 2, 3, 4, 5, 6, 7], prices)).select(names)[:6]
    after = social_features(social("A", [1, 2, 3, 4, 5, 6, 9_999], [*prices[:6], 99.0])).select(names)[:6]
    assert before.equals(after)


def test_returns_are_between_neighbouring_days_of_one_coin() -> None:
    both = pl.concat([social("A", [1, 1, 1, 1], [1.0, 2.0, 8.0, 0.0]), social("B", [1], [7.0])])
    features = social_features(both.filter((pl.col("coin") == "B") | (pl.col("day") != FIRST + timedelta(days=1))))
    assert features["return_same_day"].to_list() == [None, None, None, None]
    features = social_features(both)
    assert features["return_next_day"].to_list()[:2] == pytest.approx([np.log(2), np.log(4)])
    assert features["return_next_day"].to_list()[2:] == [None, None, None]
    assert features["return_same_day"].to_list()[0] is None


def test_correlation_is_of_ranks_and_tells_direction() -> None:
    days = [FIRST + timedelta(days=n) for n in range(40)]
    rising = np.arange(40.0)
    features = pl.DataFrame(
        {"day": days, "interaction_ratio": rising**3, "dominance_ratio": -rising, "sentiment": [0.5] * 40, "return_same_day": rising},
    ).with_columns(return_next_day=pl.lit(None, pl.Float64))
    found = {row["feature"]: row for row in correlations(features).to_dicts()}
    assert set(found) == {"interaction_ratio", "dominance_ratio"}
    assert found["interaction_ratio"]["rho"] == pytest.approx(1)
    assert found["dominance_ratio"]["rho"] == pytest.approx(-1)
    assert found["dominance_ratio"]["high"] == pytest.approx(-1)
    assert found["interaction_ratio"]["n"] == 40


def test_coins_that_move_together_by_day_are_no_more_evidence_than_the_days() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=60), rng.normal(size=60)
    one = pl.DataFrame({"day": [FIRST + timedelta(days=n) for n in range(60)], "interaction_ratio": x, "return_same_day": y}).with_columns(
        dominance_ratio=pl.lit(None, pl.Float64), sentiment=pl.lit(None, pl.Float64), return_next_day=pl.lit(None, pl.Float64)
    )
    (single,), (many,) = correlations(one).to_dicts(), correlations(pl.concat([one] * 20)).to_dicts()
    assert many["high"] - many["low"] == pytest.approx(single["high"] - single["low"], rel=0.1)


def pumps(*days: int, symbol: str = "A") -> pl.DataFrame:
    at = [datetime(2024, 1, 1, 17, tzinfo=UTC) + timedelta(days=day) for day in days]
    rows = [(f"e{day}", symbol, when) for day, when in zip(days, at, strict=True)]
    schema = {"event_id": pl.String, "symbol": pl.String, "released_at": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_days_around_a_pump_are_held_against_the_coin_s_other_days() -> None:
    values = [10.0] * 40
    values[20] = 40.0
    course = around_pumps(pumps(20), social_features(social("A", values))).filter(pl.col("feature") == "interaction_ratio")
    lifts = dict(course.select("days_from_pump", "lift").iter_rows())
    assert set(lifts) == set(range(-7, 8))
    assert lifts[0] == pytest.approx(4.0)
    assert lifts[-3] == pytest.approx(1.0)
    assert lifts[1] == pytest.approx(10 / (100 / 7))
    assert course["n"].to_list() == [1] * 15


def test_a_symbol_of_several_coins_is_left_out() -> None:
    both = pl.concat([social("1", [10.0] * 40, symbol="A"), social("2", [10.0] * 40, symbol="A")])
    assert around_pumps(pumps(20), social_features(both)).is_empty()


def test_nothing_comes_of_nothing() -> None:
    features = social_features(pl.DataFrame(schema=SOCIAL))
    assert correlations(features).is_empty()
    assert around_pumps(pumps(), features).is_empty()
