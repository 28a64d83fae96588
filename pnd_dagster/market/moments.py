"""Number, mean and sum of squared distances from it (M2): statistics that can be pooled without loss.

Never as sums of squares: at a price of 60,000 their difference has lost most of its digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pnd_dagster.market.book_metrics import Floats, Integers


class Moments(NamedTuple):
    """Moments, arrays of one shape; mean and M2 are NaN where nothing was counted."""

    n: Integers
    mean: Floats
    m2: Floats

    def each(self, change: Callable[[Any], Any]) -> Moments:
        """The same change made to each of the arrays, e.g. a selection."""
        return Moments(change(self.n), change(self.mean), change(self.m2))


def moments(values: Floats) -> Moments:
    """Moments over the last axis of what is not NaN, in two passes."""
    is_known = ~np.isnan(values)
    n = is_known.sum(axis=-1)
    known = np.where(is_known, values, 0.0)
    mean = _mean(known.sum(axis=-1), n)
    distances = np.where(is_known, known - mean[..., None], 0.0)
    return Moments(n, mean, np.where(n > 0, np.square(distances).sum(axis=-1), np.nan))


def merge(parts: Moments) -> Moments:
    """Pools moments over their first axis (Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance")."""
    n = parts.n.sum(axis=0)
    is_known = parts.n > 0
    means = np.where(is_known, parts.mean, 0.0)
    mean = _mean((parts.n * means).sum(axis=0), n)
    between = (parts.n * np.square(np.where(is_known, means - mean, 0.0))).sum(axis=0)
    within = np.where(is_known, parts.m2, 0.0).sum(axis=0)
    return Moments(n, mean, np.where(n > 0, within + between, np.nan))


def _mean(total: Floats, n: Integers) -> Floats:
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)
