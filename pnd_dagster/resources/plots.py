"""Plots for asset metadata: small PNGs inside markdown, drawn without a display."""

from __future__ import annotations

import base64
import io

import dagster as dg
import polars as pl

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
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=90, layout="constrained")
    axes = figure.subplots()
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
    axes.set_title(title, fontsize=10)
    axes.set_ylabel(y_label, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    if parts:
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")
