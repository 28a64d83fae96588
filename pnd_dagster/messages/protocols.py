"""The protocols by which the classifier is measured: each fits models with `training.fit` and asks them about what they have not seen.

Predictions of each fold are kept in a work folder, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.messages.blend import Blend, softmax
from pnd_dagster.messages.encoder_training import EncoderOptions
from pnd_dagster.messages.evaluation import evaluate, reweighted
from pnd_dagster.messages.features import FEATURES_VERSION
from pnd_dagster.messages.linear import linear_from_bytes
from pnd_dagster.messages.pumpbert import ENCODER_FILE, LINEAR_FILE, is_asked
from pnd_dagster.messages.splits import Split, channel_folds, check_split, held_out_source, paper_split, random_folds
from pnd_dagster.messages.training import RECIPE_VERSION, data_hash, fit, model_of

# Of the paper's Table II, for comparing figures under its distribution of classes.
PAPER_COUNTS = (1184, 11321, 1151, 1722, 98, 5616)
PROTOCOLS = {
    "channel_disjoint": "Five folds of the authors' human labels by channel, near-duplicates purged; other sources help to train, without "
    "the tested channels. EVALUATION (c)",
    "random_folds": "Five random folds of the authors' labels alone, near-duplicates purged. EVALUATION (b)",
    "random_folds_exact": "The same with only equal texts purged, as published figures on these labels are",
    "paper": "80% of the authors' labels train, 20% test, equal texts purged; the paper's protocol on human labels. EVALUATION (a)",
    "wild": "Trained without the wild labels and their channels, tested on them: 102 other channels, another reader",
}


def splits_of(protocol: str, examples: pl.DataFrame) -> list[Split]:
    """The folds of a protocol."""
    if protocol == "channel_disjoint":
        return channel_folds(examples, source="authors")
    if protocol == "random_folds":
        return random_folds(examples, source="authors")
    if protocol == "random_folds_exact":
        return random_folds(examples, source="authors", key="normalised")
    if protocol == "paper":
        return [paper_split(examples, source="authors")]
    return [held_out_source(examples, source="wild")]


def run_protocol(
    protocol: str,
    examples: pl.DataFrame,
    options: EncoderOptions | None,
    work: Path,
    *,
    folds: Iterable[int] | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, all_, what: None,
) -> dict[str, Any] | None:
    """Figures of a protocol for the model and its parts, each on the same messages; None where `folds` leaves some out.

    Args:
        protocol: one of `PROTOCOLS`.
        examples: as of `dataset.read_examples`.
        options: of the encoder; None measures the linear model alone.
        work: folder of the predictions; those of the same data, options and features are used again.
        folds: only these, from 0, so that several processes can share the work; those that the protocol does not have are left out.
        on_progress: as of `training.fit`.

    Raises:
        LeakError: a split would leak.
    """
    if protocol == "random_folds":
        return _near_duplicates_purged(examples, options, work, folds=folds, on_progress=on_progress)
    splits = splits_of(protocol, examples)
    chosen = range(len(splits)) if folds is None else [number for number in folds if number in range(len(splits))]
    for number in chosen:
        path = _path(work, protocol, number, examples, options)
        if path.exists():
            continue
        split = splits[number]
        _check(protocol, examples, split)

        def say(done: int, all_: int, what: str, number: int = number) -> None:
            on_progress(done, all_, f"{protocol} {number + 1}/{len(splits)}: {what}")

        found = _predictions(examples, split, options, say)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, allow_pickle=False, **found)
        part.replace(path)
    kept = _kept(protocol, examples, options, work, len(splits))
    tested = np.concatenate([split.test for split in splits])
    return None if kept is None else figures_of(kept, examples[tested])


def shipped_predictions(protocol: str, examples: pl.DataFrame, options: EncoderOptions | None, work: Path) -> NDArray[np.float32] | None:
    """Probabilities [n, 6] of the tested messages that `run_protocol` kept, fold by fold; None where a fold is missing."""
    kept = _kept(protocol, examples, options, work, len(splits_of(protocol, examples)))
    return None if kept is None else kept["shipped"]


def _near_duplicates_purged(
    examples: pl.DataFrame,
    options: EncoderOptions | None,
    work: Path,
    *,
    folds: Iterable[int] | None,
    on_progress: Callable[[int, int, str], None],
) -> dict[str, Any] | None:
    """Figures of `random_folds`: the models are those of `random_folds_exact`, asked about fewer messages."""
    run_protocol("random_folds_exact", examples, options, work, folds=folds, on_progress=on_progress)
    exact, near = splits_of("random_folds_exact", examples), splits_of("random_folds", examples)
    kept = _kept("random_folds_exact", examples, options, work, len(exact))
    if kept is None:
        return None
    for split in near:
        _check("random_folds", examples, split)
    tested = np.concatenate([split.test for split in exact])
    is_kept = np.isin(tested, np.concatenate([split.test for split in near]))
    return figures_of({name: values[is_kept] for name, values in kept.items()}, examples[tested[is_kept]])


def _kept(protocol: str, examples: pl.DataFrame, options: EncoderOptions | None, work: Path, count: int) -> dict[str, NDArray[Any]] | None:
    """Predictions of all folds, one after the other; None where one is missing."""
    paths = [_path(work, protocol, number, examples, options) for number in range(count)]
    if not all(path.exists() for path in paths):
        return None
    parts = [dict(np.load(path)) for path in paths]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def figures_of(found: dict[str, NDArray[Any]], tested: pl.DataFrame) -> dict[str, Any]:
    """Figures of the predictions `found` [n, 6] by part, for the messages `tested`."""
    labels = tested["label"].to_numpy()
    groups = tested["channel_id"].fill_null(-1).to_numpy()
    shipped = found["shipped"]
    parts = {name: evaluate(values, labels, groups) for name, values in found.items() if values.ndim == 2 and name != "shipped"}
    kept = shipped.max(axis=1) >= found["abstain_below"]
    is_right = shipped.argmax(axis=1) == labels
    return evaluate(shipped, labels, groups) | {
        "reweighted_to_paper": reweighted(shipped, labels, PAPER_COUNTS),
        "abstained": {
            "share": round(float(1 - kept.mean()), 4),
            "accuracy_of_kept": round(float(is_right[kept].mean()), 4) if kept.any() else None,
            "accuracy_of_abstained": round(float(is_right[~kept].mean()), 4) if (~kept).any() else None,
        },
        "encoder_skipped": round(float(found["skipped"].mean()), 4),
        "parts": {
            name: {
                key: part[key] for key in ("weighted_f1", "weighted_f1_low", "weighted_f1_high", "macro_f1", "expected_calibration_error")
            }
            for name, part in parts.items()
        },
    }


def _predictions(
    examples: pl.DataFrame, split: Split, options: EncoderOptions | None, on_progress: Callable[[int, int, str], None]
) -> dict[str, NDArray[Any]]:
    """Probabilities [n, 6] of the tested messages by the shipped form and its parts, and what was skipped and abstained from."""
    fitted = fit(examples[split.train], options, on_progress)
    model = model_of(fitted)
    texts = examples["normalised"][split.test].to_list()
    linear = linear_from_bytes(fitted.files[LINEAR_FILE]).logits(texts)
    blend: Blend = model.blend
    found = {
        "shipped": model.predict_probabilities(texts),
        "linear": softmax(linear),
        "skipped": ~is_asked(linear, model.skip_noise_above) if model.encoder else np.ones(len(texts), dtype=bool),
        "abstain_below": np.full(len(texts), model.abstain_below),
    }
    if ENCODER_FILE in fitted.files and fitted.tuned is not None:
        full, quantised = fitted.tuned.logits(texts), model.encoder.logits(texts)
        found |= {
            "encoder": softmax(full),
            "encoder_int8": softmax(quantised),
            "blend": blend.probabilities(linear, full),
            "blend_int8": blend.probabilities(linear, quantised),
        }
    return found


def _check(protocol: str, examples: pl.DataFrame, split: Split) -> None:
    is_exact = protocol in ("paper", "random_folds_exact")
    check_split(
        examples,
        split,
        is_channel_disjoint=protocol in ("channel_disjoint", "wild"),
        key="normalised" if is_exact else "near_duplicate_key",
    )


def _path(work: Path, protocol: str, number: int, examples: pl.DataFrame, options: EncoderOptions | None) -> Path:
    said = json.dumps(
        {"options": options and asdict(options), "data": data_hash(examples), "features": FEATURES_VERSION, "recipe": RECIPE_VERSION},
        sort_keys=True,
    )
    return work / f"{protocol}-{number}-{hashlib.sha256(said.encode()).hexdigest()[:12]}.npz"
