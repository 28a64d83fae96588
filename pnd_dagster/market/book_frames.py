"""The books of a bucket's last frames, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

from pnd_dagster.market.book_metrics import Books, Booleans, Floats, Integers
from pnd_dagster.market.feeds.protocol import FrameError, Level
from pnd_dagster.tables import BOOK_LEVELS

Levels = Callable[[object], tuple[Sequence[Level], Sequence[Level]]]
"""`Feed.levels`: bids and asks of a frame, best first."""


def read_books(frames: Sequence[object], levels: Levels) -> tuple[Books, Booleans]:
    """Books of `frames`, and which of them could be read, [frames]; the others have no levels.

    A book with a price or quantity that is not positive and finite, or whose levels are not in order, cannot be read either.
    """
    bids, asks = list[Sequence[Level]](), list[Sequence[Level]]()
    is_read = np.ones(len(frames), np.bool_)
    for index, frame in enumerate(frames):
        try:
            bid, ask = levels(frame)
        except FrameError:
            is_read[index] = False
            bid, ask = (), ()
        bids.append(bid[:BOOK_LEVELS])
        asks.append(ask[:BOOK_LEVELS])
    bid_prices, bid_quantities, bid_levels, is_bid_sound = _side(bids, -1)
    ask_prices, ask_quantities, ask_levels, is_ask_sound = _side(asks, 1)
    is_read &= is_bid_sound & is_ask_sound
    counts = (np.where(is_read, bid_levels, 0), np.where(is_read, ask_levels, 0))
    return Books(bid_prices, bid_quantities, ask_prices, ask_quantities, *counts), is_read


def _side(sides: list[Sequence[Level]], direction: int) -> tuple[Floats, Floats, Integers, Booleans]:
    """Prices and quantities [books, levels], levels [books], and which are sound; prices may not fall in `direction`."""
    counts = np.fromiter(map(len, sides), np.int64, len(sides))
    is_there = np.arange(BOOK_LEVELS) < counts[:, None]
    flat = np.fromiter(chain.from_iterable(chain.from_iterable(sides)), np.float64, 2 * int(counts.sum()))
    prices, quantities = np.zeros(is_there.shape), np.zeros(is_there.shape)
    prices[is_there], quantities[is_there] = flat[0::2], flat[1::2]
    is_positive = (prices > 0) & (quantities > 0) & np.isfinite(prices) & np.isfinite(quantities)
    is_ordered = (prices[:, 1:] - prices[:, :-1]) * direction >= 0
    is_sound = np.all(is_positive | ~is_there, axis=1) & np.all(is_ordered | ~is_there[:, 1:], axis=1)
    return prices, quantities, counts, is_sound
