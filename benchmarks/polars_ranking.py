"""The peer of `ranking`: the same ranking by one lazy Polars scan of three days of 5 s rows, as an analyst would write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from pnd_dagster.market.windows import bucket_count
from pnd_dagster.ranking.rules import DEFAULT
from pnd_dagster.ranking.zscores import MIN_WINDOWS

BUCKETS = 3 * 24 * 720
SUMS = ("trade_count", "volume", "quote_volume", "taker_buy_volume", "taker_sell_volume", "best_level_flow")
STATES = ("order_book_pressure", "value_imbalance", "average_order_value")


def write_history(path: Path, coins: int) -> None:
    """Made-up buckets of three days, sorted by coin and time, in single precision as they are stored."""
    generator = np.random.default_rng(0)
    rows = coins * BUCKETS
    has_traded = generator.random(rows) < 0.15
    columns = {name: np.where(has_traded, generator.lognormal(size=rows), 0.0) for name in SUMS}
    price = generator.lognormal(size=rows)
    columns |= {"high_price": np.where(has_traded, 1.1 * price, np.nan), "low_price": np.where(has_traded, price, np.nan)}
    columns |= {name: generator.normal(size=rows) for name in STATES}
    keys = {"instrument_id": np.repeat(np.arange(coins), BUCKETS), "bucket": np.tile(np.arange(BUCKETS), coins)}
    single = pl.DataFrame(columns).fill_nan(None).cast(pl.Float32)
    pl.DataFrame(keys).hstack(single).write_parquet(path)


def rank_by_scan(path: Path) -> pl.DataFrame:
    """instrument_id and score by rule DEFAULT, the highest first: windows of each horizon, the latest against all before."""
    scans = [_z_of_horizon(pl.scan_parquet(path), horizon) for horizon in DEFAULT.horizons]
    together = scans[0]
    for scan in scans[1:]:
        together = together.join(scan, on="instrument_id")
    columns = [f"{metric}_{horizon}" for metric in DEFAULT.metrics for horizon in DEFAULT.horizons]
    mean = pl.mean_horizontal(pl.col(columns).fill_nan(None).clip(0.0, DEFAULT.clip) ** DEFAULT.exponent)
    ranked = together.select("instrument_id", score=(mean - mean.mean()) / mean.std(ddof=0)).sort("score", descending=True)
    return ranked.collect()


def _z_of_horizon(rows: pl.LazyFrame, horizon: int) -> pl.LazyFrame:
    windows = (
        rows.group_by("instrument_id", pl.col("bucket") // bucket_count(horizon))
        .agg(
            *(pl.col(name).sum() for name in SUMS),
            *(pl.col(name).mean() for name in STATES),
            pl.col("high_price").max(),
            pl.col("low_price").min(),
            active_buckets=(pl.col("trade_count") > 0).sum(),
            last_vwap=(pl.col("quote_volume") / pl.col("volume")).filter(pl.col("trade_count") > 0).last(),
        )
        .sort("instrument_id", "bucket")
        .with_columns(
            average_trade_size=pl.col("volume") / pl.col("trade_count"),
            taker_net_volume=pl.col("taker_buy_volume") - pl.col("taker_sell_volume"),
            high_low_spread=pl.col("high_price") - pl.col("low_price"),
            vwap=(pl.col("quote_volume") / pl.col("volume")).clip(pl.col("low_price"), pl.col("high_price")),
        )
        .with_columns(vwap_log_return=(pl.col("vwap") / pl.col("last_vwap").forward_fill().shift(1).over("instrument_id")).log())
        .with_columns(pl.col(DEFAULT.metrics).fill_nan(None))
    )
    latest = pl.col("bucket") == pl.col("bucket").max()

    def z(metric: str) -> pl.Expr:
        before = pl.col(metric).filter(~latest)
        score = (pl.col(metric).filter(latest).first() - before.mean()) / before.std()
        return pl.when(before.count() >= MIN_WINDOWS).then(score).alias(f"{metric}_{horizon}")

    return windows.group_by("instrument_id").agg(*(z(metric) for metric in DEFAULT.metrics))
