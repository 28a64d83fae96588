"""Totals over the last 20 s, 60 s, ... 3,600 s of a stream of buckets, renewed with every bucket.

Windows nest: the last 300 s are the last five windows of 60 s that lie end to end. So a total is a few totals of the next shorter
windows, each of them kept since its end, and nothing is ever subtracted: errors do not accumulate, and NaN leaves with its bucket.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.market.book_metrics import Integers
from pnd_dagster.market.windows import HORIZONS, bucket_count

Number = TypeVar("Number", np.float64, np.uint16)
# A window of SIZES[k + 1] buckets is made of windows of SIZES[k] buckets.
SIZES = (1, *(bucket_count(horizon) for horizon in HORIZONS))
LONGEST = SIZES[-1]
# Of these lengths each end back to the first part of the next longer window is kept: 724 rows in all for an hour of 720 buckets.
_KEPT = tuple(longer - shorter + 1 for shorter, longer in pairwise(SIZES))


class SlidingTotals(Generic[Number]):
    """Totals of several channels of several instruments over the windows that end with the latest bucket.

    Args:
        combine: what makes one total of two, e.g. `np.add` or `np.fmax`; associative.
        shape: (channels, instruments).
        dtype: of a bucket's values and of totals.

    Attributes:
        totals: [horizons, channels, instruments]; all zero until an hour was filled in or pushed.
    """

    def __init__(self, combine: np.ufunc, shape: tuple[int, int], dtype: type[Number]) -> None:
        self._combine = combine
        self._rings = [np.zeros((kept, *shape), dtype) for kept in _KEPT]
        self._pushed = 0
        self.totals = np.zeros((len(HORIZONS), *shape), dtype)

    def push(self, bucket: NDArray[Number]) -> None:
        """Takes in the next bucket, [channels, instruments]."""
        total = bucket
        for ring, step, into in zip(self._rings, SIZES[:-1], self.totals, strict=True):
            kept = len(ring)
            ring[self._pushed % kept] = total
            # The oldest part first, as a sum over the buckets would have it.
            np.copyto(into, ring[(self._pushed + 1) % kept])
            for back in range(kept - 1 - step, -1, -step):
                self._combine(into, ring[(self._pushed - back) % kept], out=into)
            total = into
        self._pushed += 1

    def fill(self, instruments: Integers, buckets: NDArray[Number]) -> list[NDArray[Number]]:
        """Puts the last hour of some instruments in place of theirs.

        Args:
            instruments: their places.
            buckets: [LONGEST, channels, those instruments], in order of time.

        Returns:
            Totals of every window within that hour, per horizon [ends, channels, those instruments], the earliest first.
        """
        by_horizon: list[NDArray[Number]] = []
        totals = buckets
        for ring, step, latest in zip(self._rings, SIZES[:-1], self.totals, strict=True):
            kept = len(ring)
            for end in range(1, kept + 1):
                ring[(self._pushed - end) % kept][:, instruments] = totals[-end]
            count = len(totals) - kept + 1
            longer = self._combine(totals[:count], totals[step : step + count])
            for later in range(2 * step, kept, step):
                self._combine(longer, totals[later : later + count], out=longer)
            totals = longer
            latest[:, instruments] = totals[-1]
            by_horizon.append(totals)
        return by_horizon
