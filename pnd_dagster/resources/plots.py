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


def matrix(cells: pl.DataFrame, *, rows: str, columns: str, value: str, title: str) -> dg.MetadataValue:
    """Counts of pairs as a matrix with the numbers in it; each row is coloured by its own shares.

    Args:
        cells: one row per pair, in the order in which rows and columns shall stand.
        rows: column that names the matrix' row.
        columns: column that names the matrix' column.
        value: column with the count.
        title: the figure's title.
    """
    figure, axes = _figure(title, rows.replace("_", " "))
    down, across = (cells[name].unique(maintain_order=True).to_list() for name in (rows, columns))
    counts = {(row, column): count for row, column, count in cells.select(rows, columns, value).iter_rows()}
    table = [[counts.get((row, column), 0) for column in across] for row in down]
    axes.imshow([[count / max(sum(line), 1) for count in line] for line in table], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(across)), across, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(down)), down, fontsize=8)
    axes.set_xlabel(columns.replace("_", " "), fontsize=9)
    for y, line in enumerate(table):
        for x, count in enumerate(line):
            axes.text(x, y, f"{count:,}", ha="center", va="center", fontsize=8, color="white" if count > sum(line) / 2 else "black")
    return _picture(figure, axes, title, has_legend=False)


def calibration(bins: pl.DataFrame, *, title: str) -> dg.MetadataValue:
    """Accuracy over confidence, beside the diagonal on which a calibrated model lies.

    Args:
        bins: confidence and accuracy (0 to 1) and messages of each bin.
        title: the figure's title.
    """
    figure, axes = _figure(title, "accuracy")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--", label="calibrated")
    axes.plot(bins["confidence"].to_list(), bins["accuracy"].to_list(), marker="o", markersize=4, linewidth=1, label="model")
    for confidence, accuracy, count in bins.select("confidence", "accuracy", "messages").iter_rows():
        axes.annotate(f"{count:,}", (confidence, accuracy), textcoords="offset points", xytext=(4, -9), fontsize=7)
    axes.set_xlabel("confidence", fontsize=9)
    return _picture(figure, axes, title, has_legend=True)


def highlighted(points: pl.DataFrame, *, x: str, y: str, is_marked: str, title: str, y_label: str, mark: str) -> dg.MetadataValue:
    """Points of `y`, one column of them per value of `x`, some of them marked.

    Args:
        points: one row per point.
        x: column that names the point's place on the horizontal axis; in the order of the rows.
        y: column of the vertical axis.
        is_marked: column that says which are marked.
        title: the figure's title.
        y_label: the vertical axis' label, with its unit.
        mark: what the marked ones are.
    """
    figure, axes = _figure(title, y_label)
    names = points[x].unique(maintain_order=True).to_list()
    places = points.with_columns(place=pl.col(x).replace_strict(names, list(range(len(names))), return_dtype=pl.Int64))
    others, marked = places.filter(~pl.col(is_marked)), places.filter(is_marked)
    axes.scatter(others["place"].to_list(), others[y].to_list(), s=6, color="lightgrey", label="others")
    axes.scatter(marked["place"].to_list(), marked[y].to_list(), s=16, color="crimson", label=mark)
    axes.set_xticks(range(len(names)), [str(name) for name in names], rotation=90, fontsize=6)
    return _picture(figure, axes, title, has_legend=True)


def picture(png: bytes, title: str) -> dg.MetadataValue:
    """A PNG image as metadata; the title is a name of ours, nobody's text."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


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
    return picture(buffer.getvalue(), title)
