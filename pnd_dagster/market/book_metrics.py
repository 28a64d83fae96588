"""Order book metrics (paper, Table IX): all instruments in one vectorised pass.

What flows from one update to the next is in `order_flow`; what trades say is in `trade_metrics`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.tables import BOOK_METRIC_COLUMNS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

STATE_METRICS = tuple(column.name for column in BOOK_METRIC_COLUMNS if column.name != "best_level_flow")


class Books(NamedTuple):
    """Order books of several instruments, best level first.

    Attributes:
        bid_prices, bid_quantities, ask_prices, ask_quantities: [instruments, levels], USDT and base units.
        bid_levels, ask_levels: [instruments], levels each side has; what the arrays hold beyond them is not read.
    """

    bid_prices: Floats
    bid_quantities: Floats
    ask_prices: Floats
    ask_quantities: Floats
    bid_levels: Integers
    ask_levels: Integers

    def rows(self, index: Integers | Booleans) -> Books:
        """The books of some instruments, copied."""
        levels = self.bid_levels[index], self.ask_levels[index]
        return Books(self.bid_prices[index], self.bid_quantities[index], self.ask_prices[index], self.ask_quantities[index], *levels)


def empty_books(count: int, levels: int) -> Books:
    """`count` books without any level."""
    shape = (count, levels)
    prices_and_quantities = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    return Books(*prices_and_quantities, np.zeros(count, np.int64), np.zeros(count, np.int64))


def usable_books(books: Books) -> Booleans:
    """Which books metrics can be made of, [instruments]: both sides have a level, and the best bid is below the best ask."""
    has_both = (books.bid_levels > 0) & (books.ask_levels > 0)
    return has_both & (books.bid_prices[:, 0] < books.ask_prices[:, 0])


def book_metrics(books: Books) -> dict[str, Floats]:
    """State metrics of every book (paper, Table IX, and scale-free companions), [instruments] each, NaN where the book is not usable.

    With prices P and quantities Q of the levels that are there, b and a for the sides, S = sum Q, V = sum P Q, mid of the best quotes:

    - bid_ask_spread = min P_a - max P_b; relative_spread = spread / mid
    - average_order_size = (S_b + S_a) / levels; average_order_value = (V_b + V_a) / levels
    - imbalance = S_b / S_a; log_imbalance = ln imbalance
    - imbalance_ratio = mid (V_b - V_a) / (V_b + V_a); value_imbalance the same without mid
    - order_book_pressure = S_b / (S_b + S_a); order_flow_imbalance = S_b - S_a
    - order_book_slope = median over levels of (dQ_b - dQ_a), dQ the step of quantity from a level to the next worse one, over the levels
      both sides have, NaN with fewer than two; relative_slope = slope / average_order_size
    """
    usable = usable_books(books)
    bid_quantities = _within(books.bid_quantities, books.bid_levels)
    ask_quantities = _within(books.ask_quantities, books.ask_levels)
    bid_size, ask_size = bid_quantities.sum(axis=1), ask_quantities.sum(axis=1)
    bid_value = np.einsum("il,il->i", _within(books.bid_prices, books.bid_levels), bid_quantities)
    ask_value = np.einsum("il,il->i", _within(books.ask_prices, books.ask_levels), ask_quantities)
    bid, ask = books.bid_prices[:, 0], books.ask_prices[:, 0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mid = (bid + ask) / 2
        spread = ask - bid
        levels = books.bid_levels + books.ask_levels
        size = (bid_size + ask_size) / levels
        imbalance = bid_size / ask_size
        value_imbalance = (bid_value - ask_value) / (bid_value + ask_value)
        slope = _slope(bid_quantities, ask_quantities, np.minimum(books.bid_levels, books.ask_levels))
        metrics = {
            "mid_price": mid,
            "bid_ask_spread": spread,
            "relative_spread": spread / mid,
            "average_order_size": size,
            "average_order_value": (bid_value + ask_value) / levels,
            "imbalance": imbalance,
            "log_imbalance": np.log(imbalance),
            "imbalance_ratio": mid * value_imbalance,
            "value_imbalance": value_imbalance,
            "order_book_pressure": bid_size / (bid_size + ask_size),
            "order_book_slope": slope,
            "relative_slope": slope / size,
            "order_flow_imbalance": bid_size - ask_size,
        }
    return {name: np.where(usable, values, np.nan) for name, values in metrics.items()}


def _within(values: Floats, levels: Integers) -> Floats:
    """`values` [instruments, levels] with 0 beyond each book's depth."""
    return np.where(np.arange(values.shape[1]) < levels[:, None], values, 0.0)


def _slope(bid_quantities: Floats, ask_quantities: Floats, levels: Integers) -> Floats:
    """Median of the first `levels` - 1 differences of steps, [instruments]; NaN without any."""
    difference = bid_quantities - ask_quantities
    steps = np.diff(difference, axis=1)
    if steps.shape[1] == 0:
        return np.full(len(levels), np.nan)
    count = levels - 1
    # Infinities sort behind all steps that count, so the median is where it would be without them.
    steps = np.sort(np.where(np.arange(steps.shape[1]) < count[:, None], steps, np.inf), axis=1)
    middle = np.maximum(count, 1)
    low = np.take_along_axis(steps, ((middle - 1) // 2)[:, None], axis=1)[:, 0]
    high = np.take_along_axis(steps, (middle // 2)[:, None], axis=1)[:, 0]
    return np.where(count > 0, (low + high) / 2, np.nan)
