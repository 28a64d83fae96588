from __future__ import annotations

import numpy as np
import pytest

from pnd_dagster.market.windows import METRICS
from pnd_dagster.ranking.explanation import Reason, explain, in_words, metric_words, z_table
from pnd_dagster.ranking.rules import DEFAULT, RULES, ScoreRule

RULE = ScoreRule("r", ("taker_buy_volume", "trade_count"), (20, 300), clip=10.0, is_positive_only=True, normalise="after")


def test_reasons_are_what_stands_out_the_furthest_first() -> None:
    z = np.array([2.9, 9.2, np.inf, np.nan])
    assert explain(z, RULE) == [Reason("trade_count", 20, np.inf), Reason("taker_buy_volume", 300, 9.2)]


def test_what_lies_below_history_is_a_reason_only_where_the_rule_counts_it() -> None:
    z = np.array([-8.0, 3.5, 0.0, -3.0])
    assert explain(z, RULE) == [Reason("taker_buy_volume", 300, 3.5)]
    found = explain(z, RULE._replace(is_positive_only=False))
    assert [reason.z for reason in found] == [-8.0, 3.5, -3.0]
    assert in_words(found) == (
        "trades over 5 min 3.5 deviations above the last three days".replace("trades", "taker buys")
        + ", taker buys over 20 s 8.0 deviations below the last three days, trades over 5 min 3.0"
    )


def test_words_name_metric_horizon_and_distance() -> None:
    words = in_words(explain(np.array([7.04, 9.2, np.inf, np.nan]), RULE))
    assert words == (
        "trades over 20 s more than 1,000 deviations above the last three days, taker buys over 5 min 9.2, taker buys over 20 s 7.0"
    )
    assert in_words([Reason("vwap", 3600, 4.0)]) == "price over 1 h 4.0 deviations above the last three days"
    assert in_words([]) == "nothing stands out from the last three days"


def test_no_more_reasons_are_told_than_asked_for() -> None:
    assert in_words(explain(np.full(4, 5.0), RULE), at_most=2).count("5.0") == 2


def test_the_table_has_a_row_per_metric_and_a_column_per_horizon() -> None:
    table = z_table(np.array([1.0, 2.0, np.nan, 4.0]), RULE)
    assert table.rows() == [("taker_buy_volume", 1.0, 2.0), ("trade_count", None, 4.0)]
    assert table.columns == ["metric", "20 s", "300 s"]


def test_z_of_another_rule_is_refused() -> None:
    for read in (explain, z_table):
        with pytest.raises(ValueError, match="3 z-scores do not belong to rule r, which has 4"):
            read(np.zeros(3), RULE)


def test_every_metric_has_words_of_its_own() -> None:
    assert len({metric_words(name) for name in METRICS}) == len(METRICS)
    assert all("_" not in metric_words(name) for rule in (*RULES.values(), DEFAULT) for name in rule.metrics)
