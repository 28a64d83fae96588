"""Figures from frames. Axes name their unit, times are UTC, an exchange has the same colour on every page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from dashboards.text import plain

# Readable on both themes and by the colour-blind (after Okabe and Ito).
COLOURS = ("#3d9be9", "#ff9222", "#2bb793", "#cc79a7", "#e3c12f", "#8e7cc3", "#e15759", "#76b7b2", "#b07aa1")
OTHER = "#8a8d96"
EXCHANGE_COLOURS: dict[str, str] = dict(
    zip(("kucoin", "latoken", "poloniex", "mexc", "xt", "hotbit", "yobit", "binance", "bittrex"), COLOURS, strict=True)
)
_LABELS = ("announcement", "countdown", "release", "results", "delay or cancellation")
LABEL_COLOURS: dict[str, str] = dict(zip(_LABELS, COLOURS, strict=False)) | {"noise": OTHER, "unlabelled": "#565a66"}


def figure(x: str = "", y: str = "", **layout: Any) -> go.Figure:
    """An empty figure with named axes on a transparent ground."""
    made = go.Figure()
    made.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None, "traceorder": "normal", "font": {"size": 11}},
        hovermode="closest",
        bargap=0.15,
    )
    made.update_xaxes(title=x, automargin=True)
    made.update_yaxes(title=y, automargin=True)
    made.update_layout(**layout)
    return made


def empty(text: str = "no data yet") -> go.Figure:
    """A figure that says that there is nothing to draw."""
    made = figure()
    made.update_xaxes(visible=False)
    made.update_yaxes(visible=False)
    made.add_annotation(
        text=text.replace("`", ""), showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5, font={"size": 14, "color": OTHER}
    )
    return made


def stacked(frame: pl.DataFrame, *, x: str, y: str, by: str, axes: tuple[str, str], colours: dict[str, str]) -> go.Figure:
    """Bars over the months `x`, stacked by the values of `by`: those with a colour of their own in their order, all others as one."""
    if frame.is_empty():
        return empty()
    named = frame.with_columns(pl.when(pl.col(by).is_in(list(colours))).then(pl.col(by)).otherwise(pl.lit("other")).alias(by))
    sums = named.group_by(x, by).agg(pl.col(y).sum()).sort(x)
    made = figure(*axes, barmode="stack")
    # A tick stands on the first of a month: Plotly's own steps of 30 days would name the month before.
    made.update_xaxes(tickformat="%b %Y", tick0=sums[x][0], dtick=f"M{1 + sums[x].n_unique() // 14}")
    for name in (*colours, "other"):
        part = sums.filter(pl.col(by) == name)
        if not part.is_empty():
            made.add_bar(x=part[x].to_list(), y=part[y].to_list(), name=name, marker_color=colours.get(name, OTHER), marker_line_width=0)
    return made


def ranked(
    frame: pl.DataFrame, *, name: str, value: str, axis: str, ids: str = "", colours: Sequence[str] = (), width: int = 32
) -> go.Figure:
    """Horizontal bars, the first row on top, named by the first `width` letters. `ids` tells rows of the same name apart."""
    if frame.is_empty():
        return empty()
    keys = [str(key) for key in frame[ids or name].to_list()]
    labels = [plain(text, width) for text in frame[name].to_list()]
    made = figure(axis, showlegend=False)
    made.add_bar(
        x=frame[value].to_list(),
        y=keys,
        orientation="h",
        marker_color=list(colours) if colours else COLOURS[0],
        marker_line_width=0,
        customdata=labels,
        hovertemplate="%{customdata}: %{x:,}<extra></extra>",
    )
    made.update_yaxes(type="category", tickmode="array", tickvals=keys, ticktext=labels, autorange="reversed")
    return made


def mark(made: go.Figure, at: str | float, text: str) -> None:
    """A dashed vertical line at a place of the x axis, with a word beside it."""
    made.add_shape(type="line", x0=at, x1=at, y0=0, y1=1, yref="paper", line={"dash": "dash", "width": 1, "color": "#ff9222"})
    made.add_annotation(x=at, y=1, yref="paper", text=text, showarrow=False, xanchor="left", yanchor="top", font={"color": "#ff9222"})


def twin(x: str, left: str, right: str) -> go.Figure:
    """A figure with a second axis on the right, `y2`, for bars behind the lines."""
    made = figure(x, left)
    made.update_layout(
        yaxis={"overlaying": "y2", "zeroline": False, "showgrid": True, "tickmode": "auto"},
        yaxis2={"title": right, "side": "right", "showgrid": False, "rangemode": "tozero", "automargin": True},
    )
    return made
