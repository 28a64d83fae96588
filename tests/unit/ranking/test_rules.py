from __future__ import annotations

import numpy as np
import pytest

from pnd_dagster.errors import SettingError
from pnd_dagster.market.moments import moments
from pnd_dagster.market.windows import HORIZONS, METRICS
from pnd_dagster.ranking.ranking import rank
from pnd_dagster.ranking.rules import DEFAULT, ScoreRule, of_source, ranks, rule_by_name, scores
from pnd_dagster.ranking.zscores import MIN_WINDOWS, z_scores

NAN = np.nan
RULE = ScoreRule("r", ("volume",), (20, 60), clip=10.0, is_positive_only=True, normalise="after")


def test_a_z_score_is_the_distance_in_sample_deviations() -> None:
    history = np.tile([1.0, 3.0], MIN_WINDOWS)
    z = z_scores(np.array([4.0]), moments(history[None, :]))
    assert z == pytest.approx((4.0 - 2.0) / history.std(ddof=1))


def test_too_little_history_or_no_value_gives_no_z() -> None:
    short, long = np.arange(MIN_WINDOWS - 1.0), np.arange(MIN_WINDOWS * 1.0)
    assert np.isnan(z_scores(np.array([5.0]), moments(short[None, :])))
    assert np.isnan(z_scores(np.array([NAN]), moments(long[None, :])))


def test_what_never_moved_is_beyond_any_clip_when_it_moves_and_0_when_it_does_not() -> None:
    still = moments(np.full((2, 50), 7.0))
    z = z_scores(np.array([7.0, 8.0]), still)
    assert z[0] == 0.0
    assert z[1] > 1e4


def test_the_score_is_the_mean_of_clipped_positive_z_across_candidates() -> None:
    z = np.array([[12.0, NAN], [-3.0, 4.0], [0.0, 0.0]])
    raw = np.array([10.0, 2.0, 0.0])
    assert scores(z, RULE) == pytest.approx((raw - raw.mean()) / raw.std())


def test_a_coin_without_data_is_neutral_and_ranked() -> None:
    score = scores(np.array([[NAN, NAN], [5.0, 5.0], [0.0, 0.0]]), RULE)
    assert np.isnan(score[0])
    assert ranks(score).tolist() == [2.0, 1.0, 3.0]


def test_equal_scores_have_their_mean_rank() -> None:
    assert ranks(np.array([1.0, 5.0, 1.0, 1.0])).tolist() == [3.0, 1.0, 3.0, 3.0]


@pytest.mark.parametrize("normalise", ["before", "after"])
def test_the_paper_normalises_across_candidates_before_or_after_averaging(normalise: str) -> None:
    rule = RULE._replace(clip=None, is_positive_only=False, normalise=normalise)  # pyright: ignore[reportArgumentType]
    z = np.array([[1.0, 40.0], [2.0, 0.0], [3.0, -40.0]])
    score = scores(z, rule)
    columns = (z - z.mean(axis=0)) / z.std(axis=0)
    wanted = columns.mean(axis=1) if normalise == "before" else z.mean(axis=1)
    assert score == pytest.approx((wanted - wanted.mean()) / (wanted.std() or 1.0))


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(SettingError, match="PND_SCORE_RULE: best"):
        rule_by_name("best")


def test_a_source_keeps_only_its_metrics() -> None:
    trades, books = of_source(DEFAULT, "trades"), of_source(DEFAULT, "books")
    assert {*trades.metrics, *books.metrics} == {*DEFAULT.metrics}
    assert "active_buckets" in trades.metrics
    assert "order_book_pressure" in books.metrics
    assert not {*trades.metrics} & {*books.metrics}


def test_a_ranking_puts_the_coin_that_stands_out_first() -> None:
    rng = np.random.default_rng(1)
    history = moments(rng.normal(10, 1, (3, len(METRICS), len(HORIZONS), 30)))
    values = np.full((3, len(METRICS), len(HORIZONS)), 10.0)
    values[1] = 15.0
    values[2] = NAN
    found = rank(np.array([7, 8, 9]), values, history, DEFAULT)
    assert found.rank[1] == 1.0
    assert found.is_active.tolist() == [True, True, False]
    assert found.z.shape == (3, len(DEFAULT.columns))
