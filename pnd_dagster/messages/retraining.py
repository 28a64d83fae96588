"""Trains the classifier on everything an installation knows, and puts it in use if it is not worse: what the graph's model asset does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SourceError
from pnd_dagster.messages.classifier import chosen_model_dir, load_classifier
from pnd_dagster.messages.dataset import read_examples
from pnd_dagster.messages.encoder_training import EncoderOptions
from pnd_dagster.messages.evaluation import reliability
from pnd_dagster.messages.labelled import read_labelled
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.promotion import TrainingReport, Verdict, frozen_test, judge, promote, train_model
from pnd_dagster.messages.training import Progress
from pnd_dagster.settings import Settings

_KEPT_MODELS = 5


class TrainingOutcome(NamedTuple):
    """A training run: its report and verdict, the model's folder, and frames that show it.

    Attributes:
        comparison: model, n, weighted_f1, macro_f1, expected_calibration_error of the new model and of the one in use before.
        by_class: class, n, recall, precision, f1 of the new model.
        confusion: label, predicted, messages of the new model.
        reliability: bin, confidence, accuracy, messages of the new model.
    """

    report: TrainingReport
    verdict: Verdict
    folder: Path
    comparison: pl.DataFrame
    by_class: pl.DataFrame
    confusion: pl.DataFrame
    reliability: pl.DataFrame


def train_and_promote(
    engine: sa.Engine, settings: Settings, options: EncoderOptions | None, on_progress: Progress = lambda done, all_, what: None
) -> TrainingOutcome:
    """Trains on the labels of `training_dir` and of the database, and promotes the model if it is not worse than the one in use.

    Raises:
        SourceError: there are too few labels, or none in a frozen test channel.
        SettingError: the encoder cannot be loaded.
    """
    examples = all_examples(engine, settings)
    tested = frozen_test(examples)
    models = settings.home / "models"
    made = models / "new"
    incumbent = chosen_model_dir(settings)
    report = train_model(examples, options, made, on_progress)
    folder = models / report.version
    if folder.exists():
        shutil.rmtree(folder)
    made.rename(folder)
    verdict = judge(folder, incumbent, examples)
    if verdict.is_promoted:
        promote(folder, settings.promoted_model_dir)
    _remove_old(models, {folder, incumbent})
    probabilities = load_classifier(folder).predict_probabilities(tested["normalised"].to_list())
    rows = [{"model": name} | figures for name, figures in (("new", verdict.candidate), ("in use before", verdict.incumbent))]
    names = [label.display_name for label in MessageLabel]
    return TrainingOutcome(
        report,
        verdict,
        folder,
        pl.DataFrame(rows).select("model", "n", "channels", "weighted_f1", "macro_f1", "expected_calibration_error"),
        pl.DataFrame([{"class": name} | values for name, values in verdict.candidate["per_class"].items()]),
        pl.DataFrame(
            [
                (a, b, count)
                for a, line in zip(names, verdict.candidate["confusion"], strict=True)
                for b, count in zip(names, line, strict=True)
            ],
            {"label": pl.String, "predicted": pl.String, "messages": pl.Int64},
            orient="row",
        ),
        reliability(probabilities, np.asarray(tested["label"])),
    )


def all_examples(engine: sa.Engine, settings: Settings) -> pl.DataFrame:
    """Labels of the training folder, if one is set, and of the database.

    Raises:
        SourceError: there are none; says how to come by some.
    """
    frames = [read_examples(settings.training_dir)] if settings.training_dir else []
    frames.append(read_labelled(engine))
    examples = pl.concat(frames, how="vertical")
    if examples.is_empty():
        raise SourceError(
            "there are no labels to train on: name a folder of label files in PND_TRAINING_DIR, or label messages by `pnd review`"
        )
    return examples


def _remove_old(models: Path, used: set[Path]) -> None:
    """Keeps the last few models and those in use; the promoted one is a copy."""
    made = [folder for folder in models.iterdir() if folder.is_dir() and folder.name not in ("promoted", "new") and folder.name[0] != "."]
    for folder in sorted(made, key=lambda folder: folder.stat().st_mtime)[:-_KEPT_MODELS]:
        if folder not in used:
            shutil.rmtree(folder)
