from __future__ import annotations

import numpy as np
import pytest

from pnd_dagster.ranking.rules import RULES, ScoreRule, ranks, scores

NAN = np.nan
PLAIN = ScoreRule("plain", ("volume", "trade_count"), (60, 300), clip=10.0, is_positive_only=True, normalise="after")
ROOTED = PLAIN._replace(name="rooted", exponent=0.5)


def test_agreement_outweighs_a_single_extreme_only_under_a_root() -> None:
    z = np.array([[10.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    assert ranks(scores(z, PLAIN)).tolist() == [1.0, 2.0]
    assert ranks(scores(z, ROOTED)).tolist() == [2.0, 1.0]


def test_the_root_is_taken_of_what_is_clipped_and_of_known_values_alone() -> None:
    z = np.array([[40.0, NAN, -5.0, NAN], [4.0, 4.0, NAN, NAN], [0.0, 0.0, 0.0, 0.0]])
    raw = np.array([np.sqrt(10.0) / 2, 2.0, 0.0])
    assert scores(z, ROOTED) == pytest.approx((raw - raw.mean()) / raw.std())


def test_a_rule_that_counts_both_directions_keeps_the_sign() -> None:
    both = ROOTED._replace(is_positive_only=False)
    z = np.array([[-9.0], [4.0], [0.0]])
    raw = np.array([-3.0, 2.0, 0.0])
    assert scores(z, both) == pytest.approx((raw - raw.mean()) / raw.std())


def test_no_rule_counts_one_thing_under_two_names() -> None:
    same_on_trades = {"volume", "market_orders_impact", "quote_volume"}
    assert all(len(same_on_trades & set(rule.metrics)) <= 1 for rule in RULES.values())
