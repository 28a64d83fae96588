"""How far labellers agree: Cohen's kappa between every two that labelled the same message revisions."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray

from pnd_dagster.messages.labels import LABEL_COUNT, MessageLabel
from pnd_dagster.storage import Written, read_frame, replace_window
from pnd_dagster.tables import LABEL_AGREEMENT, MESSAGE_LABELS, conform, polars_schema

_KEYS = ("channel_id", "message_id", "revision_id")
_DRAWS = 1000
_IS_HUMAN = pl.col("labeller_a").str.starts_with("human:") | pl.col("labeller_b").str.starts_with("human:")


class WrittenAgreement(NamedTuple):
    """The rows of core.label_agreement, and what writing them changed."""

    agreement: pl.DataFrame
    written: Written


def cohens_kappa(confusions: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Cohen's kappa of each confusion matrix [..., 6, 6]: (observed - chance) / (1 - chance agreement).

    NaN where it is undefined: no message, or both labellers gave one and the same label to all. (Cohen 1960)
    """
    total = confusions.sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.trace(confusions, axis1=-2, axis2=-1) / total
        chance = (confusions.sum(axis=-1) * confusions.sum(axis=-2)).sum(axis=-1) / total.astype(float) ** 2
        return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)


def label_agreement(engine: sa.Engine, *, seed: int = 0) -> pl.DataFrame:
    """Rows of core.label_agreement: one for each two labellers, versions apart, that share a message revision.

    The 95% interval is a bootstrap over channels, since a channel's posts resemble each other; NULL where only one channel is shared.
    """
    counts = read_frame(engine, _shared_labels())
    rows = [
        {"labeller_a": a, "labeller_b": b} | _figures(pair, seed)
        for (a, b), pair in counts.group_by("labeller_a", "labeller_b", maintain_order=True)
    ]
    return conform(pl.DataFrame(rows, schema=None if rows else polars_schema(LABEL_AGREEMENT)), LABEL_AGREEMENT)


def write_label_agreement(engine: sa.Engine) -> WrittenAgreement:
    """Makes core.label_agreement what `label_agreement` says; run twice, nothing changes."""
    agreement = label_agreement(engine)
    return WrittenAgreement(agreement, replace_window(engine, LABEL_AGREEMENT, agreement, sa.true()))


def agreement_preview(agreement: pl.DataFrame) -> pl.DataFrame:
    """Rows of core.label_agreement to be read by people: pairs with a human first, then those that share most messages."""
    return agreement.sort(_IS_HUMAN, "message_count", "labeller_a", "labeller_b", descending=[True, True, False, False]).select(
        "labeller_a", "labeller_b", messages="message_count", agreement="agreement_ratio", kappa="kappa", low="kappa_low", high="kappa_high"
    )


def confusion_of_largest_pair(agreement: pl.DataFrame) -> pl.DataFrame:
    """Confusion of the pair that shares most messages, pairs with a human before others; ready to plot.

    Returns:
        labeller_a, labeller_b, label_a, label_b (display names, in the order of the classes), message_count: 36 rows, none without a pair.
    """
    pair = agreement.sort(_IS_HUMAN, "message_count", "labeller_a", "labeller_b", descending=[True, True, False, False]).head(1)
    matrices = [json.loads(text) for text in pair["confusion"]]
    names = [label.display_name for label in MessageLabel]
    cells = [(a, b, matrix[i][j]) for matrix in matrices for i, a in enumerate(names) for j, b in enumerate(names)]
    confusion = pl.DataFrame(cells, {"label_a": pl.String, "label_b": pl.String, "message_count": pl.Int64}, orient="row")
    return pair.select("labeller_a", "labeller_b").join(confusion, how="cross")


def _shared_labels() -> sa.Select[Any]:
    """Counts of pairs of labels by pair of labellers and channel."""
    a, b = MESSAGE_LABELS.alias("a"), MESSAGE_LABELS.alias("b")
    name_a, name_b = (sa.func.concat(labels.c.labeller, "@", labels.c.labeller_version, type_=sa.Text) for labels in (a, b))
    columns = (
        name_a.label("labeller_a"),
        name_b.label("labeller_b"),
        a.c.channel_id,
        a.c.label.label("label_a"),
        b.c.label.label("label_b"),
    )
    return (
        sa.select(*columns, sa.func.count().label("message_count"))
        .select_from(a.join(b, sa.and_(*(a.c[key] == b.c[key] for key in _KEYS), name_a.collate("C") < name_b.collate("C"))))
        .group_by(*columns)
        .order_by(*columns)
    )


def _figures(counts: pl.DataFrame, seed: int) -> dict[str, Any]:
    channels, channel = np.unique(counts["channel_id"].to_numpy(), return_inverse=True)
    by_channel = np.zeros((len(channels), LABEL_COUNT, LABEL_COUNT), dtype=np.int64)
    np.add.at(by_channel, (channel, counts["label_a"].to_numpy(), counts["label_b"].to_numpy()), counts["message_count"].to_numpy())
    confusion = by_channel.sum(axis=0)
    low, high = _interval(by_channel, seed)
    return {
        "message_count": int(confusion.sum()),
        "agreement_ratio": float(np.trace(confusion) / confusion.sum()),
        "kappa": _or_null(cohens_kappa(confusion)),
        "kappa_low": low,
        "kappa_high": high,
        "confusion": json.dumps(confusion.tolist()),
    }


def _interval(by_channel: NDArray[np.int64], seed: int) -> tuple[float | None, float | None]:
    channel_count = len(by_channel)
    if channel_count < 2:
        return None, None
    weights = np.random.default_rng(seed).multinomial(channel_count, np.full(channel_count, 1 / channel_count), size=_DRAWS)
    samples = cohens_kappa((weights @ by_channel.reshape(channel_count, -1)).reshape(-1, LABEL_COUNT, LABEL_COUNT))
    samples = samples[~np.isnan(samples)]
    if not len(samples):
        return None, None
    low, high = cast("tuple[float, float]", np.percentile(samples, [2.5, 97.5]))
    return float(low), float(high)


def _or_null(value: NDArray[np.float64]) -> float | None:
    return None if np.isnan(value) else float(value)
