"""Score rules: which z-scores count, and how they become one number per coin."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from pnd_dagster.errors import SettingError
from pnd_dagster.market.book_metrics import Floats
from pnd_dagster.market.windows import HORIZONS, METRICS, STATES

NEUTRAL = 0.0
"""Score of a coin of which nothing is known, after normalisation."""

_AT_ONCE = 5

PAPER_HORIZON = 60
"""The paper names none; this one was fixed before any result was seen."""


class ScoreRule(NamedTuple):
    """How z-scores become a score.

    Attributes:
        name: what it is called in settings, tables and backtests.
        metrics: those of `METRICS` that count, equally.
        horizons: those of `HORIZONS` that count, equally, in seconds.
        clip: |z| counts at most so much; None for no limit.
        is_positive_only: a z below 0 counts as 0.
        normalise: "before" makes each z a z-score across the candidates and then averages, "after" averages first.
        exponent: |z| counts to this power. With 1/2 many metrics and horizons that are somewhat high outweigh a single one that is extreme.
    """

    name: str
    metrics: tuple[str, ...]
    horizons: tuple[int, ...]
    clip: float | None
    is_positive_only: bool
    normalise: Literal["before", "after"]
    exponent: float = 1.0

    @property
    def columns(self) -> tuple[tuple[int, int], ...]:
        """Places (in METRICS, in HORIZONS) of the z-scores that count, metric by metric."""
        return tuple((METRICS.index(metric), HORIZONS.index(horizon)) for metric in self.metrics for horizon in self.horizons)


# How much, how often, how large, how dear: each said once. What takers bought, the spread and the return say much of it again.
_TRADES = ("volume", "active_buckets", "average_trade_size", "vwap")
_BOOKS = ("order_book_pressure", "value_imbalance", "average_order_value", "best_level_flow")
_PROTOTYPE = (
    "volume",
    "trade_count",
    "taker_buy_volume",
    "average_trade_size",
    "high_low_spread",
    "vwap_log_return",
    "taker_net_volume",
)
_PAPER = (
    "order_book_pressure",
    "average_order_size",
    "imbalance_ratio",
    "market_orders_impact",
    "vwap",
    "high_low_spread",
    "trade_count",
)
# A small coin's window of 20 s holds no trade, or one.
_LONG_HORIZONS = (60, 300, 900, 3600)

DEFAULT = ScoreRule("default", _TRADES + _BOOKS, _LONG_HORIZONS, clip=10.0, is_positive_only=True, normalise="after", exponent=0.5)
RULES = {
    rule.name: rule
    for rule in (
        DEFAULT,
        ScoreRule("prototype", _PROTOTYPE, HORIZONS, clip=10.0, is_positive_only=True, normalise="after"),
        ScoreRule("paper_before", _PAPER, (PAPER_HORIZON,), clip=None, is_positive_only=False, normalise="before"),
        ScoreRule("paper_after", _PAPER, (PAPER_HORIZON,), clip=None, is_positive_only=False, normalise="after"),
    )
}
"""`prototype` is what was tried first: no rule that ships may fall below it."""


def rule_by_name(name: str) -> ScoreRule:
    """A rule of `RULES`.

    Raises:
        SettingError: there is none of that name.
    """
    if name not in RULES:
        raise SettingError(f"PND_SCORE_RULE: {name} is none of {', '.join(RULES)}")
    return RULES[name]


def of_source(rule: ScoreRule, source: str) -> ScoreRule:
    """The rule with the metrics of `trades` or of `books` alone; as it is for `both`."""
    if source == "both":
        return rule
    books = {*STATES, "best_level_flow"}
    return rule._replace(metrics=tuple(name for name in rule.metrics if (name in books) == (source == "books")))


def scores(z: Floats, rule: ScoreRule) -> Floats:
    """One score per instrument, normalised across them (mean 0, standard deviation 1); NaN where none of the rule's z is known.

    Args:
        z: [instruments, metrics x horizons in the order of `rule.columns`].
        rule: how they count.
    """
    lowest = 0.0 if rule.is_positive_only else -(rule.clip or np.inf)
    total, count = np.zeros(len(z)), np.zeros(len(z))
    # A few columns at a time: what is computed meanwhile stays in the processor's cache.
    for start in range(0, z.shape[1], _AT_ONCE):
        counted = np.clip(z[:, start : start + _AT_ONCE], lowest, rule.clip)
        if rule.clip is None:
            counted[np.isinf(counted)] = np.nan
        if rule.exponent != 1.0:
            counted = np.copysign(np.abs(counted) ** rule.exponent, counted)
        if rule.normalise == "before":
            counted = _normalised(counted)
        is_unknown = np.isnan(counted)
        np.copyto(counted, 0.0, where=is_unknown)
        total += counted.sum(axis=1)
        count += counted.shape[1] - is_unknown.sum(axis=1)
    mean = np.divide(total, count, out=np.full(len(z), np.nan), where=count > 0)
    return _normalised(mean[:, None])[:, 0]


def ranks(score: Floats) -> Floats:
    """Rank of each score, 1 for the highest; equal ones have their mean rank, NaN stands at the neutral score."""
    filled = np.where(np.isnan(score), NEUTRAL, score)
    _, place, counts = np.unique(-filled, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _normalised(values: Floats) -> Floats:
    """Each column as a z-score across the rows; a column that does not vary is 0."""
    is_known = ~np.isnan(values)
    count = is_known.sum(axis=0)
    known = np.where(is_known, values, 0.0)
    mean = np.divide(known.sum(axis=0), count, out=np.zeros(values.shape[1]), where=count > 0)
    distance = np.where(is_known, values - mean, 0.0)
    deviation = np.sqrt(np.divide(np.square(distance).sum(axis=0), count, out=np.zeros(values.shape[1]), where=count > 0))
    scaled = np.divide(distance, deviation, out=np.zeros(values.shape), where=deviation > 0)
    return np.where(is_known, scaled, np.nan)
