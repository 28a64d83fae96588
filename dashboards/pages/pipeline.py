"""Pipeline: how fresh the tables are, how well the services do, what the collectors saw."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from dash import Output, html

from dashboards.board import Board
from dashboards.charts import EXCHANGE_COLOURS, OTHER, empty, figure
from dashboards.marts import BUILD_HINT, Marts
from dashboards.text import moment
from dashboards.widgets import chart, figures, lasting, number, records, table, times, total, words

SECONDS = 10
HOURS = 72

_SERVICES = """
    SELECT name, state, beat_at, silence_seconds, lag_seconds, is_healthy, details FROM mart.fct_service_health
    ORDER BY CASE state WHEN 'unhealthy' THEN 0 WHEN 'silent' THEN 1 WHEN 'healthy' THEN 2 ELSE 3 END, name
"""
_TABLES = """
    SELECT table_name, layer, estimated_rows, bytes / 1e6 AS megabytes, newest_at, age_seconds FROM mart.fct_table_freshness
    ORDER BY age_seconds NULLS LAST, table_name
"""
_HOURS = """
    SELECT exchange, hour_end_at, seen_ratio, bucket_ratio, watched, lag_p50_seconds, lag_p99_seconds FROM mart.fct_collection_hour
    WHERE hour_end_at > (SELECT max(hour_end_at) FROM mart.fct_collection_hour) - make_interval(hours => CAST(:hours AS integer))
    ORDER BY exchange, hour_end_at
"""
_GAPS = """
    SELECT gap_id, exchange, shard, instrument_count, started_at, ended_at, duration_seconds, reason FROM mart.fct_feed_gap
    ORDER BY started_at DESC LIMIT 100
"""
_REFUSED = """
    SELECT source, day, reason, refused_count, last_refused_at FROM mart.fct_refused_input ORDER BY last_refused_at DESC LIMIT 100
"""
_BUILT = "SELECT max(built_at) AS built_at, now() - max(built_at) > interval '3 hours' AS is_old FROM mart.fct_mart_build"


def board() -> Board:
    """The page."""
    services = [
        words("name", "Service", flex=2),
        words("state", "State", maxWidth=120),
        lasting("silence_seconds", "Last sign of life", maxWidth=150),
        lasting("lag_seconds", "Lag", maxWidth=110),
        words("details", "Details", flex=3),
    ]
    tables = [
        words("table_name", "Table", flex=2),
        number("estimated_rows", "Rows (estimated)"),
        number("megabytes", "Size (MB)", digits=1),
        lasting("age_seconds", "Age of the newest"),
        *times("newest_at", "Newest"),
    ]
    gaps = [
        words("exchange", "Exchange", maxWidth=120),
        number("instrument_count", "Coins", maxWidth=100),
        lasting("duration_seconds", "Blind for", maxWidth=120),
        *times("started_at", "Since"),
        words("reason", "Reason", flex=2),
    ]
    refused = [
        words("source", "Source"),
        words("reason", "Reason", flex=3),
        number("refused_count", "Inputs", maxWidth=100),
        *times("last_refused_at", "Last"),
    ]
    return Board(
        name="pipeline",
        title="Pipeline",
        body=[
            html.Div(id="pipeline-figures", className="pnd-figures"),
            html.P(id="pipeline-built", className="pnd-note"),
            table("pipeline-services", "Services", services, key="name"),
            html.Div(
                [
                    chart(
                        "pipeline-coverage", "Coverage of the feeds", note=f"Instruments and buckets seen, by hour; last {HOURS} h of data."
                    ),
                    chart("pipeline-lag", "Lag of the feeds", note="99th percentile from a bucket's end to its commit."),
                ],
                className="pnd-tiles",
            ),
            table("pipeline-tables", "Freshness of the tables", tables, key="table_name", page_size=15),
            html.Div(
                [table("pipeline-gaps", "Gaps of the feeds", gaps, key="gap_id"), table("pipeline-refused", "Refused inputs", refused)],
                className="pnd-tiles",
            ),
        ],
        outputs={
            "figures": Output("pipeline-figures", "children"),
            "built": Output("pipeline-built", "children"),
            **{name: Output(f"pipeline-{name}", "figure") for name in ("coverage", "lag")},
            **{name: Output(f"pipeline-{name}", "rowData") for name in ("services", "tables", "gaps", "refused")},
        },
        fill=fill,
        seconds=SECONDS,
    )


def fill(marts: Marts) -> dict[str, Any]:
    """What the page shows now."""
    services, tables, hours, gaps = marts.read(_SERVICES), marts.read(_TABLES), marts.read(_HOURS, hours=HOURS), marts.read(_GAPS)
    built_at, is_old = marts.read(_BUILT).row(0)
    shown: dict[str, Any] = {}
    if built_at is None:
        shown["notice"] = f"The marts were never built: only live views have data. {BUILD_HINT}"
    troubled = services.filter(pl.col("state").is_in(["unhealthy", "silent"])).height if services.height else 0
    open_gaps = gaps.filter(pl.col("ended_at").is_null()).height if gaps.height else 0
    return shown | {
        "figures": figures(
            {
                "services that live": str(services.filter(pl.col("state") == "healthy").height if services.height else 0),
                "services in trouble": str(troubled),
                "feeds blind now": str(open_gaps),
                "tables with rows": str(tables["newest_at"].count() if tables.height else 0),
                "inputs refused": total(marts.read("SELECT sum(refused_count) AS n FROM mart.fct_refused_input"), "n"),
            }
        ),
        "built": [
            "Marts built ",
            moment(built_at),
            ": run the job `warehouse`" if is_old else "",
            ". Views of live tables are always current.",
        ],
        "coverage": _lines(hours, "seen_ratio", "seen (%)", 100),
        "lag": _lines(hours, "lag_p99_seconds", "lag (s)", 1),
        "services": records(services),
        "tables": records(tables),
        "gaps": records(gaps),
        "refused": records(marts.read(_REFUSED)),
    }


def _lines(hours: pl.DataFrame, column: str, axis: str, factor: float) -> go.Figure:
    if hours.is_empty():
        return empty("no collector has run yet: `pnd collect`, or `pnd up`")
    made = figure("hour (UTC)", axis)
    for (exchange,), part in hours.group_by("exchange", maintain_order=True):
        made.add_scatter(
            x=part["hour_end_at"].dt.to_string("%Y-%m-%d %H:%M").to_list(),
            y=[None if value is None else factor * value for value in part[column]],
            name=str(exchange),
            mode="lines+markers",
            marker_size=4,
            line={"color": EXCHANGE_COLOURS.get(str(exchange), OTHER)},
        )
    made.update_yaxes(rangemode="tozero")
    return made
