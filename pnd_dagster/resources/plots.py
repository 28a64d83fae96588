"""Plots for asset metadata: small PNGs inside markdown, drawn without a display."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PARTS = 9


def stacked_bars(counts: pl.DataFrame, *, x: str, y: str, color: str, title: str, y_label: str) -> dg.MetadataValue:
    """Stacked bars of `y` over `x`, one colour per value of `color`, the most frequent at the bottom, the rarest as one.

    Args:
        counts: one row per x and color; x may be dates or text.
        x: column of the horizontal axis.
        y: column with the height of a bar's part.
        color: column that names the part.
        title: the figure's title.
        y_label: the vertical axis' label, with its unit.
    """
    figure, axes = _figure(title, y_label)
    sizes = counts.group_by(color).agg(pl.col(y).sum()).sort(y, color, descending=[True, False])
    rare = sizes[color][MOST_PARTS:].implode()
    counts = counts.with_columns(pl.when(pl.col(color).is_in(rare)).then(pl.lit("others")).otherwise(color).alias(color))
    parts = counts.group_by(color).agg(pl.col(y).sum()).sort(y, color, descending=[True, False])[color].to_list()
    wide = counts.pivot(on=color, index=x, values=y, aggregate_function="sum").fill_null(0).sort(x)
    positions = list(range(wide.height))
    bottom = [0.0] * wide.height
    for part in parts:
        heights = [float(value) for value in wide[str(part)]]
        axes.bar(positions, heights, bottom=bottom, width=0.9, label=str(part))
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    step = max(1, wide.height // 16)
    axes.set_xticks(positions[::step], [str(value)[:7] for value in wide[x]][::step], rotation=45, ha="right", fontsize=8)
    return _picture(figure, axes, title, has_legend=bool(parts))


def lines(values: pl.DataFrame, *, x: str, y: str, color: str, title: str, y_label: str, is_log: bool = False) -> dg.MetadataValue:
    """One line of `y` over `x` per value of `color`.

    Args:
        values: one row per x and color; x may be times or numbers.
        x: column of the horizontal axis.
        y: column of the vertical axis; NULL leaves a hole.
        color: column that names the line.
        title: the figure's title.
        y_label: the vertical axis' label, with its unit.
        is_log: whether the horizontal axis is logarithmic.
    """
    figure, axes = _figure(title, y_label)
    names = values[color].unique().sort().to_list()
    for name in names:
        line = values.filter(pl.col(color) == name).sort(x)
        axes.plot(line[x].to_list(), line[y].to_list(), marker=".", markersize=3, linewidth=1, label=str(name))
    if is_log:
        axes.set_xscale("log")
    axes.tick_params(axis="x", labelsize=8, rotation=0 if is_log else 45)
    return _picture(figure, axes, title, has_legend=bool(names))


def _figure(title: str, y_label: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=90, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10)
    axes.set_ylabel(y_label, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _picture(figure: Figure, axes: Axes, title: str, *, has_legend: bool) -> dg.MetadataValue:
    if has_legend:
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")
