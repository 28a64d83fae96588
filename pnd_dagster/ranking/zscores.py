"""How far a window lies from its own history."""

from __future__ import annotations

import numpy as np

from pnd_dagster.market.book_metrics import Floats
from pnd_dagster.market.moments import Moments

MIN_WINDOWS = 20
"""With fewer windows of history a horizon has no z."""

RELATIVE_FLOOR = 1e-6
"""Sigma is at least so much of the mean: rounding is no deviation."""


def z_scores(values: Floats, history: Moments) -> Floats:
    """z = (x - mu) / sigma, with the sample's sigma; NaN where x is unknown or history has fewer than `MIN_WINDOWS` windows.

    Where history never moved, any x beyond the floor is further than anything else: rules clip it.

    Args:
        values: metrics over the windows up to now, any shape.
        history: moments of the same metrics over earlier windows of the same length, the same shape.
    """
    is_known = (history.n >= MIN_WINDOWS) & ~np.isnan(values)
    sigma = np.sqrt(np.divide(history.m2, history.n - 1, out=np.full(values.shape, np.nan), where=is_known))
    distance = values - history.mean
    floor = RELATIVE_FLOOR * np.abs(history.mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = distance / np.maximum(sigma, floor)
    z = np.where(np.abs(distance) <= floor, 0.0, z)
    return np.where(is_known, z, np.nan)
