"""Windows up to a cut-off and the moments of the same coin's windows before: what `ranking.rank` takes, from stored trades and books.

from pnd_dagster.backtest.windows import windows_of
values, history = windows_of(trades, None, cutoffs)     # both [cutoffs, METRICS, HORIZONS]
ranking = rank(ids, values, history, rule)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pnd_dagster.backtest.grids import BookStream, TradeStream, grid_of
from pnd_dagster.market.book_metrics import Floats, Integers
from pnd_dagster.market.moments import Moments, moments
from pnd_dagster.market.windows import HORIZONS, Grid, bucket_count, window_values

HISTORY_SECONDS = 24 * 3600
"""Length of the history before each window."""

SPAN_SECONDS = HISTORY_SECONDS + max(HORIZONS)
"""How far back a ranking looks: the longest window and its history."""

# Cut-offs of one pass: their buckets fit into the processor's cache.
_AT_ONCE = 8


class Windows(NamedTuple):
    """What coins are ranked by.

    Attributes:
        values: [windows, `METRICS`, `HORIZONS`], metrics over (t - h, t].
        history: the same shape, moments over the windows that lie end to end in (t - h - 24 h, t - h].
    """

    values: Floats
    history: Moments

    def rows(self, index: Integers) -> Windows:
        """Some of the windows."""
        n, mean, m2 = self.history
        return Windows(self.values[index], Moments(n[index], mean[index], m2[index]))


def windows_of(trades: TradeStream | None, books: BookStream | None, cutoffs: Integers) -> Windows:
    """One coin's windows up to each cut-off; nothing later is read.

    Args:
        trades: its trades, ascending in time; None leaves their metrics unknown.
        books: its books, ascending in time; None leaves their metrics unknown.
        cutoffs: [cutoffs], milliseconds since 1970, in any order.
    """
    parts = np.split(cutoffs, range(_AT_ONCE, len(cutoffs), _AT_ONCE))
    return together([windows_of_grid(grid_of(trades, books, part, SPAN_SECONDS)) for part in parts])


def windows_of_grid(grid: Grid) -> Windows:
    """Windows up to the end of a grid of `SPAN_SECONDS`, one per row."""
    by_horizon = [_of_horizon(grid, horizon) for horizon in HORIZONS]
    values = np.stack([value for value, _ in by_horizon], axis=-1)
    n, mean, m2 = (np.stack(parts, axis=-1) for parts in zip(*(part for _, part in by_horizon), strict=True))
    return Windows(values, Moments(n.astype(np.int64), mean, m2))


def together(parts: list[Windows]) -> Windows:
    """Windows of several coins, one after the other."""
    n, mean, m2 = (np.concatenate(arrays) for arrays in zip(*(part.history for part in parts), strict=True))
    return Windows(np.concatenate([part.values for part in parts]), Moments(n.astype(np.int64), mean, m2))


def _of_horizon(grid: Grid, horizon: int) -> tuple[Floats, Moments]:
    """[rows, metrics] each."""
    windows = window_values(grid, bucket_count(horizon)).swapaxes(0, 1)
    return windows[..., -1], moments(windows[..., -1 - HISTORY_SECONDS // horizon : -1])
