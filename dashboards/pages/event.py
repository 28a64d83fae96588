"""One event: its messages, and price, volume, z-scores and rank around its release."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import plotly.graph_objects as go
import polars as pl
from dash import Input, Output, State, dcc, html
from dash.development.base_component import Component

from dashboards.board import Board
from dashboards.charts import COLOURS, empty, figure, mark, twin
from dashboards.marts import BUILD_HINT, Marts
from dashboards.text import label, moment
from dashboards.widgets import chart, figures, options, select, tile

MOST_CHOICES = 2_000
MOST_CURVES = 6
DAYS = 30

_CHOICES = """
    SELECT event_id, symbol, coalesce(exchange, 'unknown exchange') AS exchange, released_at
    FROM mart.fct_pump_event ORDER BY released_at DESC LIMIT :most
"""
_EVENT = """
    SELECT event_id, symbol, exchange, pair, quote, released_at, released_on, scheduled_at, announced_lead_seconds, start_delay_seconds,
        channel_count, channel_titles, confidence, market_cap_usd, coin_name, token_standard, previous_event_count, ranked_coins,
        rank_20s, rank_60s, alert_count
    FROM mart.fct_pump_event WHERE event_id = :event
"""
_OUTCOME = """
    SELECT gain_ratio, seconds_to_peak, bought_30s_10min_ratio, bought_30s_1h_ratio, resolution
    FROM mart.fct_pump_outcome WHERE event_id = :event LIMIT 1
"""
_MESSAGES = """
    SELECT channel_title, role, label, occurred_at, seconds_to_release, text, media_type, is_deleted
    FROM mart.fct_event_message WHERE event_id = :event ORDER BY occurred_at, channel_id, message_id LIMIT 200
"""
_MARKET = """
    SELECT seconds_to_release / 60 AS minutes, coalesce(vwap, mid_price) AS price, quote_volume
    FROM mart.fct_event_market WHERE event_id = :event ORDER BY bucket_end_at
"""
_DAYS = """
    SELECT day, close, high, quote_volume FROM mart.fct_coin_day
    WHERE exchange = :exchange AND pair = :pair
        AND day BETWEEN CAST(:day AS date) - CAST(:days AS integer) AND CAST(:day AS date) + CAST(:days AS integer)
    ORDER BY day
"""
_SCORES = """
    SELECT seconds_to_release / 60 AS minutes, metric, horizon_seconds, z
    FROM mart.fct_event_zscore WHERE event_id = :event AND z IS NOT NULL ORDER BY bucket_end_at
"""
_RANKS = """
    SELECT seconds_to_release / 60 AS minutes, rank, score, candidates, reasons
    FROM mart.fct_event_rank WHERE event_id = :event ORDER BY bucket_end_at
"""
_MINUTES = "minutes from the release"


def board() -> Board:
    """The page."""
    return Board(
        name="event",
        title="Event",
        controls=[select("event-choice", "Event (UTC)", multi=False, placeholder="choose", clearable=False), dcc.Store(id="event-shown")],
        script="""
            function (choice, shown) {
                if (choice && choice !== shown)
                    dash_clientside.set_props("_pages_location", {search: "?event=" + encodeURIComponent(choice)});
            }
        """,
        script_inputs=[Input("event-choice", "value"), State("event-shown", "data")],
        body=[
            html.Div(id="event-head", className="pnd-tile"),
            html.Div(id="event-figures", className="pnd-figures"),
            html.Div(
                [
                    chart("event-market", "Price and volume around the release", note="Buckets of 5 s, of the exchange's own feed."),
                    chart("event-days", "Price and volume by day", note="Daily candles; the line is the day of the release, UTC."),
                    chart("event-scores", "z-scores", note=f"The {MOST_CURVES} that stood out most before the release; 0 is usual."),
                    chart("event-ranks", "Rank among the coins of the exchange", note="1 is the most suspected."),
                ],
                className="pnd-tiles",
            ),
            tile("Messages", html.Div(id="event-messages", className="pnd-messages")),
        ],
        # A choice changes the address, and the address what is shown: so it can be sent around, and the browser leads back.
        inputs={"search": State("_pages_location", "search")},
        outputs={
            "choice": Output("event-choice", "value"),
            "shown": Output("event-shown", "data"),
            "choices": Output("event-choice", "options"),
            "head": Output("event-head", "children"),
            "figures": Output("event-figures", "children"),
            **{name: Output(f"event-{name}", "figure") for name in ("market", "days", "scores", "ranks")},
            "messages": Output("event-messages", "children"),
        },
        fill=fill,
    )


def fill(marts: Marts, search: str | None = None) -> dict[str, Any]:
    """The event that the address names (`?event=ID`), else the newest."""
    choices = marts.read(_CHOICES, most=MOST_CHOICES)
    named = parse_qs((search or "").removeprefix("?")).get("event", [None])[0]
    wanted = (named or (choices["event_id"][0] if choices.height else "")).replace("\0", "")
    shown: dict[str, Any] = {"choices": options([_choice(*row) for row in choices.iter_rows()]), "choice": None, "shown": None}
    if not choices.height:
        return shown | {"notice": f"There is no pump event yet. {BUILD_HINT}"}
    found = marts.read(_EVENT, event=wanted)
    if found.is_empty():
        blank = {name: empty() for name in ("market", "days", "scores", "ranks")} | {"head": [], "figures": [], "messages": []}
        return shown | blank | {"notice": "There is no such event (any more): choose another one."}
    event = found.row(0, named=True)
    if not choices["event_id"].is_in([wanted]).any():
        exchange = event["exchange"] or "unknown exchange"
        shown["choices"] += options([_choice(wanted, event["symbol"], exchange, event["released_at"])])
    outcome = marts.read(_OUTCOME, event=wanted)
    days = marts.read(_DAYS, exchange=event["exchange"], pair=event["pair"], day=event["released_on"], days=DAYS)
    return shown | {
        "choice": wanted,
        "shown": wanted,
        "head": _head(event),
        "figures": _facts(event | (outcome.row(0, named=True) if outcome.height else {})),
        "market": _around(marts.read(_MARKET, event=wanted)),
        "days": _by_day(days, str(event["released_on"])),
        "scores": _curves(marts.read(_SCORES, event=wanted)),
        "ranks": _ranks(marts.read(_RANKS, event=wanted)),
        "messages": [_message(message) for message in marts.read(_MESSAGES, event=wanted).iter_rows(named=True)],
    }


def _choice(key: str, symbol: str, exchange: str, at: datetime) -> tuple[str, str]:
    return key, f"{at:%Y-%m-%d %H:%M} {label(symbol, 16)} on {label(exchange, 20)}"


def _head(event: dict[str, Any]) -> list[Component]:
    titles = [html.Bdi(label(title)) for title in event["channel_titles"]]
    between = [part for title in titles for part in (title, ", ")][:-1]
    return [
        html.H3(
            [html.Bdi(label(event["symbol"], 24)), f" on {label(event['exchange'], 24) if event['exchange'] else 'an unknown exchange'}"],
            className="figure-title",
        ),
        html.Div(["Released ", moment(event["released_at"])]),
        html.Div(["Announced for ", moment(event["scheduled_at"])]) if event["scheduled_at"] else html.Div("Not announced beforehand"),
        html.Div(["Channels: ", *between], className="pnd-note"),
    ]


def _facts(event: dict[str, Any]) -> list[Component]:
    cap, lead, delay = event["market_cap_usd"], event["announced_lead_seconds"], event["start_delay_seconds"]
    of = f" of {event['ranked_coins']}" if event["ranked_coins"] else ""
    return figures(
        {
            "announced before (h)": "–" if lead is None else f"{lead / 3600:,.1f}",
            "late against the announcement (s)": "–" if delay is None else f"{delay:,.0f}",
            "market cap (USD)": "unknown" if cap is None else f"{cap:,.0f}",
            "earlier pumps of the symbol": str(event["previous_event_count"]),
            "peak above the price before (%)": _percent(event.get("gain_ratio")),
            "bought 30 s late, after 10 min (%)": _percent(event.get("bought_30s_10min_ratio")),
            "bought 30 s late, after an hour (%)": _percent(event.get("bought_30s_1h_ratio")),
            "rank 60 s before": "–" if event["rank_60s"] is None else f"{event['rank_60s']:g}{of}",
            "rank 20 s before": "–" if event["rank_20s"] is None else f"{event['rank_20s']:g}{of}",
        }
    )


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{100 * ratio:+,.1f}"


def _around(market: pl.DataFrame) -> go.Figure:
    if market.is_empty():
        return empty("no order books or trades were collected around this release")
    made = twin(_MINUTES, "price (USDT)", "value traded in 5 s (USDT)")
    minutes = market["minutes"].to_list()
    made.add_bar(
        x=minutes, y=market["quote_volume"].to_list(), name="value traded", yaxis="y2", marker_color=COLOURS[1], marker_line_width=0
    )
    made.add_scatter(x=minutes, y=market["price"].to_list(), name="price", mode="lines", line={"color": COLOURS[0], "width": 2})
    mark(made, 0, "release")
    return made


def _by_day(days: pl.DataFrame, released_on: str) -> go.Figure:
    if days.is_empty():
        return empty("no daily candles of this pair around the release")
    made = twin("day (UTC)", "price (USDT)", "value traded (USDT)")
    x = [str(day) for day in days["day"]]
    made.add_bar(x=x, y=days["quote_volume"].to_list(), name="value traded", yaxis="y2", marker_color=COLOURS[1], marker_line_width=0)
    made.add_scatter(x=x, y=days["close"].to_list(), name="close", mode="lines", line={"color": COLOURS[0], "width": 2})
    made.add_scatter(x=x, y=days["high"].to_list(), name="high", mode="lines", line={"color": COLOURS[2], "width": 1, "dash": "dot"})
    mark(made, released_on, "release")
    return made


def _curves(scores: pl.DataFrame) -> go.Figure:
    if scores.is_empty():
        return empty("no watch kept z-scores of this coin")
    by = ["metric", "horizon_seconds"]
    before = scores.filter(pl.col("minutes") <= 0)
    heights = (scores if before.is_empty() else before).group_by(by).agg(pl.col("z").max().alias("height"))
    made = figure(_MINUTES, "z (standard deviations)")
    for index, (metric, horizon, _) in enumerate(
        heights.sort("height", *by, descending=[True, False, False]).head(MOST_CURVES).iter_rows()
    ):
        curve = scores.filter((pl.col("metric") == metric) & (pl.col("horizon_seconds") == horizon))
        made.add_scatter(
            x=curve["minutes"].to_list(),
            y=curve["z"].to_list(),
            name=f"{metric.replace('_', ' ')}, {horizon} s",
            mode="lines+markers",
            marker_size=3,
            line={"color": COLOURS[index]},
        )
    mark(made, 0, "release")
    return made


def _ranks(ranks: pl.DataFrame) -> go.Figure:
    if ranks.is_empty():
        return empty("no watch ranked this coin")
    made = figure(_MINUTES, "rank")
    made.add_scatter(
        x=ranks["minutes"].to_list(), y=ranks["rank"].to_list(), name="rank", mode="lines", line={"color": COLOURS[0], "shape": "hv"}
    )
    made.update_yaxes(autorange="reversed", type="log", tickvals=[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
    mark(made, 0, "release")
    return made


def _message(message: dict[str, Any]) -> Component:
    seconds = message["seconds_to_release"]
    when = f"{abs(seconds):,.0f} s {'before' if seconds < 0 else 'after'} the release" if seconds else "the release"
    kinds = dict.fromkeys((message["role"], message["label"], when, "deleted later" if message["is_deleted"] else ""))
    what = " · ".join(filter(None, kinds))
    text = message["text"] or f"[{message['media_type'] or 'no text'}]"
    return html.Div(
        [
            html.Div(
                [html.Bdi(label(message["channel_title"])), " · ", moment(message["occurred_at"]), f" · {what}"], className="pnd-note"
            ),
            html.Pre(text),
        ],
        className=f"pnd-message is-{message['role']}",
    )
