"""Order sizes in the seven days before pumps and on their day (paper, V-A3; Tables IV, V, XII to XV; Figures 12 and 13)."""

from __future__ import annotations

import polars as pl

from pnd_dagster.analysis import drawing, intervals
from pnd_dagster.analysis.daily import book_sizes_of, daily_of, days_of_metrics, days_of_ticks, one_per_day
from pnd_dagster.analysis.paper_values import EXCHANGES, TABLES_IV_AND_V
from pnd_dagster.analysis.results import Comparison, Result, beside_paper
from pnd_dagster.analysis.sources import Sources, events_of, ticks_of

DAYS_BEFORE = 7


def order_sizes(events: pl.DataFrame, daily: pl.DataFrame) -> pl.DataFrame:
    """Volume, price and order size of each pump, before and on its day, over the days that are known.

    The order size is that of the trades: quantity traded / number of trades [base units], so that every trade weighs the same.

    Args:
        events: event_id, venue, market, symbol, released_at.
        daily: columns of `daily.DAILY`; only days with a number of trades are used.

    Returns:
        A row per event with any such day on either side: event_id, venue, symbol, released_at, days_before (known, of 7), has_partial_day,
        volume_before (mean of a day), volume_on, volume_ratio [quote currency], of complete days only; price_before, price_on (means, per
        unit traded),
        price_change_percent, order_size_before, order_size_on [base units], order_size_ratio. NULL where a side has no trades.
    """
    reach = events.join(
        one_per_day(daily.filter(pl.col("trade_count").is_not_null())),
        on=["market", "symbol"],
    ).with_columns(ahead=(pl.col("released_at").dt.date() - pl.col("day")).dt.total_days())
    days = reach.filter(pl.col("ahead").is_between(0, DAYS_BEFORE))
    before, on = pl.col("ahead") > 0, pl.col("ahead") == 0
    value = pl.coalesce("quote_volume", pl.col("volume") * pl.col("price"))

    def mean_price(side: pl.Expr) -> pl.Expr:
        return _over(value.filter(side).sum(), pl.col("volume").filter(side).sum())

    def mean_size(side: pl.Expr) -> pl.Expr:
        return _over(pl.col("volume").filter(side).sum(), pl.col("trade_count").filter(side).sum())

    sides = days.group_by("event_id", "venue", "symbol", "released_at").agg(
        days_before=before.sum(),
        has_partial_day=(~pl.col("is_complete")).any(),
        volume_before=value.filter(before & pl.col("is_complete")).mean(),
        volume_on=value.filter(on & pl.col("is_complete")).mean(),
        price_before=mean_price(before),
        price_on=mean_price(on),
        order_size_before=mean_size(before),
        order_size_on=mean_size(on),
    )
    return sides.select(
        *("event_id", "venue", "symbol", "released_at", "days_before", "has_partial_day", "volume_before", "volume_on"),
        _over(pl.col("volume_on"), pl.col("volume_before")).alias("volume_ratio"),
        *("price_before", "price_on"),
        (100 * (_over(pl.col("price_on"), pl.col("price_before")) - 1)).alias("price_change_percent"),
        *("order_size_before", "order_size_on"),
        _over(pl.col("order_size_on"), pl.col("order_size_before")).alias("order_size_ratio"),
    ).sort("venue", "symbol", "released_at", "event_id")


def _over(above: pl.Expr, below: pl.Expr) -> pl.Expr:
    return pl.when(below > 0).then(above / below)


def summary(sizes: pl.DataFrame) -> pl.DataFrame:
    """By venue: events, n (with trades on both sides), median order_size_ratio with low and high (95%, bootstrap by event), grew (share
    above 1) with its interval (Wilson), median volume_ratio and price_change_percent, full_weeks (events with all seven days before).
    """
    rows = list[dict[str, object]]()
    for (venue,), own in sizes.sort("venue", "event_id").group_by("venue", maintain_order=True):
        used = own.drop_nulls("order_size_ratio")
        low, high = intervals.of_median(used["order_size_ratio"].to_numpy())
        grown = used.filter(pl.col("order_size_ratio") > 1).height
        grew_low, grew_high = intervals.of_share(grown, used.height)
        rows.append(
            {
                "venue": venue,
                "events": own.height,
                "n": used.height,
                "order_size_ratio": used["order_size_ratio"].median(),
                "low": low,
                "high": high,
                "grew": grown / used.height if used.height else None,
                "grew_low": grew_low,
                "grew_high": grew_high,
                "volume_ratio": used["volume_ratio"].median(),
                "price_change_percent": used["price_change_percent"].median(),
                "full_weeks": used.filter(pl.col("days_before") == DAYS_BEFORE).height,
            }
        )
    floats = ("order_size_ratio", "low", "high", "grew", "grew_low", "grew_high", "volume_ratio", "price_change_percent")
    schema = {"venue": pl.String, "events": pl.Int64, "n": pl.Int64, **dict.fromkeys(floats, pl.Float64), "full_weeks": pl.Int64}
    return pl.DataFrame(rows, schema=schema)


def level_sizes(events: pl.DataFrame, books: pl.DataFrame) -> pl.DataFrame:
    """Mean quantity of an order book's level before and on the day: event_id, venue, symbol, days_before, level_size_before, level_size_on
    [base units], level_size_ratio; a row per event with books on both sides.

    Args:
        events: event_id, venue, market, symbol, released_at.
        books: market, symbol, day, level_size.
    """
    reach = events.join(books, on=["market", "symbol"]).with_columns(
        ahead=(pl.col("released_at").dt.date() - pl.col("day")).dt.total_days()
    )
    before, on = pl.col("ahead") > 0, pl.col("ahead") == 0
    sides = (
        reach.filter(pl.col("ahead").is_between(0, DAYS_BEFORE))
        .group_by("event_id", "venue", "symbol")
        .agg(
            days_before=before.sum(),
            level_size_before=pl.col("level_size").filter(before).mean(),
            level_size_on=pl.col("level_size").filter(on).mean(),
        )
    )
    ratio = _over(pl.col("level_size_on"), pl.col("level_size_before"))
    return sides.with_columns(level_size_ratio=ratio).drop_nulls("level_size_ratio").sort("venue", "symbol", "event_id")


def analysed(sources: Sources) -> Result:
    """Tables IV, V, XII to XV and Figures 12, 13: on candles with a number of trades, on trade metrics, and on tick trades of files."""
    events = events_of(sources)
    ticks = ticks_of(sources, events)
    both = pl.concat(
        [
            events.with_columns(market="exchange", venue=pl.col("exchange").fill_null("unknown")),
            ticks.events.with_columns(market="event_id", venue="exchange"),
        ]
    )
    daily, refused = daily_of(sources)
    sizes = order_sizes(both, pl.concat([daily, days_of_metrics(sources), days_of_ticks(ticks)]))
    levels, found = level_sizes(both, book_sizes_of(sources)), summary(sizes)
    notes = [*ticks.notes, *refused]
    notes.append(f"{sizes.height:,} of {both.height:,} events have days with a number of trades; the others' order sizes are not known")
    if short := sizes.filter(pl.col("days_before") < DAYS_BEFORE).height:
        notes.append(
            f"{short:,} of {sizes.height:,} events have fewer than seven days before: the means are of those there are (days_before)"
        )
    return Result(
        tables={
            "summary": found,
            "paper": _beside(found),
            "events": sizes,
            "book_levels": levels,
            "paper_tables_iv_v": TABLES_IV_AND_V,
        },
        figures={
            "sizes": drawing.before_and_after(
                sizes.drop_nulls("order_size_ratio"),
                x="order_size_before",
                y="order_size_on",
                color="venue",
                title="Mean order size before the pump and on its day (paper, Figures 12, 13)",
                x_label="seven days before, base units",
                y_label="pump's day, base units",
            )
        },
        notes=notes,
    )


def _beside(found: pl.DataFrame) -> pl.DataFrame:
    ours = {row["venue"]: row for row in found.iter_rows(named=True)}
    rows = list[Comparison]()
    for venue in [*ours, *(name for name in EXCHANGES if name not in ours)]:
        own, paper = ours.get(venue, {}), EXCHANGES.get(venue)
        n, where = own.get("n", 0), "Tables XII-XV, medians of their rows"
        rows += [
            Comparison(f"{venue}: order size on the day / before, median", own.get("order_size_ratio"), own.get("low"), own.get("high"), n,
                       paper and paper.order_size_ratio, where),
            Comparison(f"{venue}: share of pumps whose order size grew", own.get("grew"), own.get("grew_low"), own.get("grew_high"), n,
                       paper and paper.order_size_grew, where),
            Comparison(f"{venue}: volume on the day / mean before, median", own.get("volume_ratio"), None, None, n,
                       paper and paper.week_volume_ratio, where),
        ]  # fmt: skip
    return beside_paper(rows)
