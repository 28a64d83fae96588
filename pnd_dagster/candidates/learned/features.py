"""Features of the series by tsfresh, and the ones that the paper kept (Table X)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pnd_dagster.candidates.learned.series import GROUP_OF, Floats
from pnd_dagster.errors import SettingError

TSFRESH_LEFT_OUT = frozenset(
    {
        # slow, 1 to 34 ms a series
        *("change_quantiles", "max_langevin_fixed_point", "friedrich_coefficients", "agg_linear_trend", "augmented_dickey_fuller"),
        *("fourier_entropy", "ar_coefficient", "number_cwt_peaks"),
        # wide grids for series longer than 30 bars
        *("cwt_coefficients", "fft_coefficient", "large_standard_deviation", "symmetry_looking", "permutation_entropy"),
        # of counts of equal values, indexes of time, or another series
        *("linear_trend_timewise", "value_count", "range_count", "count_above", "count_below", "query_similarity_count", "length"),
        *("benford_correlation", "sum_of_reoccurring_values", "sum_of_reoccurring_data_points", "has_duplicate", "number_crossing_m"),
    }
)
"""What of tsfresh's EfficientFCParameters is not computed."""


class Kept(NamedTuple):
    """A row of the paper's Table X: its words, the feature here, and the models that have it."""

    words: str
    feature: str
    models: tuple[int, ...]


TABLE_X = (
    Kept("Close Price (Max)", "close__maximum", (0, 1, 2, 3)),
    Kept("Close Price (Min)", "close__minimum", (0, 1, 2, 3)),
    Kept("Market Cap (Median)", "market_cap__median", (0, 1, 2, 3)),
    Kept("Market Cap (Std. Dev.)", "market_cap__standard_deviation", (0, 1, 2, 3)),
    Kept("Market Cap (Max)", "market_cap__maximum", (0, 1, 2, 3)),
    Kept("Market Cap (Min)", "market_cap__minimum", (0, 1, 2, 3)),
    Kept("Trading Vol. (Max)", "volume__maximum", (1,)),
    Kept("Close Price (Sum)", "close__sum_values", (1,)),
    Kept("Close Price (RMS)", "close__root_mean_square", (1, 2)),
    Kept("Market Cap (Sum)", "market_cap__sum_values", (1, 2, 3)),
    Kept("Market Cap (Variance)", "market_cap__variance", (1,)),
    Kept("Close Price Change (RMS)", "close_change__root_mean_square", (1, 2)),
    Kept("User Interactions (Min)", "interactions__minimum", (2, 3)),
    Kept("High Interaction Points (Sum)", "high_interactions__sum_values", (2,)),
    Kept("Sentiment Score (Sum)", "sentiment__sum_values", (2, 3)),
    Kept("Sentiment Score (RMS)", "sentiment__root_mean_square", (2,)),
    Kept("Sentiment Score (Max)", "sentiment__maximum", (2, 3)),
    Kept("Sentiment Score (Min)", "sentiment__minimum", (2, 3)),
    Kept("High Sentiment Points (Sum)", "high_sentiment__sum_values", (2,)),
    Kept("Posts Created (Sum)", "posts_created__sum_values", (2,)),
    Kept("Posts Created (Min)", "posts_created__minimum", (2, 3)),
    Kept("Social Dominance (Sum)", "social_dominance__sum_values", (2, 3)),
    Kept("High Social Dominance (Sum)", "high_social_dominance__sum_values", (2, 3)),
    Kept("Interaction-to-Market Cap Ratio (Min)", "interactions_to_market_cap__minimum", (2, 3)),
    Kept("Close Price Spectral Entropy (Sum)", "close_spectral_entropy__sum_values", (3,)),
    Kept("Close Price Spectral Entropy (Median)", "close_spectral_entropy__median", (3,)),
    Kept("Close Price RMS (Sum)", "close_rms__sum_values", (3,)),
    Kept("Close Price RMS (Median)", "close_rms__median", (3,)),
    Kept("Close Price Hurst Exponent (Sum)", "close_hurst__sum_values", (3,)),
)
"""Table X. Which model a mark belongs to is certain where there are four; else it follows from the model's name: prices alone are of model
1, social ones of 2 and 3, geometric ones of 3, single marks of the first model that may have them."""


def require_training() -> None:
    """Raises SettingError where XGBoost or tsfresh is not installed."""
    if missing := [name for name in ("xgboost", "tsfresh") if find_spec(name) is None]:
        raise SettingError(f"the learned filter needs {' and '.join(missing)}: `pip install 'pnd-dagster[train]'`")


def calculators() -> dict[str, Any]:
    """tsfresh's EfficientFCParameters without `TSFRESH_LEFT_OUT`, and linear trends without their p-values."""
    from tsfresh.feature_extraction import EfficientFCParameters

    return {name: parameters for name, parameters in EfficientFCParameters().items() if name not in TSFRESH_LEFT_OUT}


def table_x_calculators() -> dict[str, Any]:
    """Only what Table X is made of: sums, extremes, medians, deviations, root mean squares; a hundredth of the time."""
    return {row.feature.partition("__")[2]: None for row in TABLE_X}


def extract(series: list[str], windows: Floats, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Features of each series of each sample, as `series__feature`; NaN where one is not defined, columns of nothing else left out.

    Args:
        series: names of the series.
        windows: [samples, series, bars], NaN where there is no bar.
        parameters: tsfresh's; None means `calculators`.

    Raises:
        SettingError: tsfresh is not installed.
    """
    require_training()
    if not windows.size:
        return pl.DataFrame()
    import warnings

    import pandas as pd
    from tsfresh import extract_features

    parameters = calculators() if parameters is None else dict(parameters)
    count, _, bars = windows.shape
    frames: list[pl.DataFrame] = []
    for place, name in enumerate(series):
        values = windows[:, place].ravel()
        is_there = np.isfinite(values)
        samples, times = np.repeat(np.arange(count), bars), np.tile(np.arange(bars), count)
        if not is_there.any():
            continue
        long = pd.DataFrame({"sample": samples[is_there], "bar": times[is_there], name: values[is_there]})
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            made: Any = extract_features(
                long, column_id="sample", column_sort="bar", default_fc_parameters=parameters, n_jobs=0, disable_progressbar=True
            )
        table = made.reindex(range(count)).astype(float)
        frames.append(pl.DataFrame({str(column): table[column].to_numpy() for column in table.columns}))
    wide = pl.concat(frames, how="horizontal") if frames else pl.DataFrame()
    cleaned = wide.with_columns(pl.when(pl.all().is_finite()).then(pl.all()))
    return cleaned.select(column.name for column in cleaned if column.null_count() < count).fill_null(float("nan"))


def group_of(feature: str) -> str:
    """Group of the series that a feature is made of: price, cap, social or geometric."""
    return GROUP_OF[feature.partition("__")[0]]
