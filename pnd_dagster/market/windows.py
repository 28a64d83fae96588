"""A metric over windows longer than a bucket: what ranking compares with history, and what history is made of, by one function.

`METRICS` and `HORIZONS` are the layout of core.metric_rollups: whoever changes them gives `LAYOUT` a new number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pnd_dagster.market.book_metrics import Booleans, Floats
from pnd_dagster.tables import BUCKET_SECONDS

LAYOUT = 2
HORIZONS = (20, 60, 300, 900, 3600)
"""Lengths of windows in seconds."""

SUMS = (
    "trade_count",
    "active_buckets",
    "volume",
    "quote_volume",
    "taker_buy_volume",
    "taker_net_volume",
    "market_orders_impact",
    "best_level_flow",
)
"""Added up over the window; active_buckets are those with a trade, taker_net_volume is what takers bought minus what they sold."""

OF_SUMS = (
    "average_trade_size",
    "taker_imbalance",
    "vwap",
    "vwap_log_return",
    "high_low_spread",
    "relative_high_low_spread",
)
"""Formed anew from the window's sums and extremes, never as a mean over buckets."""

STATES = (
    "mid_price",
    "bid_ask_spread",
    "relative_spread",
    "average_order_size",
    "average_order_value",
    "log_imbalance",
    "imbalance_ratio",
    "value_imbalance",
    "order_book_pressure",
    "order_book_slope",
    "relative_slope",
    "order_flow_imbalance",
)
"""Mean over time of the book's state, the last book carried on."""

METRICS = SUMS + OF_SUMS + STATES
# What a grid holds of each bucket, beside the states.
FLOWS = ("trade_count", "volume", "quote_volume", "taker_buy_volume", "taker_sell_volume", "best_level_flow")
EXTREMES = ("high_price", "low_price")
ADDED = (*FLOWS, "active_buckets")
"""What is added up over a window, see `added_up`."""


class Grid(NamedTuple):
    """Buckets of several instruments, none left out.

    Attributes:
        buckets: [instruments, buckets] for each of `STATES`, `FLOWS` and `EXTREMES`. A bucket without trades has flows of 0 and no
            extremes (NaN), one without a new book the state of the last; a bucket out of sight is NaN in all of them.
        last_vwaps: [instruments], vwap of the last bucket before the first that traded, NaN when none is known since the last gap.
    """

    buckets: dict[str, Floats]
    last_vwaps: Floats


def bucket_count(horizon_seconds: int) -> int:
    """Buckets of a window."""
    return horizon_seconds // BUCKET_SECONDS


def window_values(grid: Grid, size: int) -> Floats:
    """`METRICS` over the windows of `size` buckets that lie end to end in `grid`, [metrics, instruments, windows]; NaN without a value.

    - Sums, and what is formed of them, need every bucket of the window: one out of sight leaves them unknown.
    - A state's mean is over the buckets in which it is known, and needs half of them.
    - Without trades, counts and sums are 0, and prices, sizes and their spreads have no value.
    - vwap_log_return = ln(vwap / vwap of the last bucket before the window in which the instrument traded), unless a gap lies between:
      for a coin that seldom trades the window just before is mostly empty.

    Args:
        grid: buckets, a multiple of `size`.
        size: buckets of a window, see `bucket_count`.
    """
    parts = {name: values.reshape(len(values), -1, size) for name, values in grid.buckets.items()}
    flows = {name: values.sum(axis=2) for name, values in added_up(parts).items()}
    high, low = np.fmax.reduce(parts["high_price"], axis=2), np.fmin.reduce(parts["low_price"], axis=2)
    values = {
        **metrics_of_sums(flows, high, low, _vwaps_before(grid)[:, ::size]),
        **{name: _mean(parts[name]) for name in STATES},
    }
    return np.stack([values[name] for name in METRICS])


def added_up(buckets: Mapping[str, Floats]) -> dict[str, Floats]:
    """`ADDED` of each bucket: its flows, and 1 if the instrument traded in it, 0 if not; NaN out of sight."""
    return {**{name: buckets[name] for name in FLOWS}, "active_buckets": np.minimum(buckets["trade_count"], 1.0)}


def metrics_of_sums(flows: Mapping[str, Floats], high: Floats, low: Floats, vwaps_before: Floats) -> dict[str, Floats]:
    """`SUMS` and `OF_SUMS` of windows, arrays of one shape; see `window_values`.

    Args:
        flows: `ADDED` over each window, NaN where one of its buckets was out of sight.
        high: highest price of each window, NaN without trades.
        low: lowest price, likewise.
        vwaps_before: vwap of the last bucket before each window that traded, NaN where unknown.
    """
    count, volume, value = flows["trade_count"], flows["volume"], flows["quote_volume"]
    net = flows["taker_buy_volume"] - flows["taker_sell_volume"]
    has_trades = count > 0
    high, low = np.where(has_trades, high, np.nan), np.where(has_trades, low, np.nan)
    vwap = np.clip(ratio(value, volume, has_trades), low, high)
    return {
        **{name: flows[name] for name in SUMS if name in flows},
        "taker_net_volume": net,
        "market_orders_impact": volume,
        "average_trade_size": ratio(volume, count, has_trades),
        "taker_imbalance": ratio(net, volume, has_trades),
        "vwap": vwap,
        "vwap_log_return": np.log(ratio(vwap, vwaps_before, has_trades)),
        "high_low_spread": high - low,
        "relative_high_low_spread": ratio(high - low, vwap, has_trades),
    }


def last_buckets(grid: Grid, count: int) -> Grid:
    """The last `count` buckets of a grid, which know what was before them."""
    start = grid.buckets["volume"].shape[1] - count
    last_vwaps = _vwaps_before(grid)[:, start] if count else grid.last_vwaps
    return Grid({name: values[:, start:] for name, values in grid.buckets.items()}, last_vwaps)


def carry(values: Floats, is_set: Booleans, first: Floats) -> Floats:
    """What held *before* each column, [rows, columns]: the last value that was set, `first` [rows] before any was."""
    extended = np.concatenate((first[:, None], values[:, :-1]), axis=1)
    columns = np.arange(extended.shape[1])
    last_set = np.where(np.concatenate((np.ones((len(values), 1), np.bool_), is_set[:, :-1]), axis=1), columns, 0)
    return np.take_along_axis(extended, np.maximum.accumulate(last_set, axis=1), axis=1)


def _vwaps_before(grid: Grid) -> Floats:
    """Before each bucket the vwap of the last one that traded, NaN when one out of sight lies between, [instruments, buckets]."""
    count = grid.buckets["trade_count"]
    vwaps = ratio(grid.buckets["quote_volume"], grid.buckets["volume"], count > 0)
    return carry(vwaps, (count > 0) | np.isnan(count), grid.last_vwaps)


def ratio(dividend: Floats, divisor: Floats, is_wanted: Booleans) -> Floats:
    """Quotients where they are wanted, NaN elsewhere."""
    return np.divide(dividend, divisor, out=np.full(dividend.shape, np.nan), where=is_wanted)


def _mean(values: Floats) -> Floats:
    """Mean over the last axis of what is known, NaN when that is less than half."""
    is_known = ~np.isnan(values)
    if not is_known.any():
        return np.full(values.shape[:2], np.nan)
    count = is_known.sum(axis=2)
    return ratio(np.where(is_known, values, 0.0).sum(axis=2), count.astype(np.float64), 2 * count >= values.shape[2])
