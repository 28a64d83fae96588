"""Fits PumpBERT on labelled messages: linear model, encoder, and the blend of both on channels that neither has seen.

One path for every purpose: the model that ships, each fold of each protocol, and the Dagster asset are fitted by `fit`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.errors import SourceError
from pnd_dagster.messages.blend import fit_blend
from pnd_dagster.messages.encoder_training import EncoderOptions, FineTuned, TrainingSet, fine_tune
from pnd_dagster.messages.features import FEATURES_VERSION
from pnd_dagster.messages.linear import fit_linear, linear_to_bytes
from pnd_dagster.messages.pumpbert import ENCODER_FILE, LINEAR_FILE, TOKENIZER_FILE, pumpbert_of
from pnd_dagster.messages.splits import Split, check_split, purged

# Raised with every change of what `fit` makes of the same examples and options: kept predictions are of one recipe.
RECIPE_VERSION = 3
# How much a label counts, by who gave it. The first sources draw the lines we steer by.
SOURCE_WEIGHTS = {"human": 1.0, "authors": 1.0, "reader": 0.5, "wild": 0.6, "llm": 0.5, "synthetic": 0.4}
# To the encoder a label that its reader doubted counts for half; the linear model is better for having them whole.
_UNSURE_WEIGHT = 0.5
# Readers of these sources draw some lines otherwise: they train a head of their own on the shared encoder, which predicts nothing.
_OTHER_CONVENTIONS = ("wild",)
_VALIDATION_SHARE = 0.1
_TEST_ONE_IN = 10
_SKIP_NOISE_ABOVE = 0.985
_AIMED_ACCURACY = 0.97
_MOST_ABSTAINED = 0.2

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Fitted:
    """A fitted model: its files, what its card must hold to load it, and the encoder in full precision (None without one)."""

    files: dict[str, bytes]
    parameters: dict[str, Any]
    tuned: FineTuned | None


def fit(
    examples: pl.DataFrame, options: EncoderOptions | None, on_progress: Progress = lambda done, all_, what: None, seed: int = 0
) -> Fitted:
    """Fits linear model, encoder and blend.

    Args:
        examples: as of `dataset.read_examples`.
        options: of the encoder; None leaves it out.
        on_progress: called with steps done, steps to do and what goes on.
        seed: of the choice of validation channels.

    Raises:
        SourceError: fewer than two classes occur.
        SettingError: the encoder cannot be loaded.
    """
    split = validation_split(examples, seed)
    training, validation = examples[split.train], examples[split.test]
    on_progress(0, 1, "linear model")
    linear = fit_linear(training["normalised"].to_list(), training["label"].to_numpy(), source_weights(training))
    files: dict[str, bytes] = {}
    texts, labels = validation["normalised"].to_list(), validation["label"].to_numpy()
    by_linear = linear.logits(texts)
    by_encoder, tuned = by_linear, None
    parameters: dict[str, Any] = {"features_version": FEATURES_VERSION, "skip_noise_above": _SKIP_NOISE_ABOVE}
    if options is not None:
        from pnd_dagster.messages.encoder import open_encoder
        from pnd_dagster.messages.encoder_export import export_encoder

        distinct = _distinct(training)
        tuned = fine_tune(_training_set(distinct), _training_set(validation), options, on_progress)
        on_progress(1, 1, "export")
        model, tokenizer, layout = export_encoder(tuned, distinct["normalised"].to_list())
        files |= {ENCODER_FILE: model, TOKENIZER_FILE: tokenizer.encode()}
        by_encoder = open_encoder(model, tokenizer, layout).logits(texts)
        parameters |= {"token_layout": layout._asdict(), "epoch_losses": tuned.epoch_losses, "validation_losses": tuned.validation_losses}
    blend = fit_blend(by_linear, by_encoder, labels)
    # Where to stop and how to blend is known now: the linear model, which takes seconds, learns from the validation channels too.
    whole = fit_linear(examples["normalised"].to_list(), examples["label"].to_numpy(), source_weights(examples))
    files[LINEAR_FILE] = linear_to_bytes(whole)
    parameters |= {
        "blend": blend._asdict(),
        "abstain_below": abstain_threshold(blend.probabilities(by_linear, by_encoder), labels),
        "trained_on": label_counts(examples),
        "validated_on": {"messages": validation.height, "channels": validation["channel_id"].n_unique()},
        "data_sha256": data_hash(examples),
    }
    return Fitted(files, parameters, tuned)


def model_of(fitted: Fitted) -> Any:
    """The fitted model, ready to predict."""
    return pumpbert_of(fitted.files, {"version": "unsaved"} | fitted.parameters, "the fitted model")


def validation_split(examples: pl.DataFrame, seed: int = 0) -> Split:
    """A tenth of the channels whose labels draw our lines, for early stopping and the blend; the rest trains.

    No channel and no near-duplicate text is on both sides.
    """
    ours = ~pl.col("source").is_in([*_OTHER_CONVENTIONS, "synthetic", "llm"])
    channels = examples.filter(ours, pl.col("channel_id").is_not_null())["channel_id"].unique().sort()
    if channels.len() < 2:
        raise SourceError(f"training needs labelled messages of at least two channels, there are {channels.len()}")
    count = max(1, round(channels.len() * _VALIDATION_SHARE))
    chosen = channels.sample(count, seed=seed, shuffle=True)
    is_chosen = pl.col("channel_id").is_in(chosen.implode()).fill_null(False)
    sides = examples.select(train=~is_chosen, test=is_chosen & ours)
    split = purged(examples, Split(np.flatnonzero(sides["train"]), np.flatnonzero(sides["test"])))
    check_split(examples, split)
    return split


def frozen_test_split(examples: pl.DataFrame) -> Split:
    """One channel in ten, by a hash of its id, with its human labels as the test side: the channels stay the same however the data grow.

    What `pnd train` writes was never trained on these channels nor on near-duplicates of their tested texts.
    """
    is_test = pl.col("channel_id").map_elements(_is_test_channel, return_dtype=pl.Boolean, skip_nulls=True).fill_null(False)
    sides = examples.select(train=~is_test, test=is_test & pl.col("source").is_in(["authors", "human"]))
    split = purged(examples, Split(np.flatnonzero(sides["train"]), np.flatnonzero(sides["test"])))
    check_split(examples, split)
    return split


def _is_test_channel(channel_id: int) -> bool:
    return crc32(str(channel_id).encode()) % _TEST_ONE_IN == 0


def source_weights(examples: pl.DataFrame) -> NDArray[np.float64]:
    """How much each example counts [n] by who labelled it."""
    return examples["source"].replace_strict(SOURCE_WEIGHTS, default=0.5, return_dtype=pl.Float64).to_numpy()


def example_weights(examples: pl.DataFrame) -> NDArray[np.float64]:
    """The same, and half of it where that reader was unsure."""
    return source_weights(examples) * np.where(examples["is_sure"], 1.0, _UNSURE_WEIGHT)


def abstain_threshold(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """The lowest confidence above which 97% of the labels are right, but no more than a fifth is abstained from."""
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    most = float(np.quantile(confidence, _MOST_ABSTAINED)) if len(labels) else 0.5
    for threshold in np.arange(0.3, 0.99, 0.01):
        kept = confidence >= threshold
        if not kept.any() or is_right[kept].mean() >= _AIMED_ACCURACY:
            return round(min(float(threshold), most), 4)
    return round(most, 4)


def label_counts(examples: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Number of examples by source and label."""
    counts: dict[str, dict[str, int]] = {}
    for source, label, count in examples.group_by("source", "label").len().sort("source", "label").iter_rows():
        counts.setdefault(source, {})[str(label)] = count
    return counts


def data_hash(examples: pl.DataFrame) -> str:
    """Hash of all that decides what is learnt and what is split off, whatever the order: the same data, the same hash."""
    columns = ["source", "channel_id", "normalised", "label", "is_sure"]
    return hashlib.sha256(examples.select(columns).sort(columns).write_csv().encode()).hexdigest()


def _distinct(examples: pl.DataFrame) -> pl.DataFrame:
    """One example for each near-duplicate text: of the source that counts most, a human's correction before the label it corrects."""
    rank = {source: number for number, source in enumerate(SOURCE_WEIGHTS)}
    order = pl.col("source").replace_strict(rank, default=len(rank), return_dtype=pl.Int64)
    return examples.sort(order, maintain_order=True).unique("near_duplicate_key", keep="first", maintain_order=True)


def _training_set(examples: pl.DataFrame) -> TrainingSet:
    heads = examples["source"].is_in(list(_OTHER_CONVENTIONS)).cast(pl.Int64).to_numpy()
    return TrainingSet(examples["normalised"].to_list(), examples["label"].to_numpy(), example_weights(examples), heads)


def card_of(fitted: Fitted, options: EncoderOptions | None, figures: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's card says beside the checksums."""
    return {
        "model": "pumpbert",
        "description": "Six classes of messages in the course of a pump: n-grams and reader's cues with a linear head, blended with a "
        "fine-tuned encoder; int8 ONNX and safetensors",
        "encoder": None if options is None else options.encoder or "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)",
        "method": None if options is None else options.method,
        **fitted.parameters,
        "results": dict(figures),
        "limits": [
            "Each message is read alone: a bare ticker or a photo without a caption needs the channel's context.",
            "English above all; other languages lean to noise.",
            "Two sets of human labels draw the lines between announcement, countdown and noise a little differently; it follows the first.",
            "Hostile text can be written to be mislabelled: labels select, they do not prove.",
        ],
    }
