"""When the market itself began to pump: announcements are rounded, late, and sometimes nobody comes."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from pnd_dagster.backtest.grids import TradeStream

SEARCH = timedelta(minutes=10)
"""The onset is looked for so long before and after the announced start."""

_MINUTE_MS = 60_000
_QUIET_MINUTES = 120


def market_onset(trades: TradeStream, announced_at: int) -> int | None:
    """The first trade of the first minute in which more was traded than in any minute of the 2 h before; None if there is none.

    It looks at what came after the start, so it is for measuring only.

    Args:
        trades: the coin's trades.
        announced_at: milliseconds since 1970; a minute begins then.
    """
    reach = round(SEARCH / timedelta(minutes=1))
    start = announced_at - (reach + _QUIET_MINUTES) * _MINUTE_MS
    minutes = (trades.times - start) // _MINUTE_MS
    count = _QUIET_MINUTES + 2 * reach
    is_near = (minutes >= 0) & (minutes < count)
    volumes = np.bincount(minutes[is_near], (trades.prices * trades.quantities)[is_near], minlength=count)
    quietest = np.lib.stride_tricks.sliding_window_view(volumes, _QUIET_MINUTES).max(axis=1)[:-1]
    bursts = np.flatnonzero(volumes[_QUIET_MINUTES:] > quietest)
    if not len(bursts):
        return None
    first = start + (int(bursts[0]) + _QUIET_MINUTES) * _MINUTE_MS
    return int(trades.times[np.searchsorted(trades.times, first)])
