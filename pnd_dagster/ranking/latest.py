"""The latest value of each metric and horizon and its history, renewed bucket by bucket for all instruments at once; arrays only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.market.book_metrics import Floats, Integers
from pnd_dagster.market.moments import Moments, merge, moments
from pnd_dagster.market.windows import (
    ADDED,
    EXTREMES,
    HORIZONS,
    METRICS,
    OF_SUMS,
    SUMS,
    Grid,
    added_up,
    bucket_count,
    carry,
    metrics_of_sums,
    ratio,
)
from pnd_dagster.ranking.sliding import LONGEST, SlidingTotals
from pnd_dagster.tables import BUCKET_SECONDS

_BUCKET = timedelta(seconds=BUCKET_SECONDS)
_SIZES = np.array([[bucket_count(horizon)] for horizon in HORIZONS])
_HOUR_SECONDS = 3600
Counts = NDArray[np.uint16]


class LatestWindows:
    """Latest windows of instruments and their history.

    Args:
        instrument_ids: [instruments], ascending.
        states: those of `STATES` that are kept; the values of the others stay unknown.
        bucket_end_at: end of the bucket that `fill` ends with.

    Attributes:
        instrument_ids: [instruments], ascending.
        bucket_end_at: end of the latest bucket.
    """

    def __init__(self, instrument_ids: Integers, states: tuple[str, ...], bucket_end_at: datetime) -> None:
        self.instrument_ids, self.bucket_end_at = instrument_ids, bucket_end_at
        count, self._states = len(instrument_ids), states
        kept = {*SUMS, *OF_SUMS, *states}
        self._kept = np.array([place for place, name in enumerate(METRICS) if name in kept])
        # Neighbours in memory are other instruments at one metric and horizon: all that is computed, is computed along them.
        self._values = np.full((len(METRICS), len(HORIZONS), count), np.nan)
        self._history = nothing((len(METRICS), len(HORIZONS), count))
        # Of each horizon what joins its history when the next window is complete: the window before.
        self._pending = [nothing((len(METRICS), count)) for _ in HORIZONS]
        self._sums = SlidingTotals(np.add, (len(ADDED) + len(states), count), np.float64)
        self._known = SlidingTotals(np.add, (len(states), count), np.uint16)
        self._extremes = SlidingTotals(np.fmax, (len(EXTREMES), count), np.float64)
        # Vwap of the last bucket that traded, NaN since a gap: before the first bucket of the last hour, and after each of them.
        self._vwaps = np.full((LONGEST + 1, count), np.nan)
        self._pushed = 0

    @property
    def values(self) -> Floats:
        """[instruments, `METRICS`, `HORIZONS`], metrics over the windows up to `bucket_end_at`; NaN without a value."""
        return self._values.transpose(2, 0, 1)

    @property
    def history(self) -> Moments:
        """Moments over earlier windows, the same shape."""
        return self._history.each(lambda part: part.transpose(2, 0, 1))

    @property
    def last_vwaps(self) -> Floats:
        """Vwap of the last bucket that traded, NaN where none is known since the last gap, [instruments]."""
        return self._vwaps[self._pushed % len(self._vwaps)]

    def update(self, grid: Grid) -> None:
        """Takes in the next buckets of all instruments; what was before them is known here, `grid.last_vwaps` is not read."""
        sums, known, extremes = self._channels(grid)
        count = grid.buckets["trade_count"]
        is_set = (count > 0) | np.isnan(count)
        vwaps = ratio(grid.buckets["quote_volume"], grid.buckets["volume"], count > 0)
        for place in range(len(sums)):
            self._sums.push(sums[place])
            self._known.push(known[place])
            self._extremes.push(extremes[place])
            before = self.last_vwaps
            self._pushed += 1
            np.copyto(self.last_vwaps, np.where(is_set[:, place], vwaps[:, place], before))
            self.bucket_end_at += _BUCKET
            self._renew(slice(None))
            self._extend_history()

    def fill(self, places: Integers, grid: Grid, *, with_history: bool) -> None:
        """Puts the hour up to `bucket_end_at` of some instruments in place of what is known of it.

        Args:
            places: theirs among the instruments.
            grid: LONGEST buckets of those.
            with_history: the windows since the last full hour become their history, in place of any.
        """
        of_sums, of_known, of_extremes = self._channels(grid)
        sums, known = self._sums.fill(places, of_sums), self._known.fill(places, of_known)
        extremes = self._extremes.fill(places, of_extremes)
        vwaps = _vwaps_around(grid)
        self._vwaps[np.ix_(np.arange(self._pushed - LONGEST, self._pushed + 1) % len(self._vwaps), places)] = vwaps
        self._renew(places)
        if not with_history:
            return
        passed = int(self.bucket_end_at.timestamp()) % _HOUR_SECONDS // BUCKET_SECONDS
        for horizon, (size,) in enumerate(_SIZES):
            # A window that ends with bucket k, the first being 1, is in row k - size; its first bucket comes after bucket k - size.
            rows = np.arange(LONGEST - passed, LONGEST - size + 1, size)
            if not len(rows):
                continue
            found = self._metrics(sums[horizon][rows], known[horizon][rows], extremes[horizon][rows], vwaps[rows], size)
            # Windows last, and next to each other in memory: moments are over them.
            by_window = np.ascontiguousarray(found[self._kept].swapaxes(1, 2))
            rows = np.ix_(self._kept, places)
            for whole, part in zip(self._history, moments(by_window[..., :-1]), strict=True):
                whole[:, horizon][rows] = part
            for whole, part in zip(self._pending[horizon], moments(by_window[..., -1:]), strict=True):
                whole[rows] = part

    def add_history(self, earlier: Moments, last_hour: Moments) -> None:
        """Adds what hourly rollups say, [instruments, `METRICS`, `HORIZONS`]; after `fill`.

        The last hour's join the history of a horizon when the latest window reaches into that hour no longer.

        Args:
            earlier: moments of the hours before the last full one.
            last_hour: moments of the last full hour.
        """
        passed = int(self.bucket_end_at.timestamp()) % _HOUR_SECONDS
        for place, seconds in enumerate(HORIZONS):
            whole, last = (rollups.each(lambda part, place=place: part[:, :, place].T) for rollups in (earlier, last_hour))
            self._join(place, whole)
            if passed < seconds:
                self._pending[place] = last
            else:
                self._join(place, last)

    def _extend_history(self) -> None:
        """At the end of a window that lies on the grid of its horizon, the one before joins the history."""
        now = int(self.bucket_end_at.timestamp())
        for place, seconds in enumerate(HORIZONS):
            if now % seconds == 0:
                self._join(place, self._pending[place])
                values = self._values[:, place]
                is_known = ~np.isnan(values)
                self._pending[place] = Moments(is_known.astype(np.int64), values.copy(), np.where(is_known, 0.0, np.nan))

    def _join(self, horizon: int, part: Moments) -> None:
        """Pools the history of a horizon with more of it, [METRICS, instruments]."""
        wholes = [whole[:, horizon] for whole in self._history]
        both: Any = [np.stack((whole[self._kept], more[self._kept])) for whole, more in zip(wholes, part, strict=True)]
        for whole, pooled in zip(wholes, merge(Moments(*both)), strict=True):
            whole[self._kept] = pooled

    def _renew(self, places: Integers | slice) -> None:
        """Forms the latest values of sums and extremes."""
        before = self._vwaps[(self._pushed - _SIZES[:, 0]) % len(self._vwaps)]
        sums, known, extremes = self._sums.totals[:, :, places], self._known.totals[:, :, places], self._extremes.totals[:, :, places]
        self._values[:, :, places] = self._metrics(sums, known, extremes, before[:, places], _SIZES)

    def _metrics(self, sums: Floats, known: Counts, extremes: Floats, vwaps_before: Floats, sizes: Integers | int) -> Floats:
        """`METRICS` of windows, [METRICS, windows, instruments], of totals [windows, channels, instruments]."""
        flows = {name: sums[:, place] for place, name in enumerate(ADDED)}
        formed = metrics_of_sums(flows, extremes[:, 0], -extremes[:, 1], vwaps_before)
        for place, name in enumerate(self._states):
            count = known[:, place]
            formed[name] = ratio(sums[:, len(ADDED) + place], count.astype(np.float64), 2 * count >= sizes)
        unknown = np.full(vwaps_before.shape, np.nan)
        return np.stack([formed.get(name, unknown) for name in METRICS])

    def _channels(self, grid: Grid) -> tuple[Floats, Counts, Floats]:
        """What is added up, which states are known, and what the highest is taken of, [buckets, channels, instruments] each."""
        states = _together(grid.buckets, self._states)
        is_known = ~np.isnan(states)
        sums = np.concatenate((_together(added_up(grid.buckets), ADDED), np.where(is_known, states, 0.0)), axis=1)
        extremes = _together(grid.buckets, EXTREMES)
        extremes[:, 1] *= -1
        return sums, is_known.astype(np.uint16), extremes


def _together(values: Mapping[str, Floats], names: tuple[str, ...]) -> Floats:
    if not names:
        count, buckets = values["trade_count"].shape
        return np.zeros((buckets, 0, count))
    return np.stack([values[name].T for name in names], axis=1)


def _vwaps_around(grid: Grid) -> Floats:
    """Vwap of the last bucket that traded, NaN since a gap: before the first bucket and after each, [buckets + 1, instruments]."""
    count = grid.buckets["trade_count"]
    vwaps = ratio(grid.buckets["quote_volume"], grid.buckets["volume"], count > 0)
    # One bucket more, before which stands what was after the last.
    more = np.zeros((len(count), 1))
    is_set = np.concatenate(((count > 0) | np.isnan(count), more.astype(np.bool_)), axis=1)
    return carry(np.concatenate((vwaps, more), axis=1), is_set, grid.last_vwaps).T


def nothing(shape: tuple[int, ...]) -> Moments:
    """Moments of which nothing was counted."""
    return Moments(np.zeros(shape, np.int64), np.full(shape, np.nan), np.full(shape, np.nan))
