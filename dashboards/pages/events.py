"""Events: pumps by exchange, channel, coin and month, and a table whose rows lead to the event's own page."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash import Input, Output, html

from dashboards.board import Board
from dashboards.charts import EXCHANGE_COLOURS, OTHER, ranked, stacked
from dashboards.marts import BUILD_HINT, Marts
from dashboards.text import label
from dashboards.widgets import chart, figures, lasting, number, options, records, select, table, times, words

MOST_ROWS = 2_000
BARS = 15

_EVENTS = """
    SELECT event_id, coalesce(exchange, 'unknown') AS exchange, symbol, released_at, released_month, channel_count, channel_ids,
        channel_titles, announced_lead_seconds, market_cap_usd, rank_20s, rank_60s, previous_event_count
    FROM mart.fct_pump_event
    WHERE (CAST(:exchanges AS text[]) IS NULL OR coalesce(exchange, 'unknown') = ANY (CAST(:exchanges AS text[])))
        AND (CAST(:symbols AS text[]) IS NULL OR symbol = ANY (CAST(:symbols AS text[])))
        AND (CAST(:channels AS bigint[]) IS NULL OR channel_ids && CAST(:channels AS bigint[]))
        AND (CAST(:first AS date) IS NULL OR released_month >= CAST(:first AS date))
        AND (CAST(:last AS date) IS NULL OR released_month <= CAST(:last AS date))
    ORDER BY released_at DESC
"""
_CHOICES = """
    SELECT 'exchange' AS of, coalesce(exchange, 'unknown') AS value, coalesce(exchange, 'unknown') AS name, count(*) AS events
    FROM mart.fct_pump_event GROUP BY 2
    UNION ALL SELECT 'symbol', symbol, symbol, count(*) FROM mart.fct_pump_event GROUP BY symbol
    UNION ALL SELECT 'month', CAST(released_month AS text), to_char(released_month, 'YYYY-MM'), count(*)
        FROM mart.fct_pump_event GROUP BY released_month
    UNION ALL SELECT 'channel', CAST(channel_id AS text), coalesce(min(display_title), CAST(channel_id AS text)), count(*)
        FROM mart.fct_event_channel LEFT JOIN mart.dim_channel USING (channel_id) GROUP BY channel_id
"""


def board() -> Board:
    """The page."""
    columns = [
        words("symbol", "Coin", cellRenderer="EventLink", maxWidth=120),
        words("exchange", "Exchange", maxWidth=130),
        *times("released_at", "Released"),
        words("channel_titles", "Channels", flex=2),
        lasting("announced_lead_seconds", "Announced before", maxWidth=120),
        number("market_cap_usd", "Market cap (USD)", maxWidth=140),
        number("previous_event_count", "Earlier pumps", maxWidth=95),
        number("rank_60s", "Rank 60 s before", digits=None, maxWidth=105),
        number("rank_20s", "Rank 20 s before", digits=None, maxWidth=105),
    ]
    return Board(
        name="events",
        title="Events",
        controls=[
            select("events-exchanges", "Exchange"),
            select("events-symbols", "Coin"),
            select("events-channels", "Channel"),
            select("events-first", "From month", multi=False, placeholder="first"),
            select("events-last", "To month", multi=False, placeholder="last"),
        ],
        body=[
            html.Div(id="events-figures", className="pnd-figures"),
            chart("events-months", "Pumps per month and exchange", height=300),
            html.Div(
                [
                    chart("events-by-exchange", "By exchange", height=380),
                    chart("events-by-coin", f"Most pumped coins (first {BARS})", height=380, note="A symbol may stand for several coins."),
                    chart("events-by-channel", f"Most active channels (first {BARS})", height=380),
                ],
                className="pnd-tiles thirds",
            ),
            table("events-table", "Events", columns, note_id="events-note", key="event_id"),
        ],
        inputs={
            "exchanges": Input("events-exchanges", "value"),
            "symbols": Input("events-symbols", "value"),
            "channels": Input("events-channels", "value"),
            "first": Input("events-first", "value"),
            "last": Input("events-last", "value"),
        },
        outputs={
            "figures": Output("events-figures", "children"),
            "months": Output("events-months", "figure"),
            "by_exchange": Output("events-by-exchange", "figure"),
            "by_coin": Output("events-by-coin", "figure"),
            "by_channel": Output("events-by-channel", "figure"),
            "note": Output("events-note", "children"),
            "table": Output("events-table", "rowData"),
            **{f"{name}_options": Output(f"events-{name}", "options") for name in ("exchanges", "symbols", "channels", "first", "last")},
        },
        fill=fill,
    )


def fill(marts: Marts, **chosen: Any) -> dict[str, Any]:
    """The events that fit what was chosen, and what can be chosen.

    Args:
        marts: the warehouse.
        chosen: `exchanges`, `symbols`, `channels` (ids as text), each a list or None; `first`, `last`: days that begin months, or None.
    """
    choices = marts.read(_CHOICES)
    bound = {name: chosen.get(name) or None for name in ("exchanges", "symbols", "first", "last")}
    bound["channels"] = [int(channel) for channel in chosen.get("channels") or []] or None
    events = marts.read(_EVENTS, **bound)
    shown: dict[str, Any] = _choices(choices)
    if choices.is_empty():
        shown["notice"] = f"There is no pump event yet. `pnd import` reads messages of channels. {BUILD_HINT}"
    released_by = (
        events.select("event_id", "channel_ids", "channel_titles").explode("channel_ids", "channel_titles").drop_nulls("channel_ids")
    )
    by_month = events.with_columns(pl.lit(1).alias("n")).select("released_month", "exchange", "n")
    by_exchange = _counted(events, "exchange", "exchange")
    rows = events.head(MOST_ROWS)
    return shown | {
        "figures": figures(
            {
                "events": f"{events.height:,}",
                "exchanges": f"{events['exchange'].n_unique():,}",
                "coins (symbols)": f"{events['symbol'].n_unique():,}",
                "channels": f"{released_by['channel_ids'].n_unique():,}",
                "released by several channels": _share(events),
            }
        ),
        "months": stacked(by_month, x="released_month", y="n", by="exchange", axes=("month (UTC)", "events"), colours=EXCHANGE_COLOURS),
        "by_exchange": ranked(
            by_exchange,
            name="name",
            value="events",
            axis="events",
            colours=[EXCHANGE_COLOURS.get(exchange, OTHER) for exchange in by_exchange["name"]],
        ),
        "by_coin": ranked(_counted(events, "symbol", "symbol"), name="name", value="events", axis="events"),
        "by_channel": ranked(
            _counted(released_by, "channel_ids", "channel_titles"), name="name", value="events", axis="events", ids="channel_ids"
        ),
        "note": _note(events.height),
        "table": records(rows.drop("channel_ids", "released_month")),
    }


def _choices(choices: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    def of(kind: str, *, by: str = "events", descending: bool = True) -> list[dict[str, Any]]:
        part = choices.filter(pl.col("of") == kind).sort(by, "value", descending=[descending, False])
        return options([(value, f"{label(name)} ({events:,})") for _, value, name, events in part.iter_rows()])

    months = of("month", by="value")
    return {
        "exchanges_options": of("exchange"),
        "symbols_options": of("symbol"),
        "channels_options": of("channel"),
        "first_options": months,
        "last_options": months,
    }


def _counted(frame: pl.DataFrame, key: str, name: str) -> pl.DataFrame:
    counts = frame.group_by(key).agg(pl.len().alias("events"), pl.col(name).last().alias("name"))
    return counts.sort("events", key, descending=[True, False]).head(BARS)


def _share(events: pl.DataFrame) -> str:
    return f"{100 * (events['channel_count'] > 1).sum() / events.height:.1f} %" if events.height else "–"


def _note(count: int) -> str:
    cut = f"The newest {MOST_ROWS:,} of {count:,}. " if count > MOST_ROWS else ""
    return f"{cut}Click a coin for its messages and curves. Ranks are those of our watches before the release."
