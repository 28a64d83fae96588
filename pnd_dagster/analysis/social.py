"""Social features against market trends and around pumps (paper, IV-D): rolling means of interactions, ratios of social dominance."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from pnd_dagster.analysis import drawing, intervals
from pnd_dagster.analysis.results import Result
from pnd_dagster.analysis.sources import Sources, events_of, social_of

WINDOW_DAYS = 7
LEAST_DAYS = 4
"""A mean of fewer days of the window says nothing."""
AROUND_DAYS = 7
FEATURES = ("interaction_ratio", "dominance_ratio", "sentiment")
TRENDS = ("return_same_day", "return_next_day")
MIN_PAIRS = 30


def social_features(social: pl.DataFrame) -> pl.DataFrame:
    """Features of each coin and day, of nothing later than that day; returns for what they are held against.

    Columns of `sources.SOCIAL` and: interactions_mean, dominance_mean (of the seven days before, NULL with fewer than four of them),
    interaction_ratio, dominance_ratio (the day's against that mean [ratio]; NULL for a mean of 0), return_same_day, return_next_day
    (natural logarithm of the price over the day before's, and of the next day's over the day's).

    Args:
        social: columns of `sources.SOCIAL`, one row per coin and day.
    """
    ordered = social.sort("coin", "day")
    means = [
        pl.col(name).rolling_mean_by("day", f"{WINDOW_DAYS}d", closed="left", min_samples=LEAST_DAYS).over("coin").alias(f"{kind}_mean")
        for name, kind in (("interactions", "interactions"), ("dominance", "dominance"))
    ]
    log_price = pl.when(pl.col("price") > 0).then(pl.col("price").log())
    is_next = (pl.col("day").shift(-1) - pl.col("day")).over("coin") == pl.duration(days=1)
    is_after = pl.col("day").diff().over("coin") == pl.duration(days=1)
    return ordered.with_columns(*means).with_columns(
        interaction_ratio=pl.when(pl.col("interactions_mean") > 0).then(pl.col("interactions") / pl.col("interactions_mean")),
        dominance_ratio=pl.when(pl.col("dominance_mean") > 0).then(pl.col("dominance") / pl.col("dominance_mean")),
        return_same_day=pl.when(is_after).then(log_price.diff().over("coin")),
        return_next_day=pl.when(is_next).then((log_price.shift(-1) - log_price).over("coin")),
    )


def correlations(features: pl.DataFrame) -> pl.DataFrame:
    """Spearman's rank correlation of each feature with each trend: feature, trend, n, days, rho with low and high (95%, bootstrap by day,
    since coins move together).

    Pairs of fewer than `MIN_PAIRS` coin-days are left out.
    """
    rows = list[dict[str, object]]()
    for feature in FEATURES:
        for trend in TRENDS:
            pairs = features.select("day", feature, trend).drop_nulls()
            if pairs.height < MIN_PAIRS or pairs[feature].n_unique() < 2 or pairs[trend].n_unique() < 2:
                continue
            ranks = pairs.sort("day").with_columns(pl.col(feature, trend).rank())
            low, high = _interval_by_day(ranks, feature, trend)
            rho = ranks.select(pl.corr(feature, trend)).item()
            rows.append(
                {
                    "feature": feature,
                    "trend": trend,
                    "n": pairs.height,
                    "days": pairs["day"].n_unique(),
                    "rho": rho,
                    "low": low,
                    "high": high,
                }
            )
    counts, floats = dict.fromkeys(("n", "days"), pl.Int64), dict.fromkeys(("rho", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema={"feature": pl.String, "trend": pl.String, **counts, **floats})


def _interval_by_day(ranks: pl.DataFrame, feature: str, trend: str) -> tuple[float | None, float | None]:
    """Of the correlation of ranks, from the sums of each day, days drawn with replacement."""
    x, y = pl.col(feature) - ranks[feature].mean(), pl.col(trend) - ranks[trend].mean()
    sums = ranks.group_by("day", maintain_order=True).agg(
        n=pl.len(), x=x.sum(), y=y.sum(), xx=(x * x).sum(), yy=(y * y).sum(), xy=(x * y).sum()
    )
    days = sums.select("n", "x", "y", "xx", "yy", "xy").to_numpy().astype(float)
    if len(days) < 2:
        return None, None
    picks = np.random.default_rng(intervals.SEED).multinomial(len(days), np.full(len(days), 1 / len(days)), size=intervals.RESAMPLES)
    n, sx, sy, sxx, syy, sxy = (picks @ days).T
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (n * sxy - sx * sy) / np.sqrt((n * sxx - sx * sx) * (n * syy - sy * sy))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return (float(low), float(high)) if np.isfinite([low, high]).all() else (None, None)


def around_pumps(events: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """Social features on the days around pumps against the same coin's other days.

    An event and day count where the coin's features are known and positive. Symbols of several coins of the social data are left out.
    Days more than a week from every pump of the coin are its other days; a coin without any is left out.

    Args:
        events: event_id, symbol, released_at.
        features: of `social_features`.

    Returns:
        days_from_pump, feature, n (events), ratio (geometric mean of the feature), lift (geometric mean of the feature over that of the
        coin's other days) with low and high (95%, bootstrap by event).
    """
    single = features.filter(pl.col("coin").n_unique().over("symbol") == 1).select("symbol", "day", *FEATURES[:2])
    single = single.with_columns(pl.when(pl.col(name) > 0).then(pl.col(name).log()) for name in FEATURES[:2])
    pumps = events.select("event_id", "symbol", pumped_on=pl.col("released_at").dt.date())
    near = (
        pumps.join(single, on="symbol")
        .with_columns(days_from_pump=(pl.col("day") - pl.col("pumped_on")).dt.total_days())
        .filter(pl.col("days_from_pump").abs() <= AROUND_DAYS)
    )
    others = single.join(near.select("symbol", "day").unique(), on=["symbol", "day"], how="anti")
    usual = others.group_by("symbol").agg(pl.col(name).mean().alias(f"usual_{name}") for name in FEATURES[:2])
    told = near.join(usual, on="symbol").sort("days_from_pump", "event_id")
    rows = list[dict[str, object]]()
    for feature in FEATURES[:2]:
        known = told.drop_nulls([feature, f"usual_{feature}"])
        for (offset,), own in known.group_by("days_from_pump", maintain_order=True):
            lifts = (own[feature] - own[f"usual_{feature}"]).to_numpy()
            low, high = (None if end is None else math.exp(end) for end in intervals.of_mean(lifts))
            ratio, lift = math.exp(own[feature].to_numpy().mean()), math.exp(lifts.mean())
            rows.append(
                {"days_from_pump": offset, "feature": feature, "n": own.height, "ratio": ratio, "lift": lift, "low": low, "high": high}
            )
    floats = dict.fromkeys(("ratio", "lift", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema={"days_from_pump": pl.Int64, "feature": pl.String, "n": pl.Int64, **floats})


def analysed(sources: Sources) -> Result:
    """Section IV-D: the features, their correlation with returns, and their course around pumps. The paper gives no numbers."""
    social, events = social_of(sources), events_of(sources)
    features = social_features(social)
    course, found = around_pumps(events, features), correlations(features)
    notes = list[str]()
    if social.is_empty():
        notes.append("raw.lunarcrush_snapshots is empty: `pnd run raw/lunarcrush_snapshots` (needs PND_LUNARCRUSH_KEY)")
    else:
        notes.append(f"{social.height:,} coin-days of {social['coin'].n_unique():,} coins, {social['day'].min()} to {social['day'].max()}")
        shared = social.group_by("symbol").agg(pl.col("coin").n_unique()).filter(pl.col("coin") > 1).height
        notes.append(f"{shared:,} symbols stand for several coins of the social data and are left out around pumps")
        if social["price"].count() == 0:
            notes.append("the social data hold no prices, so nothing can be said of market trends")
        notes.append("values are of whole days: the pump's own day holds what was written after it")
        inside = events.filter(pl.col("released_at").dt.date().is_between(social["day"].min(), social["day"].max()))
        notes.append(
            f"{inside.height:,} of {events.height:,} events lie in these days; {_matched(inside, social):,} are of a coin with social data"
        )
    picture = drawing.bars(
        course,
        x="days_from_pump",
        y="lift",
        color="feature",
        title="Social features around pumps against the coin's other days, 95% intervals (paper, IV-D)",
        y_label="lift, geometric mean",
        x_label="days from the pump",
        ends=("low", "high"),
    )
    return Result({"correlations": found, "around_pumps": course, "features": features}, {"around_pumps": picture}, notes)


def _matched(events: pl.DataFrame, social: pl.DataFrame) -> int:
    return events.join(social.select("symbol").unique(), on="symbol", how="semi").height
