"""What is known of a whole from its sample."""

from __future__ import annotations

import math

import polars as pl

LEAST = 6
"""Of fewer values no two are 95% sure to have the median between them."""


def median_of(values: pl.Series) -> tuple[float | None, float | None, float | None, int]:
    """Median, both ends of its 95% interval (order statistics, normal approximation to the sign test) and n, of what is known.

    The ends are None for fewer than `LEAST` values.
    """
    known = values.cast(pl.Float64).drop_nulls().drop_nans().sort()
    n = known.len()
    if not n:
        return None, None, None, 0
    if n < LEAST:
        return float(known.median()), None, None, n  # pyright: ignore[reportArgumentType]
    below = max(0, math.floor((n - 1.96 * math.sqrt(n)) / 2))
    return float(known.median()), float(known[below]), float(known[n - 1 - below]), n  # pyright: ignore[reportArgumentType]


def share_of(count: int, n: int) -> tuple[float | None, float | None, float | None]:
    """count / n and both ends of its 95% interval (Wilson); nothing for n = 0."""
    if not n:
        return None, None, None
    share, z2 = count / n, 1.96**2
    middle, half = share + z2 / (2 * n), 1.96 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return share, (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
