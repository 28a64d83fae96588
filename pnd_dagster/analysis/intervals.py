"""95% intervals of the analyses: of shares (Wilson), and of figures over events (bootstrap)."""

from __future__ import annotations

import numpy as np

from pnd_dagster.backtest.detection import wilson
from pnd_dagster.backtest.figures import interval
from pnd_dagster.market.book_metrics import Floats

SEED = 0
RESAMPLES = 2_000


def of_share(count: int, n: int) -> tuple[float | None, float | None]:
    """Of count / n; nothing for n = 0."""
    return wilson(count, n) if n else (None, None)


def of_mean(values: Floats) -> tuple[float | None, float | None]:
    """Of the mean; nothing for fewer than two values."""
    return interval(values, SEED) if len(values) > 1 else (None, None)


def of_median(values: Floats) -> tuple[float | None, float | None]:
    """Of the median; nothing for fewer than two values."""
    return _ends(np.median(_resampled(values), axis=1)) if len(values) > 1 else (None, None)


def of_ratio_of_means(above: Floats, below: Floats) -> tuple[float | None, float | None]:
    """Of mean(above) / mean(below), pairs drawn together; nothing for fewer than two pairs or a mean of 0 below in a sample."""
    if len(above) < 2:
        return None, None
    picks = _picks(len(above))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _ends(above[picks].mean(axis=1) / below[picks].mean(axis=1))


def _resampled(values: Floats) -> Floats:
    return values[_picks(len(values))]


def _picks(n: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.random.default_rng(SEED).integers(0, n, (RESAMPLES, n))


def _ends(drawn: Floats) -> tuple[float | None, float | None]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return (float(low), float(high)) if np.isfinite([low, high]).all() else (None, None)
