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
    distance, floor = values - history.mean, RELATIVE_FLOOR * np.abs(history.mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = history.m2 / (history.n - 1)
        np.sqrt(sigma, out=sigma)
        np.maximum(sigma, floor, out=sigma)
        z = np.divide(distance, sigma, out=sigma)
    np.copyto(z, 0.0, where=np.abs(distance, out=distance) <= floor)
    np.copyto(z, np.nan, where=history.n < MIN_WINDOWS)
    return z
