"""Labelling messages with the six classes: the interface every model stands behind, the packaged model, labelling of frames.

Neither training nor evaluation belongs here. Nothing is fetched: the packaged weights are in the package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.errors import SchemaError
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.model_files import CARD_FILE, PACKAGED_DIR
from pnd_dagster.messages.normalise import normalise_many
from pnd_dagster.messages.pumpbert import load_pumpbert
from pnd_dagster.settings import Settings

_CHUNK = 20_000


class Classifier(Protocol):
    """A model that labels normalised messages; `name` and `version` go into the rows it labels."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def abstain_below(self) -> float:
        """Confidence below which a better labeller should decide: a language model or a human."""
        ...

    def predict_probabilities(self, normalised: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities [n, 6] of the classes of `MessageLabel`, each row summing to 1; of normalised texts, in order."""
        ...


def load_classifier(path: Path | None = None) -> Classifier:
    """The model in the folder `path`, by default the packaged one, which a process loads once; its files are checked against its card.

    Raises:
        SourceError: the folder holds no model, or one whose checksum is wrong.
    """
    return load_pumpbert(path) if path and path != PACKAGED_DIR else _packaged()


@cache
def _packaged() -> Classifier:
    return load_pumpbert(PACKAGED_DIR)


def chosen_model_dir(settings: Settings) -> Path:
    """Folder of the classifier these settings mean: the one they name, else the one promoted last, else the one that ships."""
    if settings.model_dir is not None:
        return settings.model_dir
    return settings.promoted_model_dir if (settings.promoted_model_dir / CARD_FILE).exists() else PACKAGED_DIR


def label_messages(frame: pl.DataFrame, classifier: Classifier, progress: Callable[[int, int], None] | None = None) -> pl.DataFrame:
    """`frame` with label, confidence, is_abstained and model_version of the message in its column text.

    An empty or missing text is noise with confidence 1. A text that occurs often is labelled once. Memory beyond the frame is bounded
    by the distinct texts of one chunk.

    Args:
        frame: any columns, with text (raw, not normalised); label, confidence, is_abstained and model_version are replaced if there.
        classifier: labels the normalised texts.
        progress: called with the number of distinct texts done and in all.

    Raises:
        SchemaError: text is missing or no string.
    """
    if "text" not in frame.columns:
        raise SchemaError("messages: missing column text")
    if not isinstance(frame["text"].dtype, pl.String | pl.Null):
        raise SchemaError(f"messages: column text is {frame['text'].dtype}, not String")
    texts = frame.select(pl.col("text").cast(pl.String).fill_null(""))["text"]
    distinct = texts.unique(maintain_order=True)
    labels: list[NDArray[np.int16]] = []
    confidences: list[NDArray[np.float32]] = []
    for at in range(0, len(distinct), _CHUNK):
        label, confidence = _label_texts(normalise_many(distinct[at : at + _CHUNK]), classifier)
        labels.append(label)
        confidences.append(confidence)
        if progress:
            progress(min(at + _CHUNK, len(distinct)), len(distinct))
    labelled = pl.DataFrame(
        {
            "text": distinct,
            "label": np.concatenate(labels) if labels else np.zeros(0, np.int16),
            "confidence": np.concatenate(confidences) if confidences else np.zeros(0, np.float32),
        },
        schema={"text": pl.String, "label": pl.Int16, "confidence": pl.Float32},
    )
    columns = pl.DataFrame({"text": texts}).join(labelled, on="text", how="left", maintain_order="left")
    return frame.with_columns(
        columns["label"],
        columns["confidence"],
        (columns["confidence"] < classifier.abstain_below).alias("is_abstained"),
        pl.lit(f"{classifier.name}-{classifier.version}", dtype=pl.String).alias("model_version"),
    )


def _label_texts(normalised: list[str], classifier: Classifier) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Label and confidence of each text; equal ones are predicted once, empty ones are noise."""
    place_of: dict[str, int] = {}
    places = [place_of.setdefault(text, len(place_of)) for text in normalised]
    probabilities = classifier.predict_probabilities(list(place_of))
    labels = probabilities.argmax(axis=1).astype(np.int16)
    confidences = probabilities.max(axis=1)
    if "" in place_of:
        labels[place_of[""]] = MessageLabel.NOISE
        confidences[place_of[""]] = 1.0
    return labels[places], confidences[places]
