"""The 27 series of a coin before a pump (paper, appendix C-A): which they are, and how they are made comparable.

The paper counts 27 and does not name them; these are what its Table X mentions and what the platform's vendors give. Belongs here:
arrays of one window of all coins. Does not belong here: which coins and windows (`samples`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OBSERVED = {
    "price": ("open", "high", "low", "close", "volume", "quote_volume"),
    "cap": ("market_cap",),
    "social": (
        *("interactions", "likes", "shares", "posts_created", "posts_active", "contributors"),
        *("sentiment", "social_dominance", "galaxy_score", "alt_rank"),
    ),
}
DERIVED = {
    "price": ("close_change", "high_low_range"),
    "cap": ("turnover",),
    "social": ("high_interactions", "high_sentiment", "high_social_dominance", "interactions_to_market_cap"),
    "geometric": ("close_rms", "close_spectral_entropy", "close_hurst"),
}
GROUP_OF = {name: group for table in (OBSERVED, DERIVED) for group, names in table.items() for name in names}
SERIES = tuple(GROUP_OF)
"""Names of the 27 series."""

RMS_BARS = 7
ENTROPY_BARS = 10
HURST_BARS = 15
_HURST_LAGS = (1, 2, 3, 4)
_ROUNDING = 1e-12
"""Spreads of log changes below this are rounding."""


class Form(StrEnum):
    """How a series enters the features: the paper's text differences every one, its Table X speaks of prices and capitalisations."""

    CHANGES = "changes"
    LEVELS = "levels"


def comparable(observed: Mapping[str, Floats], divisors: Mapping[str, Floats], form: Form) -> dict[str, Floats]:
    """The series that can be made of what was observed in one window, of all coins: divided by Bitcoin's, scaled to 0..1 across the coins.

    A missing bar is that before it; the bars before a coin's first one stay NaN. Only the window itself is read, so that nothing after it
    and no other window has a part in the scale. Series that are made of others (changes, ratios, the geometric ones) are made of those
    divided by Bitcoin's and are not divided again: its change crosses zero.

    Args:
        observed: series of `OBSERVED` -> [coins, bars], NaN where nothing was seen.
        divisors: series -> [bars], Bitcoin's values, see `divisors`.
        form: differenced or not.

    Returns:
        series -> [coins, bars - 1 or bars, by form]; a series that is everywhere the same is 0.
    """
    carried = {name: _carried(values) for name, values in observed.items()}
    relative = {name: values / divisors[name] for name, values in carried.items()}
    made = _derived(relative)
    if form is Form.CHANGES:
        series = {name: np.diff(values) / divisors[name][1:] for name, values in carried.items()}
        series |= {name: np.diff(values) for name, values in made.items()}
    else:
        series = relative | made
    return {name: _scaled(series[name]) for name in SERIES if name in series}


def _derived(relative: Mapping[str, Floats]) -> dict[str, Floats]:
    made: dict[str, Floats] = {}
    if "close" in relative:
        close = relative["close"]
        made["close_change"] = np.concatenate((np.full_like(close[:, :1], np.nan), close[:, 1:] / _positive(close[:, :-1]) - 1), axis=1)
        made["close_rms"] = _rolling(close, RMS_BARS, lambda part: np.sqrt(np.mean(part**2, axis=-1)))
        made["close_spectral_entropy"] = _rolling(close, ENTROPY_BARS, spectral_entropy)
        made["close_hurst"] = _rolling(close, HURST_BARS, hurst_exponent)
    for name, above, below in (
        ("high_low_range", "high", "low"),
        ("turnover", "quote_volume", "market_cap"),
        ("interactions_to_market_cap", "interactions", "market_cap"),
    ):
        if above in relative and below in relative:
            made[name] = relative[above] / _positive(relative[below])
    for name in ("interactions", "sentiment", "social_dominance"):
        if name in relative:
            made[f"high_{name}"] = high_points(relative[name])
    return made


def divisors(observed: Mapping[str, Floats], reference: int | None) -> dict[str, Floats]:
    """Bitcoin's values of each series, [bars], NaN where they are not positive.

    Args:
        observed: series -> [coins, bars].
        reference: place of Bitcoin among the coins; where it is None, or has no value of a series, the median of the coins stands for it.
    """
    levels: dict[str, Floats] = {}
    for name, values in observed.items():
        carried = _carried(values)
        if reference is not None and np.isfinite(carried[reference]).any():
            levels[name] = _positive(carried[reference])
        else:
            has_any = np.isfinite(carried).any(axis=0)
            level = np.full(carried.shape[1], np.nan)
            level[has_any] = np.nanmedian(carried[:, has_any], axis=0)
            levels[name] = _positive(level)
    return levels


def high_points(values: Floats) -> Floats:
    """Values above their own mean up to and with that bar, others as 0. Shape [coins, bars]."""
    seen = np.isfinite(values)
    mean = np.cumsum(np.where(seen, values, 0.0), axis=1) / np.maximum(np.cumsum(seen, axis=1), 1)
    return np.where(seen, np.where(values > mean, values, 0.0), np.nan)


def spectral_entropy(values: Floats) -> Floats:
    """Entropy of the power spectrum over the last axis, its mean taken out, 0 (one frequency) to 1 (white); NaN where nothing moves."""
    power = np.abs(np.fft.rfft(values - values.mean(axis=-1, keepdims=True), axis=-1)[..., 1:]) ** 2
    share = power / _positive(power.sum(axis=-1, keepdims=True))
    return -np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=-1) / np.log(power.shape[-1])


def hurst_exponent(values: Floats) -> Floats:
    """Hurst exponent over the last axis: how the spread of the log's changes grows with their lag (slope over lags 1 to 4, log-log).

    0.5 where the logs are a random walk, 0 where they are white noise, more than 0.5 where changes go on; of 15 bars it is rough. NaN where
    the changes do not differ.
    """
    logs = np.log(_positive(values))
    spreads = np.stack([np.std(logs[..., lag:] - logs[..., :-lag], axis=-1) for lag in _HURST_LAGS], axis=-1)
    lags = np.log(_HURST_LAGS) - np.mean(np.log(_HURST_LAGS))
    return np.log(np.where(spreads > _ROUNDING, spreads, np.nan)) @ lags / (lags @ lags)


def _rolling(values: Floats, bars: int, measure: Callable[[Floats], Floats]) -> Floats:
    """`measure` of the last `bars` bars, NaN before there are as many."""
    result = np.full_like(values, np.nan)
    if values.shape[1] >= bars:
        result[:, bars - 1 :] = measure(sliding_window_view(values, bars, axis=1))
    return result


def _carried(values: Floats) -> Floats:
    """Each missing or infinite bar as the one before it."""
    seen = np.where(np.isfinite(values), values, np.nan)
    place = np.where(np.isfinite(values), np.arange(values.shape[1]), 0)
    return np.take_along_axis(seen, np.maximum.accumulate(place, axis=1), axis=1)


def _scaled(values: Floats) -> Floats:
    finite = np.where(np.isfinite(values), values, np.nan)
    if not np.isfinite(finite).any():
        return finite
    low, high = np.nanmin(finite), np.nanmax(finite)
    return (finite - low) / (high - low) if high > low else np.where(np.isfinite(finite), 0.0, np.nan)


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)
