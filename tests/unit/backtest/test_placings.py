"""Ranks of made-up pools whose z-scores are chosen, so that every rank is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pnd_dagster.backtest.figures import Placing, figures, interval
from pnd_dagster.backtest.placings import ablations_of, by_best_metric, by_chance, by_volume, placing, relative_scores, rules_of
from pnd_dagster.backtest.pools import Pools
from pnd_dagster.backtest.reading import Event
from pnd_dagster.backtest.windows import Windows
from pnd_dagster.market.moments import Moments
from pnd_dagster.market.windows import HORIZONS, METRICS
from pnd_dagster.ranking.rules import RULES, ScoreRule

SHAPE = (len(METRICS), len(HORIZONS))
VOLUME_60 = ScoreRule("volume", ("volume",), (60,), clip=10.0, is_positive_only=True, normalise="after")
PLACE = METRICS.index("volume"), HORIZONS.index(60)


def pools_of(targets: list[list[float]], decoys: list[float], coins: list[str] | None = None) -> Pools:
    """Pools of all decoys in one draw; each number is the z of `volume` over 60 s, history has mean 0 and sigma 1."""
    flat = [z for row in targets for z in row] + decoys
    values = np.full((len(flat), *SHAPE), np.nan)
    values[:, *PLACE] = flat
    n = np.full(values.shape, 100)
    windows = Windows(values, Moments(n, np.zeros(values.shape), np.full(values.shape, 99.0)))
    events = [Event(f"E{number}", coin, 0) for number, coin in enumerate(coins or [f"C{number}" for number in range(len(targets))])]
    count = len(targets) * len(targets[0])
    places = np.arange(count, count + len(decoys))
    return Pools(
        events,
        tuple(20 * (offset + 1) for offset in range(len(targets[0]))),
        windows,
        np.arange(count).reshape(len(targets), -1),
        np.broadcast_to(places, (len(targets), 1, len(decoys))),
        [],
    )


def test_the_pumped_coin_has_the_rank_that_its_z_gives_it() -> None:
    found = placing(pools_of([[3.0, 0.5], [9.0, -4.0]], [1.0, 2.0, 4.0, 0.2]), VOLUME_60)
    assert found.rank[:, :, 0].tolist() == [[2, 4], [1, 5]]
    assert found.active.tolist() == [5, 5]


def test_equal_scores_have_their_mean_rank() -> None:
    # Beyond the clip all are equal, and so are all that are not positive.
    assert placing(pools_of([[11.0]], [12.0, 13.0, 1.0]), VOLUME_60).rank.item() == 2
    assert placing(pools_of([[-1.0]], [5.0, -2.0, -3.0]), VOLUME_60).rank.item() == 3


def test_a_missing_score_counts_as_the_last_rank_and_an_inactive_decoy_as_neutral() -> None:
    found = placing(pools_of([[np.nan]], [0.0, 1.0, 2.0]), VOLUME_60)
    assert found.rank.item() == 4
    assert found.active.item() == 3
    # Scores 3, 1, 0 have mean 4/3: there the coin without one stands, behind 3 and before 1.
    assert placing(pools_of([[1.0]], [3.0, 0.0, np.nan]), VOLUME_60).rank.item() == 3


@pytest.mark.parametrize("name", ["paper_before", "paper_after"])
def test_the_papers_rules_rank_by_the_sum_of_what_they_look_at(name: str) -> None:
    pools = pools_of([[0.0]], [0.0, 0.0])
    count, size = METRICS.index("trade_count"), METRICS.index("high_low_spread")
    pools.windows.values[:, *PLACE] = np.nan
    pools.windows.values[:, count, PLACE[1]] = [2, 1, 3]
    pools.windows.values[:, size, PLACE[1]] = [40, 10, 10]
    # After: means 21, 5.5, 6.5. Before: normalised counts 0, -1.2, 1.2 and sizes 1.4, -0.7, -0.7, so 0.7, -1, 0.3.
    assert placing(pools, RULES[name]).rank.item() == 1
    pools.windows.values[:, size, PLACE[1]] = [12, 10, 11.9]
    # After: 7, 5.5, 7.45. Before: 0 and 0.8, -1.2 and -1.4, 1.2 and 0.7.
    assert placing(pools, RULES[name]).rank.item() == 2


def test_volume_ranks_by_what_was_traded_in_the_last_hour_whatever_is_usual() -> None:
    pools = pools_of([[0.0]], [9.0, 9.0])
    pools.windows.values[:, METRICS.index("quote_volume"), HORIZONS.index(3600)] = [5, 7, 1]
    assert by_volume(pools).rank.item() == 2


def test_the_best_metric_is_chosen_on_the_events_of_other_coins() -> None:
    # Only the event E1 could teach that the volume over 20 s finds coin A; its own coin may not.
    decoys = [1.0] * 10
    pools = pools_of([[0.0], [0.0], [5.0], [5.0]], decoys, ["A", "A", "B", "B"])
    pools.windows.values[:, PLACE[0], HORIZONS.index(20)] = [5, 5, 0, 0, *decoys]
    found = by_best_metric(pools, "trades")
    assert found.rank[:, 0, 0].tolist() == [11, 11, 11, 11]
    shared = pools_of([[6.0], [7.0], [5.0], [5.0]], decoys, ["A", "A", "B", "B"])
    assert by_best_metric(shared, "trades").rank[:, 0, 0].tolist() == [1, 1, 1, 1]


def test_chance_finds_as_many_as_arithmetic_says() -> None:
    pools = pools_of([[0.0]] * 20, [0.0] * 9)
    pools = pools._replace(decoys=np.repeat(pools.decoys, 100, axis=1))
    found = figures(by_chance(pools, 1), 0, pools.size, 1)
    assert found["top5"] == pytest.approx(0.5, abs=0.05)
    assert found["mean_percentile"] == pytest.approx(0.5, abs=0.03)


def test_figures_of_known_ranks() -> None:
    placed = Placing(np.array([[[1.0, 3.0]], [[6.0, 11.0]], [[2.5, 5.0]]]), np.array([11.0]))
    found = figures(placed, 0, 11, 0)
    expected = {"n": 3, "pool_size": 11, "active_coins": 11, "top1": 1 / 6, "top3": 1 / 2, "top5": 4 / 6, "top10": 5 / 6}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 6 + 1 / 11 + 1 / 2.5 + 1 / 5) / 6)
    assert found["mean_percentile"] == pytest.approx((11 - 28.5 / 6) / 10)
    assert 0 <= found["top5_low"] <= found["top5"] <= found["top5_high"] <= 1


def test_the_interval_is_over_events_and_repeats_under_a_seed() -> None:
    hits = np.array([1.0] * 16 + [0.0] * 16)
    low, high = interval(hits, 3)
    assert (low, high) == interval(hits, 3)
    assert low == pytest.approx(0.5 - 1.96 * 0.5 / 32**0.5, abs=0.04)
    assert high == pytest.approx(0.5 + 1.96 * 0.5 / 32**0.5, abs=0.04)
    assert interval(np.ones(5), 0) == (1, 1)


def test_relative_scores_mark_the_pumped_coin() -> None:
    frame = relative_scores(pools_of([[3.0], [0.0]], [1.0, 2.0]), VOLUME_60, 0)
    assert frame["is_pumped"].to_list() == [True, False, False] * 2
    assert frame["score"][0] > 1 > 0 > frame["score"][3]


def test_a_source_is_ranked_by_its_own_metrics_alone() -> None:
    names = {source: {metric for rule in rules_of(source) for metric in rule.metrics} for source in ("trades", "books", "both")}
    assert "volume" in names["trades"]
    assert "order_book_pressure" in names["books"]
    assert not names["trades"] & names["books"]
    assert names["trades"] | names["books"] == names["both"]
    assert {rule.name for rule in ablations_of("trades")} >= {"only_volume", "only_3600s"}
