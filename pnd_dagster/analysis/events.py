"""Events by exchange and month (paper, Table VIII and Figure 3)."""

from __future__ import annotations

import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis import drawing
from pnd_dagster.analysis.paper_values import TABLE_VIII
from pnd_dagster.analysis.results import Comparison, Result, beside_paper, compared_share
from pnd_dagster.analysis.sources import Sources, events_of
from pnd_dagster.tables import PUMP_RELEASES
from pnd_dagster.venues import VENUES

UNKNOWN, OTHERS = "unknown", "others"
EMPTY = "core.pump_events is empty: `pnd import` messages, then `pnd run`"


def events_by_exchange(events: pl.DataFrame) -> pl.DataFrame:
    """Events by exchange, the most frequent first: exchange, name, type (CEX, DEX), events, share (of all), coins, channels, first_event,
    last_event.

    Args:
        events: exchange (NULL if unknown), symbol, released_at, channel_ids.
    """
    venues = pl.DataFrame(
        {
            "exchange": [venue.id for venue in VENUES],
            "name": [venue.name for venue in VENUES],
            "type": [venue.kind.upper() for venue in VENUES],
        }
    )
    counts = events.with_columns(pl.col("exchange").fill_null(UNKNOWN)).group_by("exchange").agg(
        events=pl.len(),
        
        coins=pl.col("symbol").n_unique(),
        channels=pl.col("channel_ids").list.explode(keep_nulls=False, empty_as_null=False).n_unique(),
        first_event=pl.col("released_at").min(),
        last_event=pl.col("released_at").max(),
    )  # fmt: skip
    return (
        counts.join(venues, on="exchange", how="left")
        .with_columns(share=pl.col("events") / pl.col("events").sum())
        .select("exchange", "name", "type", "events", "share", "coins", "channels", "first_event", "last_event")
        .sort("events", "exchange", descending=[True, False])
    )


def events_by_month(events: pl.DataFrame) -> pl.DataFrame:
    """Events by month (UTC, yyyy-mm, months without any included) and exchange: month, exchange, events."""
    months = events.with_columns(month=pl.col("released_at").dt.truncate("1mo").dt.date(), exchange=pl.col("exchange").fill_null(UNKNOWN))
    counts = months.group_by("month", "exchange").agg(events=pl.len())
    if not counts.is_empty():
        span = pl.date_range(counts["month"].min(), counts["month"].max(), "1mo", eager=True)  # pyright: ignore[reportArgumentType, reportCallIssue]
        most = counts.group_by("exchange").agg(pl.col("events").sum()).sort("events", "exchange")["exchange"][-1]
        silent = pl.DataFrame({"month": span}).join(counts, on="month", how="anti")
        counts = pl.concat([counts, silent.with_columns(exchange=pl.lit(most), events=pl.lit(0, counts.schema["events"]))])
    return counts.with_columns(pl.col("month").dt.to_string("%Y-%m")).sort("month", "exchange")


def by_exchange(sources: Sources) -> Result:
    """Table VIII."""
    table = events_by_exchange(events_of(sources))
    counts = dict(table.select("exchange", "events").iter_rows())
    known = sum(counts.values()) - counts.get(UNKNOWN, 0)
    counts[OTHERS] = sum(count for name, count in counts.items() if name not in TABLE_VIII and name != UNKNOWN)
    all_paper = sum(TABLE_VIII.values())
    rows = [
        compared_share(f"share of events on {name}", counts.get(name, 0), known, paper / all_paper, f"Table VIII, {paper} of {all_paper:,}")
        for name, paper in TABLE_VIII.items()
    ]
    by_paper = "events, by the paper's key (exchange, symbol, rounded hour)"
    rows += [
        Comparison("events, by our id", sum(counts.values()) - counts[OTHERS], None, None, None, all_paper, "Table VIII"),
        Comparison(by_paper, _paper_keys(sources), None, None, None, all_paper, "IV-B"),
    ]
    notes = [f"shares are of the {known:,} events whose exchange is known; on {counts.get(UNKNOWN, 0):,} more it is not"]
    return Result({"exchanges": table, "paper": beside_paper(rows)}, {}, notes if known else [EMPTY])


def by_month(sources: Sources) -> Result:
    """Figure 3."""
    table = events_by_month(events_of(sources))
    picture = drawing.stacked_bars(
        table, x="month", y="events", color="exchange", title="Pump events by month and exchange (paper, Figure 3)", y_label="events"
    )
    months = table.group_by("month").agg(pl.col("events").sum()).sort("month")
    notes = (
        [f"{months.height} months from {months['month'][0]} to {months['month'][-1]}; the paper's run from 2017-12 to 2024-09"]
        if months.height
        else [EMPTY]
    )
    return Result({"months": table, "per_month": months}, {"months": picture}, notes)


def paper_keys(releases: pl.DataFrame) -> int:
    """Events as the paper counts them: distinct exchange, symbol and release time rounded to the hour.

    Args:
        releases: exchange, symbol, released_at of every message that named a coin.
    """
    return releases.select("exchange", "symbol", pl.col("released_at").dt.round("1h")).n_unique()


def _paper_keys(sources: Sources) -> int:
    release = PUMP_RELEASES.c
    return paper_keys(sources.select(sa.select(release.exchange, release.symbol, release.released_at)))
