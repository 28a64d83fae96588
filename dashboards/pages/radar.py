"""Radar: announced pumps with a countdown, the ranking of the watches that run, recent alerts. Asks again every few seconds."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash import Output, html
from dash.development.base_component import Component

from dashboards.board import Board
from dashboards.marts import Marts
from dashboards.text import counted, data, iso, label, moment
from dashboards.widgets import figures, flag, number, percent, records, table, tile, times, words

SECONDS = 5
MOST_PUMPS = 12
MOST_DETECTED = 100

_PUMPS = """
    SELECT pump_id, exchange, scheduled_at, status, schedule_revision, channel_count, channel_titles, watch_state, watch_tick_count
    FROM mart.fct_scheduled_pump WHERE is_open ORDER BY scheduled_at LIMIT :most
"""
_NOW = """
    SELECT now() AS now,
        EXISTS (SELECT FROM mart.fct_scheduled_pump) AS is_used,
        (SELECT count(*) FROM mart.fct_scheduled_pump WHERE is_open) AS open_pumps,
        (SELECT count(*) FROM mart.fct_watch WHERE state = 'running') AS watches,
        (SELECT count(*) FROM mart.fct_alert WHERE created_at > now() - interval '1 day') AS alerts,
        (SELECT count(*) FROM mart.fct_detected_pump WHERE pump_id IS NULL AND detected_at > now() - interval '1 day') AS detected,
        (SELECT count(*) FROM mart.fct_service_health WHERE state IN ('unhealthy', 'silent')) AS troubled
"""
# All watches that ranked within two minutes of the newest tick: those that run, or the last one.
_RANKING = """
    SELECT ranked.exchange, bucket_end_at, lead_seconds, rank, pair, ranked.symbol, score, is_active, reasons, candidates,
        -- What is released within two hours is the pump itself, and no history.
        (SELECT count(*) FROM mart.fct_pump_event AS event WHERE event.exchange = ranked.exchange AND event.symbol = ranked.symbol
            AND event.released_at < ranked.bucket_end_at - interval '2 hours') AS prior_pumps
    FROM mart.fct_live_ranking AS ranked
    WHERE bucket_end_at >= (SELECT max(bucket_end_at) FROM mart.fct_live_ranking) - interval '2 minutes'
    ORDER BY exchange, watch_id, rank
"""
_ALERTS = """
    SELECT alert_id, created_at, stage, exchange, symbol, title, lines, state, delivery_seconds
    FROM mart.fct_alert ORDER BY created_at DESC LIMIT 50
"""
_DETECTED = """
    SELECT detection_id, detected_at, exchange, symbol, price_change, volume_z, trades_z, reason, pump_id IS NOT NULL AS was_announced
    FROM mart.fct_detected_pump ORDER BY detected_at DESC LIMIT :most
"""


def board() -> Board:
    """The page."""
    ranking = [
        words("exchange", "Exchange", maxWidth=140),
        number("rank", "Rank", maxWidth=90, digits=None),
        words("pair", "Coin", maxWidth=150),
        number("score", "Score (σ)", digits=2, maxWidth=110),
        words("reasons", "What stands out (z over the last three days)", flex=3, minWidth=260, wrapText=True, autoHeight=True),
        number("prior_pumps", "Earlier pumps", maxWidth=110),
        flag("is_active", "Has data"),
    ]
    alerts = [
        *times("created_at", "Raised"),
        words("stage", "Stage", maxWidth=170),
        words("title", "Alert", minWidth=220, wrapText=True, autoHeight=True),
        words("lines", "Evidence", flex=3, minWidth=260, wrapText=True, autoHeight=True),
        words("state", "State", maxWidth=110),
    ]
    detected = [
        *times("detected_at", "Seen"),
        words("exchange", "Exchange", maxWidth=140),
        words("symbol", "Coin", maxWidth=130),
        flag("was_announced", "Announced"),
        percent("price_change", "Price change"),
        number("volume_z", "Buying (σ)", digits=1),
        number("trades_z", "Trades (σ)", digits=1),
        words("reason", "What stood out", flex=3, minWidth=220, wrapText=True, autoHeight=True),
    ]
    return Board(
        name="radar",
        title="Radar",
        body=[
            html.Div(id="radar-figures", className="pnd-figures"),
            tile("Announced pumps", html.Div(id="radar-pumps", className="pnd-pumps")),
            table("radar-ranking", "Ranking of the coins", ranking, page_size=20, note_id="radar-tick"),
            table(
                "radar-detected",
                "Seen on the market, announced or not",
                detected,
                note=f"Sudden buying that pnd detect saw once it began; the newest {MOST_DETECTED}. σ: standard deviations above usual.",
                key="detection_id",
            ),
            table(
                "radar-alerts",
                "Recent alerts",
                alerts,
                note="Alerts say suspected: they are evidence for surveillance, no advice to trade.",
                key="alert_id",
            ),
        ],
        outputs={
            "figures": Output("radar-figures", "children"),
            "pumps": Output("radar-pumps", "children"),
            "tick": Output("radar-tick", "children"),
            "ranking": Output("radar-ranking", "rowData"),
            "detected": Output("radar-detected", "rowData"),
            "alerts": Output("radar-alerts", "rowData"),
        },
        fill=fill,
        seconds=SECONDS,
    )


def fill(marts: Marts) -> dict[str, Any]:
    """What the page shows now."""
    now = marts.read(_NOW).row(0, named=True)
    ranking = marts.read(_RANKING)
    shown: dict[str, Any] = {
        "figures": figures(
            {
                "pumps announced": str(now["open_pumps"]),
                "watches running": str(now["watches"]),
                "alerts in 24 h": str(now["alerts"]),
                "unannounced pumps seen in 24 h": str(now["detected"]),
                "services in trouble": str(now["troubled"]),
            }
        ),
        "pumps": [
            *_cards(marts.read(_PUMPS, most=MOST_PUMPS), now["open_pumps"]),
            html.Span(hidden=True, **data("server-now", iso(now["now"]))),
        ],
        "tick": _tick(ranking),
        "ranking": records(ranking),
        "detected": records(marts.read(_DETECTED, most=MOST_DETECTED)),
        "alerts": records(marts.read(_ALERTS)),
    }
    if not now["is_used"]:
        shown["notice"] = "No pump was announced yet. `pnd up` listens to the channels; `pnd demo` shows a simulated pump."
    return shown


def _cards(pumps: pl.DataFrame, count: int) -> list[Component]:
    if pumps.is_empty():
        return [html.P("No pump is announced at the moment.", className="pnd-note")]
    later = [html.P(f"and {count - MOST_PUMPS} later ones", className="pnd-note")] if count > MOST_PUMPS else []
    return [*(_card(pump) for pump in pumps.iter_rows(named=True)), *later]


def _card(pump: dict[str, Any]) -> Component:
    watch = f"watch {pump['watch_state']}, {counted(pump['watch_tick_count'] or 0, 'tick')}" if pump["watch_state"] else "no watch yet"
    moved = f", moved {counted(pump['schedule_revision'], 'time')}" if pump["schedule_revision"] else ""
    titles = [html.Bdi(label(title, 28)) for title in pump["channel_titles"][:3]]
    between = [part for title in titles for part in (title, ", ")][:-1]
    more = f" and {pump['channel_count'] - 3} more" if pump["channel_count"] > 3 else ""
    return html.Div(
        [
            html.Div(label(pump["exchange"] or "no exchange named", 40), className="where"),
            html.Div(className="countdown", **data("countdown", iso(pump["scheduled_at"]))),
            html.Div(moment(pump["scheduled_at"])),
            html.Div([f"{pump['status']}{moved}; {watch}"], className="detail"),
            html.Div([f"{counted(pump['channel_count'], 'channel')}: ", *between, more], className="detail"),
        ],
        className="pnd-pump",
    )


def _tick(ranking: pl.DataFrame) -> list[Any] | str:
    if ranking.is_empty():
        return "No watch ranked in the last 24 h. A watch starts by itself ten minutes before an announced pump."
    newest = ranking.sort("bucket_end_at").row(-1, named=True)
    lead = newest["lead_seconds"]
    where = "at" if lead is None else f"{lead:.0f} s before" if lead >= 0 else f"{-lead:.0f} s after"
    return [f"Best of {newest['candidates'] or 0:,} coins, {where} the announced start, at ", moment(newest["bucket_end_at"])]
