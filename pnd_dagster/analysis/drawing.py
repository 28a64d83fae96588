"""Drawings of the analyses as PNG images, in one style, without a display."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PARTS = 11
MOST_BOXES = 20


def stacked_bars(counts: pl.DataFrame, *, x: str, y: str, color: str, title: str, y_label: str) -> bytes:
    """Bars of `y` over `x`, one colour per value of `color`; the rarest of more than `MOST_PARTS` are one, `others`."""
    figure, (axes,) = _figure(title, [y_label])
    by_size = counts.group_by(color).agg(pl.col(y).sum()).sort(y, color, descending=[True, False])[color]
    named = by_size[:MOST_PARTS].to_list()
    parts = counts.with_columns(part=pl.when(pl.col(color).is_in(named)).then(color).otherwise(pl.lit("others")))
    wide = parts.pivot(on="part", index=x, values=y, aggregate_function="sum").fill_null(0).sort(x)
    places, bottom = list(range(wide.height)), [0.0] * wide.height
    shown: list[str] = [*named, *(["others"] if len(by_size) > MOST_PARTS else [])]
    for number, part in enumerate(shown):
        heights = [float(value) for value in wide[part]]
        axes.bar(
            places, heights, bottom=bottom, width=0.9, label=_plain(part), color=f"C{number}" if number < 10 else f"{0.3 * number % 0.9}"
        )
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    step = max(1, wide.height // 16)
    axes.set_xticks(places[::step], [str(value)[:7] for value in wide[x]][::step], rotation=45, ha="right", fontsize=8)
    return _picture(figure, axes)


def bars(
    values: pl.DataFrame,
    *,
    x: str,
    y: str,
    color: str,
    title: str,
    y_label: str,
    x_label: str,
    is_log: bool = False,
    ends: tuple[str, str] | None = None,
) -> bytes:
    """Bars of `y` side by side at each `x`, one colour per value of `color`; `ends` names the columns of their interval."""
    figure, (axes,) = _figure(title, [y_label])
    groups, places = values[color].unique(maintain_order=True).to_list()[:MOST_PARTS], sorted(values[x].unique().to_list())
    width = 0.85 / max(len(groups), 1)
    for number, group in enumerate(groups):
        own = values.filter((pl.col(color) == group) & pl.col(y).is_not_null())
        at = [places.index(place) + number * width for place in own[x]]
        spread = None
        if ends:
            low, high = (own[name].fill_null(own[y]) for name in ends)
            spread = [(own[y] - low).clip(0).to_list(), (high - own[y]).clip(0).to_list()]
        axes.bar(at, own[y].to_list(), width=width, label=_plain(group), yerr=spread, error_kw={"linewidth": 0.8})
    axes.set_xticks([spot + 0.425 - width / 2 for spot in range(len(places))], [_plain(place) for place in places], fontsize=8)
    axes.set_xlabel(x_label, fontsize=9)
    if is_log and (values[y] > 0).any():
        axes.set_yscale("log")
    return _picture(figure, axes)


def bands(paths: pl.DataFrame, *, x: str, color: str, title: str, y_label: str, x_label: str) -> bytes:
    """Median, quartiles and mean over `x`, a colour per value of `color`: columns median, lower, upper, mean."""
    figure, (axes,) = _figure(title, [y_label])
    for number, name in enumerate(paths[color].unique(maintain_order=True).to_list()):
        line = paths.filter(pl.col(color) == name).sort(x)
        shade = f"C{number}"
        at, lower, upper, median, mean = (line[column].to_numpy() for column in (x, "lower", "upper", "median", "mean"))
        axes.fill_between(at, lower, upper, color=shade, alpha=0.2, linewidth=0)
        axes.plot(at, median, color=shade, linewidth=1.4, label=f"{_plain(name)}: median, quartiles")
        axes.plot(at, mean, color=shade, linewidth=1, linestyle="--", label=f"{_plain(name)}: mean")
    axes.axvline(0, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel(x_label, fontsize=9)
    return _picture(figure, axes)


def boxes(values: pl.DataFrame, *, group: str, columns: Sequence[tuple[str, str]], title: str) -> bytes:
    """Box plots by group on logarithmic axes, a panel per column and label; the groups with the most rows first."""
    figure, panels = _figure(title, [label for _, label in columns])
    groups = values[group].value_counts(sort=True).sort("count", group, descending=[True, False])[group][:MOST_BOXES].to_list()
    for axes, (column, _) in zip(panels, columns, strict=True):
        own = [values.filter((pl.col(group) == name) & (pl.col(column) > 0))[column].to_list() for name in groups]
        if any(own):
            axes.boxplot(own, sym=".", tick_labels=[_plain(name) for name in groups])
            axes.set_yscale("log")
        axes.tick_params(axis="x", labelsize=7, rotation=90)
    return _picture(figure, None)


def before_and_after(pairs: pl.DataFrame, *, x: str, y: str, color: str, title: str, x_label: str, y_label: str) -> bytes:
    """A point per row on logarithmic axes, beside the diagonal on which nothing changed."""
    figure, (axes,) = _figure(title, [y_label])
    sound = pairs.filter((pl.col(x) > 0) & (pl.col(y) > 0))
    for name in sound[color].unique(maintain_order=True).to_list():
        own = sound.filter(pl.col(color) == name)
        axes.scatter(own[x].to_list(), own[y].to_list(), s=14, alpha=0.7, label=_plain(name))
    if not sound.is_empty():
        ends = [float(min(sound[x].min(), sound[y].min())), float(max(sound[x].max(), sound[y].max()))]  # pyright: ignore[reportArgumentType]
        axes.plot(ends, ends, color="grey", linewidth=0.8, linestyle="--", label="unchanged")
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlabel(x_label, fontsize=9)
    return _picture(figure, axes)


def _figure(title: str, y_labels: Sequence[str]) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6 * (1 if len(y_labels) == 1 else 0.8 * len(y_labels))), dpi=90, layout="constrained")
    panels: list[Axes] = list(figure.subplots(len(y_labels), 1, squeeze=False, sharex=True)[:, 0])
    figure.suptitle(_plain(title), fontsize=10)
    for axes, label in zip(panels, y_labels, strict=True):
        axes.set_ylabel(label, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _plain(text: object) -> str:
    """Text that is drawn as it is: `$` starts no formula, and letters that no font has are not asked for."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in str(text)).replace("$", r"\$")


def _picture(figure: Figure, axes: Axes | None) -> bytes:
    if axes is not None and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
