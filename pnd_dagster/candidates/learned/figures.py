"""The paper's Figures 14 to 17 as PNG images: a row of panels, one per protocol."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.candidates.learned.measures import Booleans, curve_areas, weighted_f1
from pnd_dagster.candidates.learned.series import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THRESHOLDS = np.linspace(0.05, 0.95, 19)
Curve = Callable[[Floats, Booleans], tuple[Floats, Floats]]


def confusion_matrices(predictions: pl.DataFrame, title: str) -> bytes:
    """Figure 14: counts of pumped and other coins that were named or not, at a probability of 0.5; a row per model, a column per protocol.

    Args:
        predictions: of `Evaluation`, one variant.
        title: what data it is.
    """
    protocols, models = (predictions[name].unique(maintain_order=True).to_list() for name in ("protocol", "model"))
    figure = _figure(3.2 * len(protocols), 2.9 * len(models), f"Confusion matrices (paper, Figure 14): {title}")
    grid = figure.subplots(len(models), len(protocols), squeeze=False)
    for row, model in enumerate(models):
        for column, protocol in enumerate(protocols):
            own = predictions.filter(pl.col("model") == model, pl.col("protocol") == protocol)
            counts = confusion_counts(own["score"].to_numpy(), own["is_pumped"].to_numpy())
            axes = grid[row, column]
            axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
            for y, x in np.ndindex(2, 2):
                is_dark = counts[y, x] > counts[y].sum() / 2
                axes.text(x, y, f"{counts[y, x]:,}", ha="center", va="center", color="white" if is_dark else "black")
            axes.set_xticks([0, 1], ["other", "pumped"])
            axes.set_yticks([0, 1], ["other", "pumped"])
            axes.set_title(f"{model}, {protocol}", fontsize=8)
            axes.set_xlabel("named", fontsize=8)
            axes.set_ylabel("true", fontsize=8)
    return _png(figure)


def confusion_counts(scores: Floats, is_pumped: Booleans) -> NDArray[np.int64]:
    """Samples by what they are (rows: other, pumped) and what a probability of 0.5 names them (columns: the same)."""
    named = scores >= 0.5
    return np.array([[np.sum((is_pumped == true) & (named == says)) for says in (False, True)] for true in (False, True)])


def precision_recall_curves(predictions: pl.DataFrame, title: str) -> bytes:
    """Figure 15: precision over recall of each model; the dashed line is the share of pumped samples."""
    head = f"Precision and recall (paper, Figure 15): {title}"
    return _curves(predictions, head, "recall", "precision", precision_by_recall, has_base=True)


def precision_by_recall(scores: Floats, is_pumped: Booleans) -> tuple[Floats, Floats]:
    """Recall, ascending, and precision, at each score that occurs."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(is_pumped[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return hits[ends] / hits[-1], hits[ends] / (ends + 1)


def f1_by_threshold(predictions: pl.DataFrame, title: str) -> bytes:
    """Figure 16: weighted F1 of each model over the probability from which on a coin is named."""

    def curve(scores: Floats, is_pumped: Booleans) -> tuple[Floats, Floats]:
        once = np.ones((1, len(scores)))
        return THRESHOLDS, np.array([float(weighted_f1(scores >= limit, is_pumped, once)[0]) for limit in THRESHOLDS])

    return _curves(predictions, f"Weighted F1 by threshold (paper, Figure 16): {title}", "threshold", "weighted F1", curve)


def pr_auc_by_threshold(predictions: pl.DataFrame, title: str) -> bytes:
    """Figure 17: average precision of the answers named or not named, over the threshold.

    Average precision of the probabilities has no threshold; the paper plots one, so its answers must have been made 0 or 1 first.
    """

    def curve(scores: Floats, is_pumped: Booleans) -> tuple[Floats, Floats]:
        once = np.ones((1, len(scores)))
        return THRESHOLDS, np.array([curve_areas((scores >= limit).astype(float), is_pumped, once)[1][0] for limit in THRESHOLDS])

    return _curves(predictions, f"PR-AUC by threshold (paper, Figure 17): {title}", "threshold", "PR-AUC", curve, has_base=True)


def _curves(predictions: pl.DataFrame, title: str, x_label: str, y_label: str, curve: Curve, *, has_base: bool = False) -> bytes:
    protocols = predictions["protocol"].unique(maintain_order=True).to_list()
    figure = _figure(3.6 * len(protocols), 3.4, title)
    grid = figure.subplots(1, len(protocols), squeeze=False, sharey=True)
    for axes, protocol in zip(grid[0], protocols, strict=True):
        own = predictions.filter(pl.col("protocol") == protocol)
        for (model,), rows in own.group_by("model", maintain_order=True):
            x, y = curve(rows["score"].to_numpy(), rows["is_pumped"].to_numpy())
            axes.plot(x, y, linewidth=1.2, label=str(model))
        if has_base:
            axes.axhline(own["is_pumped"].to_numpy().mean(), color="grey", linestyle="--", linewidth=1)
        _dress(axes, f"{protocol}, n = {own.filter(pl.col('model') == own['model'][0]).height}", x_label)
    grid[0, 0].set_ylabel(y_label, fontsize=9)
    grid[0, -1].legend(fontsize=7, frameon=False)
    return _png(figure)


def _dress(axes: Axes, title: str, x_label: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylim(0, 1.02)
    axes.spines[["top", "right"]].set_visible(False)


def _figure(width: float, height: float, title: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(width, 5), height), dpi=90, layout="constrained")
    figure.suptitle(title, fontsize=10)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def slug(words: str) -> str:
    """Words as part of a file name."""
    return "_".join(words.replace("-", "_").split())
