from __future__ import annotations

import numpy as np
import pytest

from pnd_dagster.candidates.learned import features
from pnd_dagster.candidates.learned.features import TABLE_X, calculators, extract, group_of, table_x_calculators
from pnd_dagster.candidates.learned.series import SERIES
from pnd_dagster.errors import SettingError


def test_all_of_table_x_can_be_computed_from_the_27_series() -> None:
    made = {f"{series}__{name}" for series in SERIES for name in calculators()}
    assert len(TABLE_X) == 29
    assert {row.feature for row in TABLE_X} <= made
    assert set(table_x_calculators()) <= set(calculators())
    assert sum(0 in row.models for row in TABLE_X) == 6


def test_features_are_those_of_the_bars_that_are_there() -> None:
    windows = np.random.default_rng(0).uniform(size=(3, 2, 30))
    windows[0, 0, :10] = np.nan
    frame = extract(["close", "volume"], windows)
    assert frame.height == 3
    assert frame["close__sum_values"].to_list() == pytest.approx(np.nansum(windows[:, 0], axis=1).tolist())
    assert frame["volume__median"].to_list() == pytest.approx(np.median(windows[:, 1], axis=1).tolist())
    assert {group_of(name) for name in frame.columns} == {"price"}
    assert 80 < frame.width / 2 < 150, "bounded"


def test_a_sample_without_a_series_has_no_number_and_keeps_its_place() -> None:
    windows = np.ones((3, 1, 30)) * np.arange(30)
    windows[1] = np.nan
    frame = extract(["close"], windows, table_x_calculators())
    assert frame["close__maximum"].is_nan().to_list() == [False, True, False]


def test_no_samples_have_no_features() -> None:
    assert extract([], np.empty((0, 0, 0))).is_empty()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"xgboost and tsfresh: `pip install 'pnd-dagster\[train\]'`"):
        extract(["close"], np.ones((1, 1, 30)))
