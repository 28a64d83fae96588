"""Prices ten minutes before to ten minutes after the start of pumps (paper, V-A2; Figures 5 and 6)."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis import drawing, intervals
from pnd_dagster.analysis.paper_values import EXCHANGES
from pnd_dagster.analysis.results import Comparison, Result, beside_paper
from pnd_dagster.analysis.sound import positive
from pnd_dagster.analysis.sources import Sources, events_of, ticks_of
from pnd_dagster.tables import INSTRUMENTS, ORDER_BOOK_METRICS, PUMP_EVENTS, TRADE_METRICS

AROUND = timedelta(minutes=10)
OLDEST_BASELINE = timedelta(hours=24)
"""What was quoted or traded earlier than this before the baseline's time says nothing of it."""
STEP_SECONDS = 5
CONTROL = timedelta(days=1)
"""What prices do without a pump is measured so long before each."""

_TIME = pl.Datetime("us", "UTC")
PRICE = {"event_id": pl.String, "at": _TIME, "price": pl.Float64, "high": pl.Float64}
QUOTE = {"event_id": pl.String, "at": _TIME, "mid": pl.Float64}


def price_spikes(events: pl.DataFrame, prices: pl.DataFrame, quotes: pl.DataFrame) -> pl.DataFrame:
    """The highest price of the ten minutes from each start, against the price ten minutes before it.

    The baseline is the mid of the last quotes known ten minutes before the start; where there are none, the last trade by then. NULL where
    nothing is known by then, or nothing traded after the start.

    Args:
        events: event_id, venue, symbol, released_at.
        prices: event_id, at (UTC), price (last), high (highest up to `at` since the row before); a trade is both.
        quotes: event_id, at, mid.

    Returns:
        A row per event: event_id, venue, symbol, released_at, baseline (mid or last trade), baseline_price, baseline_age_seconds (at ten
        minutes before), peak_price, minutes_to_peak (from the start), magnitude (peak / baseline, 1 for no rise).
    """
    asked = events.select("event_id", "venue", "symbol", "released_at", asked_at=pl.col("released_at") - AROUND).sort("asked_at")
    mids = _last_known(asked, quotes.rename({"mid": "mid_price"}), "mid_price")
    trades = _last_known(asked, prices.select("event_id", "at", trade_price="price"), "trade_price")
    start = prices.join(events.select("event_id", "released_at"), on="event_id").filter(
        (pl.col("at") >= pl.col("released_at")) & (pl.col("at") <= pl.col("released_at") + AROUND)
    )
    peaks = (
        start.sort("event_id", "at")
        .group_by("event_id", maintain_order=True)
        .agg(peak_price=pl.col("high").max(), peak_at=pl.col("at").get(pl.col("high").arg_max()))
    )
    joined = asked.join(mids, on="event_id", how="left").join(trades, on="event_id", how="left").join(peaks, on="event_id", how="left")
    has_mid = pl.col("mid_price").is_not_null()
    known = joined.with_columns(
        baseline=pl.when(has_mid).then(pl.lit("mid")).when(pl.col("trade_price").is_not_null()).then(pl.lit("last trade")),
        baseline_price=pl.coalesce("mid_price", "trade_price"),
        baseline_at=pl.when(has_mid).then("mid_price_at").otherwise("trade_price_at"),
    )
    return known.select(
        "event_id",
        "venue",
        "symbol",
        "released_at",
        "baseline",
        "baseline_price",
        baseline_age_seconds=_seconds(pl.col("asked_at") - pl.col("baseline_at")),
        peak_price="peak_price",
        minutes_to_peak=_seconds(pl.col("peak_at") - pl.col("released_at")).round(3) / 60,
        magnitude=pl.col("peak_price") / pl.col("baseline_price"),
    ).sort("released_at", "event_id")


def _last_known(asked: pl.DataFrame, values: pl.DataFrame, name: str) -> pl.DataFrame:
    """event_id, the last value at `asked_at`, and when that was, `NAME_at`."""
    found = asked.select("event_id", "asked_at").join_asof(
        values.drop_nulls(name).sort("at").rename({"at": f"{name}_at"}),
        left_on="asked_at",
        right_on=f"{name}_at",
        by="event_id",
        tolerance=OLDEST_BASELINE,
        coalesce=False,
        check_sortedness=False,
    )
    return found.select("event_id", name, f"{name}_at")


def _seconds(span: pl.Expr) -> pl.Expr:
    return span.dt.total_microseconds() / 1e6


def relative_prices(spikes: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """Prices relative to the baseline over time: venue, minutes (from the start), events, mean, median, lower, upper (quartiles).

    Every `STEP_SECONDS` the last price of each event that has a spike; before an event's first price it is left out.
    """
    usable = spikes.drop_nulls("magnitude")
    reach = round(AROUND.total_seconds())
    grid = pl.DataFrame({"offset": np.arange(-reach, reach + 1, STEP_SECONDS)}, schema={"offset": pl.Int64})
    asked = (
        usable.select("event_id", "venue", "released_at", "baseline_price")
        .join(grid, how="cross")
        .with_columns(asked_at=(pl.col("released_at") + pl.duration(seconds="offset")).cast(_TIME))
        .sort("asked_at")
    )
    found = asked.join_asof(
        prices.select("event_id", "at", "price").sort("at"),
        left_on="asked_at",
        right_on="at",
        by="event_id",
        tolerance=OLDEST_BASELINE,
        check_sortedness=False,
    )
    relative = found.drop_nulls("price").with_columns(relative=pl.col("price") / pl.col("baseline_price"))
    return (
        relative.group_by("venue", minutes=pl.col("offset") / 60)
        .agg(
            events=pl.len(),
            mean=pl.col("relative").mean(),
            median=pl.col("relative").median(),
            lower=pl.col("relative").quantile(0.25, "linear"),
            upper=pl.col("relative").quantile(0.75, "linear"),
        )
        .sort("venue", "minutes")
    )


def summary(spikes: pl.DataFrame) -> pl.DataFrame:
    """By venue: events, n (with a baseline and trades after the start), mids (baselines that are mids), minutes_to_peak and magnitude as
    means with 95% intervals (bootstrap by event) and medians, rose_10_percent (share of n whose magnitude is 1.1 or more).
    """
    rows = list[dict[str, object]]()
    for (venue,), own in spikes.sort("venue", "event_id").group_by("venue", maintain_order=True):
        used = own.drop_nulls("magnitude")
        row: dict[str, object] = {
            "venue": venue,
            "events": own.height,
            "n": used.height,
            "mids": used.filter(pl.col("baseline") == "mid").height,
        }
        for name in ("minutes_to_peak", "magnitude"):
            values = used[name].to_numpy()
            low, high = intervals.of_mean(values)
            row |= {name: used[name].mean(), f"{name}_low": low, f"{name}_high": high, f"{name}_median": used[name].median()}
        rows.append(row | {"rose_10_percent": (used["magnitude"] >= 1.1).mean()})
    figures = [f"{name}{end}" for name in ("minutes_to_peak", "magnitude") for end in ("", "_low", "_high", "_median")]
    counts = dict.fromkeys(("events", "n", "mids"), pl.Int64)
    return pl.DataFrame(rows, schema={"venue": pl.String, **counts, **dict.fromkeys([*figures, "rose_10_percent"], pl.Float64)})


def analysed(sources: Sources) -> Result:
    """Figures 5 and 6, on tick trades of files and on the metrics of the database."""
    events = events_of(sources)
    ticks = ticks_of(sources, events)
    ours, prices, quotes = _of_database(sources, events)
    both = pl.concat([ours, ticks.events.with_columns(venue="exchange")])
    all_prices = pl.concat([prices, ticks.trades.select("event_id", "at", "price", high="price")])
    spikes = price_spikes(both, all_prices, quotes)
    paths, found = relative_prices(spikes, all_prices), summary(spikes)
    a_day_before = summary(price_spikes(both.with_columns(pl.col("released_at") - CONTROL), all_prices, quotes))
    notes = [
        *ticks.notes,
        f"{events.height - ours.height:,} of {events.height:,} events of the database have no metrics around their release",
    ]
    if found["n"].sum() > found["mids"].sum():
        notes.append("where no quotes are, the baseline is the last trade; the column baseline marks it")
    notes.append("the table a_day_before has the same coins at the same time of the day before: what a price does without a pump")
    notes.append("metrics of the database come every 5 s: times to the peak are rounded up to that; the paper does not say its own step")
    return Result(
        tables={"summary": found, "paper": _beside(found), "a_day_before": a_day_before, "events": spikes, "paths": paths},
        figures={
            "paths": drawing.bands(
                paths,
                x="minutes",
                color="venue",
                title="Price relative to ten minutes before the start (paper, Figures 5, 6)",
                y_label="price / baseline",
                x_label="minutes from the start",
            )
        },
        notes=notes,
    )


def _of_database(sources: Sources, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Events with metrics of exactly one instrument around them, their prices and their quotes."""
    event, listing = PUMP_EVENTS.c, INSTRUMENTS.c
    is_listed = sa.and_(
        listing.exchange == event.exchange,
        listing.base_symbol == event.symbol,
        listing.valid_from <= event.released_at,
        sa.or_(listing.valid_to.is_(None), listing.valid_to > event.released_at),
    )
    parts = list[pl.DataFrame]()
    for table, names in ((TRADE_METRICS, ("last_price", "high_price")), (ORDER_BOOK_METRICS, ("mid_price",))):
        at = table.c.bucket_end_at
        is_near = at.between(event.released_at - CONTROL - AROUND - OLDEST_BASELINE, event.released_at + AROUND)
        parts.append(
            sources.select(
                sa.select(
                    event.event_id,
                    listing.instrument_id,
                    at.label("at"),
                    *(sa.cast(table.c[name], sa.Double).label(name) for name in names),
                )
                .join_from(PUMP_EVENTS, INSTRUMENTS, is_listed)
                .join(table, sa.and_(table.c.instrument_id == listing.instrument_id, is_near, ~table.c.is_gap))
            )
        )
    trades, books = parts
    single = (
        pl.concat([part.select("event_id", "instrument_id") for part in parts])
        .unique()
        .group_by("event_id")
        .len()
        .filter(pl.col("len") == 1)
    )
    prices = trades.join(single, on="event_id", how="semi").select("event_id", "at", price="last_price", high="high_price")
    quotes = books.join(single, on="event_id", how="semi").select("event_id", "at", mid="mid_price")
    # A bucket's trades came before its end: one that ends with the release was not after it.
    prices = prices.filter(positive("price", "high")).with_columns(pl.col("at") - timedelta(microseconds=1))
    ours = events.join(single, on="event_id", how="semi").with_columns(venue=pl.col("exchange").fill_null("unknown"))
    return (
        ours,
        prices.select(pl.col(name).cast(dtype) for name, dtype in PRICE.items()),
        quotes.filter(positive("mid")).select(pl.col(name).cast(dtype) for name, dtype in QUOTE.items()),
    )


def _beside(found: pl.DataFrame) -> pl.DataFrame:
    rows = list[Comparison]()
    ours = {row["venue"]: row for row in found.iter_rows(named=True)}
    for venue in [*ours, *(name for name in EXCHANGES if name not in ours)]:
        own, paper = ours.get(venue, {}), EXCHANGES.get(venue)
        for name, what in (("minutes_to_peak", "minutes to the peak, mean"), ("magnitude", "peak / baseline, mean")):
            value = None if paper is None else paper.minutes_to_peak if name == "minutes_to_peak" else paper.magnitude
            n = own.get("n", 0)
            rows.append(
                Comparison(f"{venue}: {what}", own.get(name), own.get(f"{name}_low"), own.get(f"{name}_high"), n, value, "Figures 5, 6")
            )
    return beside_paper(rows)
