"""`python -m benchmarks.ingredients DATA [--encoder]`: what each ingredient of the classifier is worth, on the channel-disjoint folds.

Each row leaves one ingredient out or changes it; all are tested on the same messages. Without `--encoder` the linear model alone is
measured, on all folds, in minutes; with it the whole model on the first folds, in an hour.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from pnd_dagster.messages import training
from pnd_dagster.messages.blend import softmax
from pnd_dagster.messages.dataset import read_examples
from pnd_dagster.messages.encoder_training import EncoderOptions
from pnd_dagster.messages.evaluation import evaluate
from pnd_dagster.messages.linear import fit_linear
from pnd_dagster.messages.splits import channel_folds
from pnd_dagster.messages.training import example_weights, fit, model_of, source_weights

Change = Callable[[pl.DataFrame], pl.DataFrame]
Weigh = Callable[[pl.DataFrame], np.ndarray[Any, Any]]
ENCODER_FOLDS = (0, 1)

DATA_CHANGES: dict[str, Change] = {
    "as it is": lambda examples: examples,
    "without the reader's labels": lambda examples: examples.filter(pl.col("source") != "reader"),
    "without the wild labels": lambda examples: examples.filter(pl.col("source") != "wild"),
    "without synthetic messages": lambda examples: examples.filter(pl.col("source") != "synthetic"),
    "the authors' labels alone": lambda examples: examples.filter(pl.col("source") == "authors"),
    "raw instead of normalised texts": lambda examples: examples.with_columns(normalised=pl.col("text")),
}
ENCODER_CHANGES: dict[str, Callable[[EncoderOptions], EncoderOptions]] = {
    "LoRA in all layers": lambda options: dataclasses.replace(options, method="lora", frozen_layers=0),
}


def main(data: Path, *, with_encoder: bool) -> None:
    """Prints the table."""
    examples = read_examples(data)
    table = Table("change", "n", "weighted F1", "macro F1", "calibration error")
    rows = _encoder_rows(examples) if with_encoder else _linear_rows(examples)
    for name, figures in rows:
        table.add_row(
            name,
            str(figures["n"]),
            f"{figures['weighted_f1']:.4f} [{figures['weighted_f1_low']:.3f}, {figures['weighted_f1_high']:.3f}]",
            f"{figures['macro_f1']:.4f}",
            f"{figures['expected_calibration_error']:.3f}",
        )
        print(name, figures["n"], figures["weighted_f1"], figures["macro_f1"], file=sys.stderr, flush=True)
    Console().print(table)


def _linear_rows(examples: pl.DataFrame) -> list[tuple[str, dict[str, Any]]]:
    rows = [(name, _linear(change(examples), examples)) for name, change in DATA_CHANGES.items()]
    kept = training.SOURCE_WEIGHTS
    training.SOURCE_WEIGHTS = dict.fromkeys(kept, 1.0)
    rows.append(("doubted labels count for half", _linear(examples, examples, example_weights)))
    rows.append(("all sources count alike", _linear(examples, examples)))
    training.SOURCE_WEIGHTS = kept
    return rows


def _linear(changed: pl.DataFrame, examples: pl.DataFrame, weigh: Weigh = source_weights) -> dict[str, Any]:
    """Figures on the test messages of `examples`, whose folds decide; `changed` trains."""
    tested: list[pl.DataFrame] = []
    found: list[np.ndarray[Any, Any]] = []
    for split in channel_folds(examples, source="authors"):
        part = examples[split.test]
        train = _trains(changed, examples[split.train])
        model = fit_linear(train["normalised"].to_list(), train["label"].to_numpy(), weigh(train))
        texts = part["text"] if changed["normalised"].equals(changed["text"]) else part["normalised"]
        found.append(softmax(model.logits(texts.to_list()) / 1.3))
        tested.append(part)
    return _figures(tested, found)


def _encoder_rows(examples: pl.DataFrame) -> list[tuple[str, dict[str, Any]]]:
    plain = EncoderOptions()
    rows = [("as it is", _whole(examples, examples, plain))]
    rows += [(name, _whole(examples, examples, change(plain))) for name, change in ENCODER_CHANGES.items()]
    name = "without the reader's labels"
    return [*rows, (name, _whole(DATA_CHANGES[name](examples), examples, plain))]


def _whole(changed: pl.DataFrame, examples: pl.DataFrame, options: EncoderOptions) -> dict[str, Any]:
    folds = channel_folds(examples, source="authors")
    tested = [examples[folds[number].test] for number in ENCODER_FOLDS]
    models = [model_of(fit(_trains(changed, examples[folds[number].train]), options)) for number in ENCODER_FOLDS]
    return _figures(tested, [model.predict_probabilities(part["normalised"].to_list()) for model, part in zip(models, tested, strict=True)])


def _trains(changed: pl.DataFrame, train: pl.DataFrame) -> pl.DataFrame:
    keys = ["source", "near_duplicate_key", "text", "label"]
    return changed.join(train.select(keys).unique(), on=keys, how="semi")


def _figures(tested: list[pl.DataFrame], found: list[np.ndarray[Any, Any]]) -> dict[str, Any]:
    whole = pl.concat(tested)
    return evaluate(np.concatenate(found), whole["label"].to_numpy(), whole["channel_id"].fill_null(-1).to_numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]), with_encoder="--encoder" in sys.argv)
