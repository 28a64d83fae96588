"""Volumes over eight days with the pump on the eighth (paper, V-A1; Figures 8 to 11), and of days on which nobody announced anything."""

from __future__ import annotations

import polars as pl

from pnd_dagster.analysis import drawing, intervals
from pnd_dagster.analysis.daily import daily_of, days_of_ticks, one_per_day
from pnd_dagster.analysis.paper_values import EXCHANGES
from pnd_dagster.analysis.results import Comparison, Result, beside_paper
from pnd_dagster.analysis.sources import Sources, events_of, ticks_of

DAYS = 8
QUIET_DAYS = 8
"""A coin's day is quiet if no event of the coin lies within so many days of it."""
NO_DATA = "no candles of the coin"


def eight_days(events: pl.DataFrame, daily: pl.DataFrame) -> pl.DataFrame:
    """The eight days that end with each pump's day, a row per day: columns of events, day_number (1 to 8), day, quote_volume, is_complete.

    A day without a candle has no volume (NULL), which is not the same as none traded. Where the source does not give the value traded it is
    the quantity times the day's last price, and `is_estimated`.

    Args:
        events: event_id, market, symbol, released_at, and whatever shall be kept.
        daily: columns of `daily.DAILY`.
    """
    numbers = pl.DataFrame({"day_number": range(1, DAYS + 1)}, schema={"day_number": pl.Int64})
    days = events.join(numbers, how="cross").with_columns(
        day=pl.col("released_at").dt.date() - pl.duration(days=DAYS - pl.col("day_number"))
    )
    return days.join(_valued(daily), on=["market", "symbol", "day"], how="left").sort("released_at", "event_id", "day_number")


def _valued(daily: pl.DataFrame) -> pl.DataFrame:
    """One row per market, symbol and day, the volume as value."""
    value = pl.coalesce("quote_volume", pl.col("volume") * pl.col("price"))
    return one_per_day(daily).select(
        "market", "symbol", "day", "is_complete", is_estimated=pl.col("quote_volume").is_null(), quote_volume=value
    )


def coverage(events: pl.DataFrame, daily: pl.DataFrame) -> pl.DataFrame:
    """How many events have which data: venue, data, events.

    Args:
        events: as of `eight_days`, with venue.
        daily: columns of `daily.DAILY`.
    """
    known = daily.group_by("market", "symbol").agg(first=pl.col("day").min())
    ends = (
        eight_days(events, daily)
        .filter(pl.col("day_number") >= DAYS - 1)
        .group_by("event_id")
        .agg(days=pl.col("quote_volume").filter("is_complete").count())
    )
    told = events.join(known, on=["market", "symbol"], how="left").join(ends, on="event_id", how="left")
    data = (
        pl.when(pl.col("first").is_null())
        .then(pl.lit(NO_DATA))
        .when(pl.col("released_at").dt.date() < pl.col("first"))
        .then(pl.lit("before the first day of its candles"))
        .when(pl.col("days") < 2)
        .then(pl.lit("without the whole day of the pump or before"))
        .otherwise(pl.lit("pump's day and the day before"))
    )
    return told.group_by("venue", data=data).agg(events=pl.len()).sort("venue", "data")


def mean_volumes(days: pl.DataFrame, by: str) -> pl.DataFrame:
    """Volume by day over events: `by`, day_number, mean_volume, median_volume [quote currency] of complete days, n (those), partial (days
    that are not complete, and in no mean).
    """
    whole = pl.col("quote_volume").filter("is_complete")
    return (
        days.drop_nulls("quote_volume")
        .group_by(by, "day_number")
        .agg(mean_volume=whole.mean(), median_volume=whole.median(), n=whole.len(), partial=(~pl.col("is_complete")).sum())
        .sort(by, "day_number")
    )


def day_ratios(days: pl.DataFrame, by: str) -> pl.DataFrame:
    """The pump's day against the day before, over events that have both whole.

    Columns: `by`, n, volume_before, volume_on (means), ratio_of_means (the paper's) with low and high (95%, bootstrap by event),
    median_ratio, zero_before (events without any trade the day before, which are in the means and in no ratio of their own).
    """
    ends = days.filter((pl.col("day_number") >= DAYS - 1) & pl.col("is_complete").fill_null(False)).pivot(
        on="day_number", index=["event_id", by], values="quote_volume"
    )
    names = {str(DAYS - 1): "before", str(DAYS): "on"}
    ends = ends.with_columns(pl.lit(None, pl.Float64).alias(name) for name in names if name not in ends.columns).rename(names)
    rows = list[dict[str, object]]()
    for (group,), own in ends.drop_nulls(["before", "on"]).sort(by, "event_id").group_by(by, maintain_order=True):
        before, on = own["before"].to_numpy(), own["on"].to_numpy()
        low, high = intervals.of_ratio_of_means(on, before)
        traded = own.filter(pl.col("before") > 0)
        rows.append(
            {
                by: group,
                "n": own.height,
                "volume_before": before.mean(),
                "volume_on": on.mean(),
                "ratio_of_means": on.mean() / before.mean() if before.mean() else None,
                "low": low,
                "high": high,
                "median_ratio": (traded["on"] / traded["before"]).median(),
                "zero_before": own.height - traded.height,
            }
        )
    floats = ("volume_before", "volume_on", "ratio_of_means", "low", "high", "median_ratio")
    schema = {by: days.schema[by], "n": pl.Int64, **dict.fromkeys(floats, pl.Float64), "zero_before": pl.Int64}
    return pl.DataFrame(rows, schema=schema)


def quiet_days(events: pl.DataFrame, daily: pl.DataFrame) -> pl.DataFrame:
    """Days far from every event of their coin, against the day before: market, coins, n (pairs of complete days), ratio_of_means,
    median_ratio, and the share of days on which volume grew as much as the paper's mean on KuCoin and on Poloniex. What a ratio is worth.
    """
    value = _valued(daily.filter("is_complete")).sort("market", "symbol", "day")
    pairs = value.with_columns(
        before=pl.col("quote_volume").shift().over("market", "symbol"), gap=pl.col("day").diff().over("market", "symbol")
    ).filter((pl.col("gap") == pl.duration(days=1)) & (pl.col("before") > 0))
    pumped = events.select("symbol", pumped_on=pl.col("released_at").dt.date()).unique()
    near = (
        pairs.select("symbol", "day")
        .unique()
        .join(pumped, on="symbol")
        .filter((pl.col("day") - pl.col("pumped_on")).abs() <= pl.duration(days=QUIET_DAYS))
    )
    quiet = pairs.join(near.select("symbol", "day").unique(), on=["symbol", "day"], how="anti")
    ratio = pl.col("quote_volume") / pl.col("before")
    return (
        quiet.group_by("market")
        .agg(
            coins=pl.col("symbol").n_unique(),
            n=pl.len(),
            ratio_of_means=pl.col("quote_volume").mean() / pl.col("before").mean(),
            median_ratio=ratio.median(),
            **{f"share_of_{round(own.volume_ratio)}_times": (ratio >= own.volume_ratio).mean() for own in EXCHANGES.values()},
        )
        .sort("market")
    )


def by_exchange(sources: Sources) -> Result:
    """Figures 8 and 9: volumes over eight days and their ratio to the day before, by exchange."""
    events, daily, notes = _gathered(sources)
    days, ratios = eight_days(events, daily), day_ratios(eight_days(events, daily), "venue")
    means = mean_volumes(days, "venue")
    return Result(
        tables={
            "ratios": ratios,
            "paper": _beside(ratios),
            "days": means,
            "coverage": coverage(events, daily),
            "quiet_days": quiet_days(events, daily),
        },
        figures={"days": _drawn(means, "venue", "Daily volume up to the pump's day, by exchange (paper, Figures 8, 9)")},
        notes=[*notes, *_remarks(days)],
    )


def by_channel(sources: Sources) -> Result:
    """Figures 10 and 11: the same by Telegram channel; an event counts for every channel that released it."""
    events, daily, notes = _gathered(sources)
    channel = pl.col("channel_ids").cast(pl.String).fill_null("no channel known")
    told = events.explode("channel_ids").with_columns(channel=pl.format("{}, {}", "venue", channel))
    days = eight_days(told, daily)
    ratios, means = day_ratios(days, "channel").sort("n", descending=True), mean_volumes(days, "channel")
    first = ratios["channel"].head(8).to_list()
    figure = _drawn(means.filter(pl.col("channel").is_in(first)), "channel", "Daily volume by channel (paper, Figures 10, 11)")
    return Result({"ratios": ratios, "days": means}, {"days": figure}, [*notes, *_remarks(days)])


def _gathered(sources: Sources) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Events with market and venue, of the database and of ticks, and all days that are known."""
    events = events_of(sources)
    ticks = ticks_of(sources, events)
    both = pl.concat(
        [
            events.with_columns(market="exchange", venue=pl.col("exchange").fill_null("unknown")),
            ticks.events.with_columns(market="event_id", venue="exchange"),
        ]
    )
    daily, refused = daily_of(sources)
    notes = [*ticks.notes, *refused]
    if events.is_empty():
        notes.append("core.pump_events is empty: `pnd import` messages, then `pnd run`")
    if daily.is_empty():
        notes.append("raw.ohlcv_daily is empty: `pnd run raw/ohlcv_daily`")
    return both, pl.concat([daily, days_of_ticks(ticks)]), notes


def _remarks(days: pl.DataFrame) -> list[str]:
    known = days.drop_nulls("quote_volume")
    remarks = list[str]()
    if estimated := int(known["is_estimated"].sum()):
        remarks.append(f"{estimated:,} of {known.height:,} days: value traded estimated as quantity times the day's last price")
    if partial := int((~known["is_complete"]).sum()):
        remarks.append(f"{partial:,} of {known.height:,} days are partial and in no mean (see the column partial)")
    remarks.append("volumes are in the market's quote currency: USDT for candles of the database, the file's for tick trades")
    return remarks


def _beside(ratios: pl.DataFrame) -> pl.DataFrame:
    ours = {row["venue"]: row for row in ratios.iter_rows(named=True)}
    rows = list[Comparison]()
    for venue in [*ours, *(name for name in EXCHANGES if name not in ours)]:
        own, paper = ours.get(venue, {}), EXCHANGES.get(venue)
        what = f"{venue}: volume of the pump's day / of the day before"
        ends = (own.get("ratio_of_means"), own.get("low"), own.get("high"), own.get("n", 0))
        rows.append(Comparison(what, *ends, paper and paper.volume_ratio, "V-A1, Figures 8, 9"))
    return beside_paper(rows)


def _drawn(means: pl.DataFrame, by: str, title: str) -> bytes:
    return drawing.bars(
        means,
        x="day_number",
        y="mean_volume",
        color=by,
        title=title,
        y_label="mean volume, quote currency",
        x_label="day, the pump's is the eighth",
        is_log=True,
    )
