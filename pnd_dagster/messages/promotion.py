"""Training as a whole: fit, measure on the frozen test channels, write, and promote only what is not worse than what is in use."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pnd_dagster.errors import SourceError
from pnd_dagster.messages.classifier import Classifier, load_classifier
from pnd_dagster.messages.encoder_training import EncoderOptions
from pnd_dagster.messages.evaluation import evaluate
from pnd_dagster.messages.model_files import check_replaceable, replacing, save_model
from pnd_dagster.messages.training import Progress, card_of, data_hash, fit, frozen_test_split, model_of


class TrainingReport(NamedTuple):
    """What a training run made: the model's version and card, and its figures on the frozen test set (None where it is empty)."""

    version: str
    card: dict[str, Any]
    figures: dict[str, Any] | None


class Verdict(NamedTuple):
    """Whether a candidate replaces the model in use, why, and the figures of both on the same messages."""

    is_promoted: bool
    reason: str
    candidate: dict[str, Any]
    incumbent: dict[str, Any]


def train_model(
    examples: pl.DataFrame, options: EncoderOptions | None, output: Path, on_progress: Progress = lambda done, all_, what: None
) -> TrainingReport:
    """Fits a model on all but the frozen test channels, measures it on them, and writes it into the folder `output`.

    Args:
        examples: as of `dataset.read_examples`.
        options: of the encoder; None leaves it out.
        output: folder of the model, replaced if it is there.
        on_progress: called with steps done, steps to do and what goes on.

    Raises:
        SourceError: there is too little to train on, or `output` holds something else than a model.
        SettingError: the encoder cannot be loaded.
    """
    check_replaceable(output)
    split = frozen_test_split(examples)
    fitted = fit(examples[split.train], options, on_progress)
    tested = examples[split.test]
    figures = None if tested.is_empty() else figures_on(model_of(fitted), tested)
    card = card_of(fitted, options, {} if figures is None else {"frozen_test": figures | {"data_sha256": data_hash(tested)}})
    version = save_model(output, fitted.files, card)
    return TrainingReport(version, card, figures)


def figures_on(model: Classifier, tested: pl.DataFrame) -> dict[str, Any]:
    """Figures of a model on labelled messages: see `evaluation.evaluate`."""
    probabilities = model.predict_probabilities(tested["normalised"].to_list())
    return evaluate(probabilities, tested["label"].to_numpy(), tested["channel_id"].fill_null(-1).to_numpy())


def frozen_test(examples: pl.DataFrame) -> pl.DataFrame:
    """The examples of the frozen test set.

    Raises:
        SourceError: there are none.
    """
    tested = examples[frozen_test_split(examples).test]
    if tested.is_empty():
        raise SourceError(
            "no labelled message lies in a channel of the frozen test set: label messages of more channels, e.g. by `pnd review`"
        )
    return tested


def judge(candidate: Path, incumbent: Path, examples: pl.DataFrame) -> Verdict:
    """Compares two models on the frozen test set of `examples`, which models made by `train_model` have not seen.

    Raises:
        SourceError: no labelled message lies in a frozen test channel, or a model cannot be loaded.
    """
    tested = frozen_test(examples)
    new, old = figures_on(load_classifier(candidate), tested), figures_on(load_classifier(incumbent), tested)
    worse = [name for name in ("weighted_f1", "macro_f1") if new[name] < old[name]]
    if worse:
        said = ", ".join(f"{name} {new[name]:.4f} against {old[name]:.4f}" for name in worse)
        return Verdict(False, f"worse on the frozen test set ({new['n']} messages): {said}", new, old)
    return Verdict(
        True,
        f"not worse on the frozen test set ({new['n']} messages): weighted F1 {new['weighted_f1']:.4f} against {old['weighted_f1']:.4f}, "
        f"macro F1 {new['macro_f1']:.4f} against {old['macro_f1']:.4f}",
        new,
        old,
    )


def promote(candidate: Path, promoted: Path) -> None:
    """Puts a copy of the model in the folder `candidate` in the place of `promoted`.

    Raises:
        SourceError: it cannot be written; the model in use stays.
    """
    with replacing(promoted) as made:
        shutil.copytree(candidate, made, dirs_exist_ok=True)
