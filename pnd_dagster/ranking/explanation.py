"""Why a coin stands where it stands: which metrics and horizons lie far from its history, in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import polars as pl

from pnd_dagster.market.book_metrics import Floats
from pnd_dagster.ranking.rules import ScoreRule

STANDS_OUT = 3.0
"""Deviations from which on a metric is given as a reason."""

_WORDS = {
    "trade_count": "trades",
    "active_buckets": "frequency of trading",
    "volume": "volume",
    "quote_volume": "volume in USDT",
    "taker_buy_volume": "taker buys",
    "taker_net_volume": "taker buys less sells",
    "market_orders_impact": "market orders",
    "best_level_flow": "order flow at the best prices",
    "average_trade_size": "size of trades",
    "taker_imbalance": "takers' imbalance",
    "vwap": "price",
    "vwap_log_return": "return",
    "high_low_spread": "range of prices",
    "relative_high_low_spread": "relative range of prices",
    "mid_price": "mid price",
    "bid_ask_spread": "bid-ask spread",
    "relative_spread": "relative bid-ask spread",
    "average_order_size": "size of orders",
    "average_order_value": "value of orders",
    "log_imbalance": "log imbalance of the book",
    "imbalance_ratio": "imbalance of the book's value",
    "value_imbalance": "relative imbalance of the book's value",
    "order_book_pressure": "bids' share of the book",
    "order_book_slope": "slope of the book",
    "relative_slope": "relative slope of the book",
    "order_flow_imbalance": "bids less asks",
}
# Beyond this the figure says only that history never moved.
_LARGEST_TOLD = 1000.0


class Reason(NamedTuple):
    """A metric over a horizon that lies far from its history: `z` deviations above it, or below it where negative."""

    metric: str
    horizon_seconds: int
    z: float


def explain(z: Floats, rule: ScoreRule) -> list[Reason]:
    """What speaks for a coin under a rule, the furthest from its history first; none where nothing reaches `STANDS_OUT`.

    Args:
        z: [rule.columns], as in `Ranking.z` and out.target_rankings.z.
        rule: under which it was ranked; what lies below history counts only where the rule counts it.

    Raises:
        ValueError: z is not as long as the rule's columns: it was ranked under another one.
    """
    _refuse_other_length(z, rule)
    places = [(metric, horizon) for metric in rule.metrics for horizon in rule.horizons]
    distance = np.nan_to_num(z if rule.is_positive_only else np.abs(z), nan=-np.inf, posinf=np.inf)
    order = np.argsort(-distance, kind="stable")
    told = [place for place in order.tolist() if distance[place] >= STANDS_OUT]
    return [Reason(metric=places[place][0], horizon_seconds=places[place][1], z=float(z[place])) for place in told]


def in_words(reasons: Sequence[Reason], at_most: int = 4) -> str:
    """Reasons as one line, e.g. "taker buys over 5 min 9.2 deviations above the last three days, trades over 20 s 7.0"."""
    told: list[str] = []
    for is_above, group in groupby(sorted(reasons[:at_most], key=lambda reason: reason.z <= 0), key=lambda reason: reason.z > 0):
        side = f" deviations {'above' if is_above else 'below'} the last three days"
        for place, reason in enumerate(group):
            told.append(f"{metric_words(reason.metric)} over {span_words(reason.horizon_seconds)} {_size(reason.z)}{'' if place else side}")
    return ", ".join(told) or "nothing stands out from the last three days"


def metric_words(metric: str) -> str:
    """What a metric is called in a sentence."""
    return _WORDS.get(metric, metric.replace("_", " "))


def span_words(seconds: int) -> str:
    """What a horizon is called in a sentence."""
    if seconds % 3600 == 0:
        return f"{seconds // 3600} h"
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def z_table(z: Floats, rule: ScoreRule) -> pl.DataFrame:
    """z as a table, a row per metric: metric, then a column per horizon such as "60 s"; NULL where unknown.

    Raises:
        ValueError: see `explain`.
    """
    _refuse_other_length(z, rule)
    cells = pl.from_numpy(np.reshape(z, (len(rule.metrics), len(rule.horizons))), schema=[f"{horizon} s" for horizon in rule.horizons])
    return pl.DataFrame({"metric": rule.metrics}).hstack(cells.fill_nan(None))


def _refuse_other_length(z: Floats, rule: ScoreRule) -> None:
    if len(z) != len(rule.columns):
        raise ValueError(f"{len(z)} z-scores do not belong to rule {rule.name}, which has {len(rule.columns)}")


def _size(z: float) -> str:
    return f"more than {_LARGEST_TOLD:,.0f}" if abs(z) > _LARGEST_TOLD else f"{abs(z):.1f}"
