from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dashboards.estimates import median_of, share_of


def test_the_interval_of_a_median_holds_it_19_times_of_20() -> None:
    draw = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        _, low, high, _ = median_of(pl.Series(draw.exponential(size=40)))
        assert low is not None
        assert high is not None
        held += low <= np.log(2) <= high
    assert 0.93 <= held / 400 <= 0.985


def test_what_is_unknown_counts_for_nothing() -> None:
    assert median_of(pl.Series([None, float("nan"), 3.0, 1.0])) == (2.0, None, None, 2)
    assert median_of(pl.Series([None, None], dtype=pl.Null)) == (None, None, None, 0)


def test_a_share_of_few_is_uncertain_and_of_none_unknown() -> None:
    share, low, high = share_of(0, 5)
    assert (share, low) == (0.0, pytest.approx(0.0, abs=1e-12))
    assert high == pytest.approx(0.4345, abs=1e-3)
    assert share_of(0, 0) == (None, None, None)
