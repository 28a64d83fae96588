from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from pnd_dagster.candidates.learned.panels import Pump, daily_panel
from pnd_dagster.candidates.learned.samples import Plan, draw_samples

RNG = np.random.default_rng(0)
DAYS = pl.DataFrame(
    {
        "coin": [f"C{coin}" for coin in range(6) for _ in range(50)],
        "symbol": [f"C{coin}" for coin in range(6) for _ in range(50)],
        "market": "made up",
        "day": [date(2024, 1, 1) + timedelta(days=day) for _ in range(6) for day in range(50)],
        "close": RNG.uniform(1, 2, 300),
        "sentiment": None,
    }
)


def test_a_panel_and_its_samples_do_not_depend_on_the_order_of_the_rows() -> None:
    panel, shuffled = daily_panel(DAYS, "C1"), daily_panel(DAYS.sample(fraction=1, shuffle=True, seed=1), "C1")
    assert panel.coins == shuffled.coins == [f"C{coin}" for coin in range(6)]
    assert panel.reference == 1
    pumps = [Pump(coin, panel.starts_at + timedelta(days=45 + coin)) for coin in (2, 3)]
    one, other = (draw_samples(given, listed, Plan()) for given, listed in ((panel, pumps), (shuffled, pumps[::-1])))
    assert one.rows.equals(other.rows)
    np.testing.assert_array_equal(one.windows, other.windows)


def test_gaps_stay_gaps_and_a_series_without_a_value_is_left_out() -> None:
    panel = daily_panel(DAYS.filter(pl.col("day") != date(2024, 1, 3)))
    assert list(panel.observed) == ["close"]
    assert np.isnan(panel.observed["close"][:, 2]).all()
    assert panel.bars == 50


def test_no_rows_give_an_empty_panel() -> None:
    assert daily_panel(DAYS.clear()).bars == 0
