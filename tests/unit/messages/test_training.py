"""Training on made-up labels gives a model that tells them apart, the same one each time, with a card that says how it was measured."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pnd_dagster.errors import SourceError
from pnd_dagster.messages.classifier import load_classifier, softmax
from pnd_dagster.messages.dataset import read_examples
from pnd_dagster.messages.normalise import normalise_many
from pnd_dagster.messages.training import fit_temperature, train_and_evaluate

TEMPLATES = {
    0: ["Pump on {day} at {n}:00 GMT on {exchange}, pair {quote}, {word}", "Next {word} pump: {day}, exchange {exchange}, {n} pm UTC"],
    1: ["{n} minutes left until the {word} pump", "only {n} hours to go, {word} everyone", "get {word}, {n} min remaining"],
    2: ["The coin is {coin} {word}", "${coin} {word} go", "our pick: {coin} {word} buy and hold"],
    3: ["Pump results: {coin} went up {n}00% {word}", "we reached {n}00% peak, {word} congratulations"],
    4: ["the {word} pump is postponed to {day}", "pump cancelled, {word} sorry"],
    5: ["good morning {word} traders", "join our {word} vip for {n} dollars", "{coin} long entry {n}.1 targets {n}.5 stop loss {word}"],
}
WORDS = [
    f"{a}{b}" for a in ("big", "mega", "huge", "nice", "great", "super", "ultra", "lucky") for b in ("", "ly", "er", "est", "ish", "ful")
]


def made_up(rng: random.Random, label: int) -> str:
    return rng.choice(TEMPLATES[label]).format(
        day=rng.choice(["Monday", "Friday", "Sunday"]),
        n=rng.randint(2, 9),
        exchange=rng.choice(["Kucoin", "Hotbit", "Binance"]),
        quote=rng.choice(["BTC", "USDT"]),
        word=rng.choice(WORDS),
        coin="".join(rng.choices("ABCDEFGHKLMNPRSTVXZ", k=4)),
    )


@pytest.fixture(scope="module")
def label_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label files in the published form, with generated texts."""
    folder = tmp_path_factory.mktemp("labels")
    rng = random.Random(5)
    rows = [(channel, n, label, made_up(rng, label)) for channel in range(1, 11) for n, label in enumerate([*range(6)] * 3)]
    authors = pl.DataFrame(rows, schema=["channel_id", "message_id", "label", "text"], orient="row")
    authors = authors.with_columns(text_normalized_by_authors=pl.col("text"), text=pl.when(pl.col("message_id") > 1).then("text"))
    authors.write_parquet(folder / "author_labels.parquet")
    wild = [(channel, n, label, made_up(rng, label)) for channel in range(9, 13) for n, label in enumerate(range(6), start=100)]
    frame = pl.DataFrame(wild, schema=["channel_id", "message_id", "label", "text"], orient="row")
    frame.select("channel_id", "message_id", "label", confident=1).write_csv(folder / "wild_labels.csv")
    frame.select("channel_id", "message_id", "text").write_parquet(folder / "telegram_messages.parquet")
    synthetic = [(label, made_up(rng, label)) for label in range(6)]
    pl.DataFrame(synthetic, schema=["label", "message"], orient="row").write_csv(folder / "synthetic_labels_authors.csv")
    return folder


def test_labels_of_all_files_are_read_with_the_authors_text_where_the_raw_one_is_lost(label_folder: Path) -> None:
    examples = read_examples(label_folder)
    assert dict(examples.group_by("source").len().iter_rows()) == {"authors": 180, "wild": 24, "synthetic": 6}
    assert examples["text"].null_count() == 0
    assert examples.filter(source="synthetic")["channel_id"].null_count() == 6


def test_a_model_is_trained_measured_saved_and_loaded(label_folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    report = train_and_evaluate(label_folder, tmp_path / "a", lines.append)
    assert report["results"]["channel_disjoint"]["weighted_f1"] > 0.8
    assert report["results"]["wild"]["channels"] == 4
    assert lines
    card = json.loads((tmp_path / "a/model.json").read_text())
    assert card["trained_on"]["authors"] == {str(label): 30 for label in range(6)}
    assert card["weights_sha256"] == report["weights_sha256"]
    probabilities = load_classifier(tmp_path / "a").predict_probabilities(
        normalise_many(["7 minutes left until the odd pump", "The coin is QRST go", "the pump is postponed to Tuesday"])
    )
    assert probabilities.argmax(axis=1).tolist() == [1, 2, 4]
    again = train_and_evaluate(label_folder, tmp_path / "b")
    assert again["weights_sha256"] == report["weights_sha256"]


def test_a_wrong_label_and_a_missing_column_name_the_file(label_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"author_labels\.parquet"):
        read_examples(tmp_path)
    frame = pl.read_parquet(label_folder / "author_labels.parquet")
    frame.drop("label").write_parquet(tmp_path / "author_labels.parquet")
    with pytest.raises(SourceError, match=r"author_labels\.parquet.*label"):
        read_examples(tmp_path)
    frame.with_columns(label=pl.lit(6)).write_parquet(tmp_path / "author_labels.parquet")
    with pytest.raises(SourceError, match="column label"):
        read_examples(tmp_path)


def test_the_temperature_cools_a_model_that_is_too_sure() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 3000)
    true_logits = rng.normal(size=(3000, 6)) + 2 * np.eye(6)[labels]
    chances = softmax(true_logits).astype(float)
    drawn = np.array([rng.choice(6, p=row / row.sum()) for row in chances])
    assert fit_temperature(true_logits * 2, drawn) == pytest.approx(2.0, rel=0.15)


@pytest.mark.shared
def test_the_packaged_card_counts_the_labels_that_are_there(shared_data: Path) -> None:
    from pnd_dagster.messages.model_files import PACKAGED_DIR, read_card

    counts = dict(pl.read_parquet(shared_data / "author_labels.parquet")["label"].value_counts().iter_rows())
    assert read_card(PACKAGED_DIR)["trained_on"]["authors"] == {str(label): counts[label] for label in range(6)}
