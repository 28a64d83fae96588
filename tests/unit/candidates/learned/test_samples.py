from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from pnd_dagster.candidates.learned.panels import DAY, Pump
from pnd_dagster.candidates.learned.samples import QUIET_AFTER, Others, Plan, draw_samples, last_bar, windows_at
from pnd_dagster.candidates.learned.series import Form
from tests.unit.candidates.learned.made_up import START, made_up


@pytest.mark.parametrize("hour", [0, 0.5, 1, 17, 23.9])
def test_the_last_bar_has_ended_an_hour_before_the_pump(hour: float) -> None:
    panel, _ = made_up(coins=2, days=60, pumps=0)
    at = START + 50 * DAY + timedelta(hours=hour)
    end = START + (last_bar(panel, at) + 1) * DAY
    assert at - timedelta(hours=25) < end <= at - timedelta(hours=1)


@pytest.mark.parametrize("form", Form)
def test_nothing_after_the_cut_changes_a_sample(form: Form) -> None:
    panel, _ = made_up(coins=20, days=80, pumps=0)
    pump = Pump(3, START + 60 * DAY + timedelta(hours=17))
    before = draw_samples(panel, [pump], Plan(form=form))
    for values in panel.observed.values():
        values[:, 60:] *= np.random.default_rng(1).uniform(2, 9, (20, 20))
    after = draw_samples(panel, [pump], Plan(form=form))
    assert before.rows.equals(after.rows)
    np.testing.assert_array_equal(before.windows, after.windows)
    for values in panel.observed.values():
        values[3, 59] *= 3
    assert not np.array_equal(after.windows, draw_samples(panel, [pump], Plan(form=form)).windows, equal_nan=True), "the last day is read"


def test_others_stand_in_the_same_window_and_market_and_are_not_pumped_within_a_week() -> None:
    panel, pumps = made_up()
    panel = panel._replace(markets=["a"] * 30 + ["b"] * 30)
    rows = draw_samples(panel, pumps, Plan()).rows
    times = {symbol: [pump.at for pump in pumps if panel.symbols[pump.coin] == symbol] for symbol in panel.symbols}
    others = rows.filter(~rows["is_pumped"])
    assert others.height == 2 * rows["is_pumped"].sum()
    for symbol, at in others.select("symbol", "at").iter_rows():
        assert symbol != "BTC"
        assert panel.symbols.index(symbol) < 30, "the market of the pumped coins"
        assert not any(at.replace(hour=0) <= other <= at + QUIET_AFTER for other in times[symbol])
    assert any(at - 30 * DAY <= other < at for symbol, at in others.select("symbol", "at").iter_rows() for other in times[symbol]), (
        "an earlier pump may stand in the window of either"
    )


def test_bitcoin_is_no_other_coin_on_any_exchange() -> None:
    panel, _ = made_up(coins=5, days=60, pumps=0)
    panel = panel._replace(symbols=["BTC", "BTC", "BTC", *panel.symbols[3:]])
    samples = draw_samples(panel, [Pump(4, START + 50 * DAY)], Plan(others_per_event=4))
    assert samples.rows["coin"].to_list() == ["made C04", "made C03"]


def test_others_may_be_only_coins_that_are_pumped_at_another_time() -> None:
    panel, pumps = made_up(pumps=12)
    rows = draw_samples(panel, pumps, Plan(others=Others.PUMPED_ANOTHER_TIME)).rows
    assert set(rows["symbol"]) <= {panel.symbols[pump.coin] for pump in pumps}
    assert rows["is_pumped"].sum() < rows.height


def test_pumps_without_a_window_are_counted() -> None:
    panel, _ = made_up(coins=5, days=60, pumps=0)
    for values in panel.observed.values():
        values[2, 30:45] = np.nan
    pumps = [Pump(1, START + 20 * DAY), Pump(1, START + 90 * DAY), Pump(2, START + 50 * DAY), Pump(4, START + 50 * DAY)]
    samples = draw_samples(panel, pumps, Plan())
    assert samples.rows.filter(samples.rows["is_pumped"])["symbol"].to_list() == ["C04"]
    assert samples.left_out == {"the data does not reach over the window": 2, "fewer than 20 observed bars": 1}


def test_a_draw_can_be_repeated() -> None:
    panel, pumps = made_up(pumps=10)
    assert draw_samples(panel, pumps, Plan()).rows.equals(draw_samples(panel, list(reversed(pumps)), Plan()).rows)
    assert not draw_samples(panel, pumps, Plan()).rows.equals(draw_samples(panel, pumps, Plan(seed=1)).rows)


def test_no_pump_gives_no_sample() -> None:
    panel, _ = made_up(coins=3, days=40, pumps=0)
    samples = draw_samples(panel, [], Plan())
    assert samples.rows.is_empty()
    assert samples.windows.size == 0


def test_all_coins_of_a_day_are_taken_for_clusters() -> None:
    panel, _ = made_up(coins=6, days=40, pumps=0)
    samples = windows_at(panel, START + 40 * DAY + timedelta(hours=1), Plan(form=Form.LEVELS))
    assert samples.rows["symbol"].to_list() == panel.symbols
    assert samples.windows.shape == (6, len(samples.series), 30)
