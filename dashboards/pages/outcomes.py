"""Outcomes: what pumps came to, how soon, and what came of a coin bought 30 s after its name was out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from dash import Input, Output, html

from dashboards.board import Board
from dashboards.charts import COLOURS, empty, figure
from dashboards.estimates import median_of, share_of
from dashboards.marts import CONDUCT_HINT, Marts
from dashboards.text import label
from dashboards.widgets import chart, figures, lasting, number, options, percent, records, select, table, words

MOST_ROWS = 500
# Candles know neither when a peak was nor what a late buyer paid.
RESOLUTIONS = {"trade": "single trades", "5 s": "buckets of 5 s", "day": "daily candles"}
_TIMED = ("trade", "5 s")
_GAINS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_PEAKS = (5, 15, 30, 60, 120, 300, 900)
_CHANGES = (-0.5, -0.25, -0.1, -0.05, 0.0, 0.05, 0.25)

_OUTCOMES = """
    SELECT outcome.event_id, coalesce(outcome.exchange, 'unknown') AS exchange, outcome.symbol, outcome.released_at,
        outcome.resolution, outcome.data, outcome.gain_ratio, outcome.seconds_to_peak, outcome.is_moved, outcome.drawdown_ratio,
        outcome.volume_ratio, outcome.bought_30s_10min_ratio, outcome.bought_30s_1h_ratio
    FROM mart.fct_pump_outcome AS outcome
    WHERE (CAST(:exchanges AS text[]) IS NULL OR coalesce(outcome.exchange, 'unknown') = ANY (CAST(:exchanges AS text[])))
        AND (CAST(:resolutions AS text[]) IS NULL OR outcome.resolution = ANY (CAST(:resolutions AS text[])))
        AND (CAST(:channels AS bigint[]) IS NULL OR EXISTS (
            SELECT FROM mart.fct_event_channel AS released
            WHERE released.event_id = outcome.event_id AND released.channel_id = ANY (CAST(:channels AS bigint[]))))
    ORDER BY outcome.released_at DESC, outcome.event_id
"""
_CHANNELS = """
    SELECT released.event_id, released.channel_id, coalesce(channel.display_title, CAST(released.channel_id AS text)) AS title
    FROM mart.fct_event_channel AS released
    JOIN mart.fct_pump_outcome AS outcome ON outcome.event_id = released.event_id AND outcome.resolution IS NOT NULL
    LEFT JOIN mart.dim_channel AS channel ON channel.channel_id = released.channel_id
"""
_EXCHANGES = "SELECT coalesce(exchange, 'unknown') AS exchange, count(*) AS events FROM mart.fct_pump_outcome GROUP BY 1 ORDER BY 2 DESC, 1"


def board() -> Board:
    """The page."""
    figures_of = [
        number("n", "Events (n)", maxWidth=100),
        percent("gain", "Median peak gain", digits=1),
        percent("gain_low", "95% from", digits=1),
        percent("gain_high", "to", digits=1),
        lasting("to_peak", "Median time to peak"),
        percent("moved", "Moved at all"),
        number("bought", "Late buyers (n)", maxWidth=110),
        percent("after_10min", "After 10 min", digits=1),
        percent("after_10min_low", "95% from", digits=1),
        percent("after_10min_high", "to", digits=1),
        percent("after_1h", "After an hour", digits=1),
        percent("lost_1h", "Lost by then"),
    ]
    made_of = words("made_of", "Made of", minWidth=140)
    events = [
        words("symbol", "Coin", cellRenderer="EventLink", minWidth=100),
        words("exchange", "Exchange"),
        {"field": "released_at", "headerName": "Released (UTC)", "valueFormatter": {"function": "utc(params.value)"}, "minWidth": 180},
        words("made_of", "Made of", minWidth=140),
        percent("gain_ratio", "Peak gain"),
        lasting("seconds_to_peak", "Time to peak"),
        percent("drawdown_ratio", "Fall after the peak"),
        number("volume_ratio", "Volume (times the usual)", digits=None),
        percent("bought_30s_10min_ratio", "Bought 30 s late, after 10 min"),
        percent("bought_30s_1h_ratio", "Bought 30 s late, after an hour"),
    ]
    lost = "Worth over price paid, minus 1, of a coin bought 30 s after the release. Events with trades or 5 s buckets only."
    return Board(
        name="outcomes",
        title="Outcomes",
        controls=[
            select("outcomes-exchanges", "Exchange"),
            select("outcomes-channels", "Channel"),
            select("outcomes-resolutions", "Prices made of"),
        ],
        body=[
            html.Div(id="outcomes-figures", className="pnd-figures"),
            table("outcomes-data", "What these figures stand on", _data_columns()),
            html.Div(
                [
                    chart(
                        "outcomes-gains",
                        "Peak gain",
                        height=360,
                        note="Highest price of the hour after the release over that 10 min before it.",
                    ),
                    chart("outcomes-peaks", "Time from release to peak", height=360, note="Events with trades or 5 s buckets only."),
                ],
                className="pnd-tiles",
            ),
            chart("outcomes-late", "What a buyer 30 s late was left with", note=lost),
            table("outcomes-exchange", "By exchange", [words("name", "Exchange"), made_of, *figures_of], note=_TABLE_NOTE),
            table("outcomes-channel", "By channel", [words("name", "Channel", minWidth=180, tooltipField="name"), made_of, *figures_of]),
            table("outcomes-table", "Events", events, note=f"The newest {MOST_ROWS} with prices.", key="event_id"),
        ],
        inputs={name: Input(f"outcomes-{name}", "value") for name in ("exchanges", "channels", "resolutions")},
        outputs={
            "figures": Output("outcomes-figures", "children"),
            **{name: Output(f"outcomes-{name}", "figure") for name in ("gains", "peaks", "late")},
            **{name: Output(f"outcomes-{name}", "rowData") for name in ("data", "exchange", "channel", "table")},
            **{f"{name}_options": Output(f"outcomes-{name}", "options") for name in ("exchanges", "channels", "resolutions")},
        },
        fill=fill,
    )


_TABLE_NOTE = (
    "Moved at all: gained at least 5% and more than is usual for the coin. Lost by then: share of late buyers with less than they paid. "
    "Intervals from six events on; candles are of the whole day."
)


def _data_columns() -> list[dict[str, Any]]:
    return [
        words("made_of", "Prices made of"),
        words("data", "Table or file"),
        number("n", "Events (n)"),
        number("bought", "Late buyers (n)"),
        {"field": "first", "headerName": "First (UTC)", "valueFormatter": {"function": "utc(params.value)"}, "minWidth": 180},
        {"field": "last", "headerName": "Last (UTC)", "valueFormatter": {"function": "utc(params.value)"}, "minWidth": 180},
    ]


def fill(marts: Marts, **chosen: Any) -> dict[str, Any]:
    """Outcomes of the events that fit what was chosen, and what can be chosen.

    Args:
        marts: the warehouse.
        chosen: `exchanges`, `channels` (ids as text), `resolutions`, each a list or None.
    """
    bound = {name: chosen.get(name) or None for name in ("exchanges", "resolutions")}
    every = marts.read(_OUTCOMES, channels=[int(channel) for channel in chosen.get("channels") or []] or None, **bound)
    channels, exchanges = marts.read(_CHANNELS), marts.read(_EXCHANGES)
    known = every.filter(pl.col("resolution").is_not_null()).with_columns(pl.col("resolution").replace(RESOLUTIONS).alias("made_of"))
    timed = known.filter(pl.col("resolution").is_in(_TIMED))
    shown: dict[str, Any] = {}
    if exchanges.is_empty():
        shown["notice"] = f"No outcome was computed yet. {CONDUCT_HINT}"
    elif known.is_empty() and not any(chosen.values()):
        shown["notice"] = "No event has prices around its release yet: `pnd collect` records them live, `pnd run` loads daily candles."
    by_channel = known.join(channels, on="event_id")
    return shown | {
        **_choices(exchanges, channels),
        "figures": _figures(every, known, timed),
        "data": records(_grounds(known)),
        "gains": _classes(_by_origin(known, "gain_ratio"), _GAINS, "peak gain", factor=100, unit=" %", mode="stack"),
        "peaks": _classes(_by_origin(timed, "seconds_to_peak"), _PEAKS, "time to peak", factor=1, unit=" s", mode="stack"),
        "late": _classes({name: timed[key] for key, name in _LATE.items()}, _CHANGES, "change", factor=100, unit=" %", mode="group"),
        "exchange": _by(known, "exchange", "exchange"),
        "channel": _by(by_channel, "channel_id", "title"),
        "table": records(known.head(MOST_ROWS).drop("data", "resolution", "is_moved")),
    }


_LATE = {"bought_30s_10min_ratio": "10 min after buying", "bought_30s_1h_ratio": "an hour after buying"}


def _choices(exchanges: pl.DataFrame, channels: pl.DataFrame) -> dict[str, Any]:
    counts = channels.group_by("channel_id", "title").len().sort("len", "channel_id", descending=[True, False])
    return {
        "exchanges_options": options([(name, f"{label(name)} ({events:,})") for name, events in exchanges.iter_rows()]),
        "channels_options": options([(str(key), f"{label(title)} ({events:,})") for key, title, events in counts.iter_rows()]),
        "resolutions_options": options(list(RESOLUTIONS.items())),
    }


def _figures(every: pl.DataFrame, known: pl.DataFrame, timed: pl.DataFrame) -> list[Any]:
    ten, hour = _LATE
    return figures(
        {
            "events": f"{every.height:,}",
            "of them with prices": f"{known.height:,}",
            **_median("median peak gain", timed["gain_ratio"], 100, " %"),
            **_median("median time to peak", timed["seconds_to_peak"], 1, " s"),
            **_median("median 10 min after buying 30 s late", timed[ten], 100, " %"),
            **_median("median an hour after buying 30 s late", timed[hour], 100, " %"),
        }
    )


def _median(name: str, values: pl.Series, factor: float, unit: str) -> dict[str, str]:
    middle, low, high, n = median_of(values)
    within = "" if low is None or high is None else f", 95% {factor * low:,.1f} to {factor * high:,.1f}"
    return {f"{name} (n={n:,}{within})": "–" if middle is None else f"{factor * middle:,.1f}{unit}"}


def _grounds(known: pl.DataFrame) -> pl.DataFrame:
    late = pl.col("bought_30s_10min_ratio").is_not_null().sum().alias("bought")
    first, last = pl.col("released_at").min().alias("first"), pl.col("released_at").max().alias("last")
    return known.group_by("made_of", "data").agg(pl.len().alias("n"), late, first, last).sort("n", "made_of", "data", descending=True)


def _by_origin(events: pl.DataFrame, column: str) -> dict[str, pl.Series]:
    return {kind: events.filter(pl.col("made_of") == kind)[column] for kind in RESOLUTIONS.values()}


def _classes(parts: dict[str, pl.Series], edges: tuple[float, ...], axis: str, *, factor: float, unit: str, mode: str) -> go.Figure:
    """Bars of events by class of their figure, for each part in a colour of its own."""
    names = [f"below {factor * edges[0]:g}", *(f"{factor * a:g} to {factor * b:g}" for a, b in pairwise(edges))]
    names.append(f"{factor * edges[-1]:g} or more")
    known = {name: values.drop_nulls().drop_nans().to_numpy() for name, values in parts.items()}
    if not any(len(values) for values in known.values()):
        return empty("no prices that fine around these events")
    made = figure(f"{axis} ({unit.strip()})", "events", barmode=mode, showlegend=True)
    for (name, values), colour in zip(known.items(), COLOURS, strict=False):
        if len(values):
            made.add_bar(
                x=names,
                y=np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(names)).tolist(),
                name=f"{name} (n={len(values):,})",
                marker_color=colour,
                marker_line_width=0,
                hovertemplate="%{x}" + unit + ": %{y:,} events<extra></extra>",
            )
    return made


def _by(events: pl.DataFrame, key: str, name: str) -> list[dict[str, Any]]:
    """One row per exchange or channel and what its prices are made of, the most events first."""
    rows: list[dict[str, Any]] = []
    for (_, made_of), part in events.group_by(key, "made_of"):
        gain, peak = median_of(part["gain_ratio"]), median_of(part["seconds_to_peak"])
        ten, hour = (median_of(part[column]) for column in _LATE)
        moved = part["is_moved"].drop_nulls()
        rows.append(
            {
                "name": part[name][0],
                "made_of": made_of,
                "n": part.height,
                **dict(zip(("gain", "gain_low", "gain_high"), gain[:3], strict=True)),
                "to_peak": peak[0],
                "moved": share_of(int(moved.sum()), moved.len())[0],
                "bought": ten[3],
                **dict(zip(("after_10min", "after_10min_low", "after_10min_high"), ten[:3], strict=True)),
                "after_1h": hour[0],
                "lost_1h": share_of(int((part["bought_30s_1h_ratio"] < 0).sum()), hour[3])[0],
            }
        )
    return sorted(rows, key=lambda row: (-row["n"], str(row["name"]), row["made_of"]))[:MOST_ROWS]
