"""Pumps seen on the market after their start, announced or not: takers buy, trades come and the price jumps, all at once.

After La Morgia et al. 2020 ("Pump and Dumps in the Bitcoin Era"), who watch rush orders, trades and prices in short chunks against moving
windows of hours. The rows of a bucket hold no single orders, so what takers bought stands for rush orders. A window is a minute, as in
core.metric_rollups, from which the baselines are loaded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pnd_dagster.market.book_metrics import Booleans, Floats
from pnd_dagster.tables import BUCKET_SECONDS

WINDOW_SECONDS = 60
SIZE = WINDOW_SECONDS // BUCKET_SECONDS
LEAST_WINDOWS = 360
"""A coin that was watched for less than six hours has no baseline and raises nothing."""

MEMORY_WINDOWS = 3 * 24 * 60
"""Baselines forget: no window counts for more than if three days of them were kept."""

HIGHEST_Z = 1000.0
_CLIP = 10.0


class Thresholds(NamedTuple):
    """From where on the signs are those of a pump; all must be reached."""

    volume_z: float
    trades_z: float
    price_change: float
    trades: int


THRESHOLDS = Thresholds(volume_z=30.0, trades_z=30.0, price_change=0.05, trades=10)
"""Chosen on the pumps of every other coin of 32 on Binance, see `pnd_dagster.backtest.detection`."""


class Signs(NamedTuple):
    """What the last minute shows, [instruments] each, NaN where unknown.

    Attributes:
        volume_z: of what takers bought.
        trades_z: of the number of trades.
        price_change: vwap over that of the last bucket before the minute that traded, minus 1.
        trades: number of trades.
    """

    volume_z: Floats
    trades_z: Floats
    price_change: Floats
    trades: Floats


class Bucket(NamedTuple):
    """One bucket of several instruments, [instruments] each. Without trades counts are 0 and the value is 0; out of sight all are NaN."""

    trade_count: Floats
    taker_buy_volume: Floats
    volume: Floats
    quote_volume: Floats


class Baseline(NamedTuple):
    """Number, mean and M2 of what takers bought and of the trades in earlier minutes, [2, instruments] each."""

    n: Floats
    mean: Floats
    m2: Floats


class Detector:
    """What the signs need to be carried from bucket to bucket, for several instruments at once.

    Args:
        baseline: what is known of earlier minutes.
        last_vwaps: [instruments], vwap of the last bucket that traded, NaN where unknown.
        place: how many buckets of the current minute are over; minutes lie end to end from there.
    """

    def __init__(self, baseline: Baseline, last_vwaps: Floats, place: int = 0) -> None:
        count = len(last_vwaps)
        self.baseline = Baseline(*(array.astype(np.float64) for array in baseline))
        self._sigma = _sigma(self.baseline)
        # The last minute's buckets and the prices before each of them, written over in turn.
        self._buckets = np.full((SIZE, len(Bucket._fields), count), np.nan)
        self._vwaps_before = np.tile(last_vwaps, (SIZE, 1))
        self._vwap = last_vwaps
        self._ended: Floats = np.full((2, count), np.nan)
        self._place = place

    def update(self, bucket: Bucket) -> Signs:
        """Takes in the next bucket; the signs at its end."""
        self._buckets[self._place] = bucket
        self._vwaps_before[self._place] = self._vwap
        # What was before a gap is not what a price can be held against.
        self._vwap = np.where(bucket.trade_count == 0, self._vwap, _price(bucket.quote_volume, bucket.volume))
        self._place = (self._place + 1) % SIZE
        trades, bought, volume, value = self._buckets.sum(axis=0)
        now = np.stack((bought, trades))
        distance = now - self.baseline.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.clip(np.where((distance == 0) & ~np.isnan(self._sigma), 0.0, distance / self._sigma), -HIGHEST_Z, HIGHEST_Z)
        if self._place == 0:
            # A minute joins when the next one is over, so that none is compared with itself.
            self._learn(self._ended)
            self._ended = now
        return Signs(z[0], z[1], _price(value, volume) / self._vwaps_before[self._place] - 1, trades)

    def _learn(self, values: Floats) -> None:
        """A minute joins the baseline, where it is known: one far out counts as ten deviations out, or a pump would hide the next."""
        n, mean, m2 = self.baseline
        values = np.where(self._sigma > 0, np.minimum(values, mean + _CLIP * self._sigma), values)
        is_known = ~np.isnan(values)
        more = n + is_known
        distance = np.where(is_known, values - mean, 0.0)
        mean = mean + distance / np.maximum(more, 1)
        m2 = m2 + distance * np.where(is_known, values - mean, 0.0)
        kept = np.minimum(1.0, MEMORY_WINDOWS / np.maximum(more, 1))
        self.baseline = Baseline(more * kept, mean, m2 * kept)
        self._sigma = _sigma(self.baseline)


def _sigma(baseline: Baseline) -> Floats:
    return np.sqrt(np.divide(baseline.m2, baseline.n - 1, out=np.full_like(baseline.m2, np.nan), where=baseline.n >= LEAST_WINDOWS))


def _price(value: Floats, volume: Floats) -> Floats:
    return np.divide(value, volume, out=np.full_like(volume, np.nan), where=volume > 0)


def no_baseline(count: int) -> Baseline:
    """The baseline of instruments of which nothing is known."""
    return Baseline(*np.zeros((3, 2, count)))


def is_pump(signs: Signs, thresholds: Thresholds = THRESHOLDS) -> Booleans:
    """Where all signs are those of a pump, any shape; unknown signs are none."""
    reached = (np.nan_to_num(sign, nan=-np.inf) >= threshold for sign, threshold in zip(signs, thresholds, strict=True))
    return np.logical_and.reduce(list(reached))


def in_words(volume_z: float, trades_z: float, price_change: float) -> str:
    """What stood out, in a line."""
    return (
        f"within a minute takers bought {volume_z:.0f} and trades came {trades_z:.0f} standard deviations above the last days, "
        f"and the price rose by {100 * price_change:.1f}%"
    )
