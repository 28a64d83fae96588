"""An installation trains on its files and on what humans and language models said, and uses the result only if it is not worse."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.errors import SourceError
from pnd_dagster.messages import retraining
from pnd_dagster.messages.classifier import chosen_model_dir
from pnd_dagster.messages.dataset import read_examples
from pnd_dagster.messages.labelled import read_labelled
from pnd_dagster.messages.promotion import train_model
from pnd_dagster.messages.retraining import all_examples, train_and_promote
from pnd_dagster.settings import Settings, load_settings
from pnd_dagster.storage import upsert
from pnd_dagster.tables import MESSAGE_LABELS, TELEGRAM_MESSAGES

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def store(engine: sa.Engine, texts: list[str], labels: list[dict[str, Any]]) -> None:
    """Messages 0, 1, ... of channel 1, and labels of them."""
    message = {"channel_id": 1, "revision_id": 0, "occurred_at": NOON, "ingested_at": NOON, "is_deleted": False, "kind": "message"}
    rows = [message | {"message_id": n, "text": text, "source": "archive"} for n, text in enumerate(texts)]
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame(rows))
    label = {"channel_id": 1, "message_id": 0, "revision_id": 0, "labeller_version": "1", "is_abstained": False, "labelled_at": NOON}
    schema = {"confidence": pl.Float32}
    upsert(engine, MESSAGE_LABELS, pl.DataFrame([label | {"confidence": None} | given for given in labels], schema_overrides=schema))


def found(engine: sa.Engine) -> list[tuple[str, int, int, bool]]:
    return read_labelled(engine).select("source", "message_id", "label", "is_sure").sort("message_id").rows()


@pytest.fixture
def trained(settings: Settings, label_folder: Path) -> Settings:
    """Settings of an installation that trains on the made-up label files."""
    return load_settings(**(settings.model_dump() | {"training_dir": label_folder}))


@pytest.fixture(scope="module")
def bad(label_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was taught that countdowns are results."""
    folder = tmp_path_factory.mktemp("bad") / "model"
    train_model(read_examples(label_folder).with_columns(label=pl.col("label").replace(1, 3)), None, folder)
    return folder


def test_the_latest_human_label_wins_over_earlier_ones_and_over_the_machines(engine: sa.Engine) -> None:
    store(
        engine,
        ["the coin is ABC"],
        [
            {"labeller": "human:ann", "label": 2, "labelled_at": NOON},
            {"labeller": "human:bob", "label": 3, "labelled_at": NOON + timedelta(hours=1)},
            {"labeller": "llm:small", "label": 5, "labelled_at": NOON + timedelta(hours=2), "confidence": 1.0},
            {"labeller": "pumpbert", "label": 0, "labelled_at": NOON + timedelta(hours=3), "confidence": 1.0},
        ],
    )
    assert found(engine) == [("human", 0, 3, True)]


def test_a_language_model_is_believed_where_no_human_spoke_and_it_did_not_abstain(engine: sa.Engine) -> None:
    store(
        engine,
        ["first", "second", "third"],
        [
            {"labeller": "llm:small", "label": 1, "message_id": 0, "confidence": 1.0},
            {"labeller": "llm:small", "label": 1, "message_id": 1, "confidence": 1.0, "is_abstained": True},
            {"labeller": "pumpbert", "label": 1, "message_id": 2, "confidence": 1.0},
        ],
    )
    assert found(engine) == [("llm", 0, 1, True)]


def test_what_a_human_doubted_teaches_nothing_and_leaves_the_word_to_the_one_before(engine: sa.Engine) -> None:
    doubted = {"labeller": "human:ann", "label": 1, "confidence": 0.5, "is_abstained": True, "labelled_at": NOON + timedelta(hours=1)}
    labels = [doubted | {"message_id": 0}, doubted | {"message_id": 1}, {"labeller": "human:bob", "label": 4, "message_id": 1}]
    store(engine, ["first", "second"], labels)
    assert found(engine) == [("human", 1, 4, True)]


def test_a_message_without_text_teaches_nothing(engine: sa.Engine) -> None:
    store(engine, [""], [{"labeller": "human:ann", "label": 5}])
    assert found(engine) == []


def test_labels_of_files_and_of_the_database_are_learnt_together(engine: sa.Engine, trained: Settings) -> None:
    store(engine, ["The coin is ABC"], [{"labeller": "human:ann", "label": 2}])
    examples = all_examples(engine, trained)
    assert dict(examples.group_by("source").len().iter_rows()) == {"authors": 216, "wild": 24, "synthetic": 6, "human": 1}
    assert examples.filter(source="human").row(0, named=True)["near_duplicate_key"] == "the coin is abc"


def test_without_any_label_the_error_says_how_to_come_by_some(engine: sa.Engine, settings: Settings) -> None:
    with pytest.raises(SourceError, match=r"no labels to train on: name a folder .* PND_TRAINING_DIR, or .* `pnd review`"):
        train_and_promote(engine, settings, None)


def test_without_a_frozen_test_channel_nothing_is_trained(engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store(engine, ["first", "second"], [{"labeller": "human:ann", "label": n, "message_id": n} for n in range(2)])
    monkeypatch.setattr(retraining, "train_model", lambda *arguments: pytest.fail("trained for nothing"))
    with pytest.raises(SourceError, match="frozen test set"):
        train_and_promote(engine, settings, None)


def test_a_better_model_is_in_use_from_then_on_and_the_outcome_shows_both(engine: sa.Engine, trained: Settings, bad: Path) -> None:
    shutil.copytree(bad, trained.promoted_model_dir)
    outcome = train_and_promote(engine, trained, None)
    assert outcome.verdict.is_promoted
    assert chosen_model_dir(trained) == trained.promoted_model_dir
    assert {path.name: path.read_bytes() for path in trained.promoted_model_dir.iterdir()} == {
        path.name: path.read_bytes() for path in outcome.folder.iterdir()
    }
    assert outcome.folder.name == outcome.report.version
    assert outcome.comparison["model"].to_list() == ["new", "in use before"]
    assert outcome.comparison["weighted_f1"][0] >= outcome.comparison["weighted_f1"][1]
    assert outcome.confusion["messages"].sum() == outcome.reliability["messages"].sum() == outcome.comparison["n"][0]
    assert outcome.confusion.height == 36
    assert outcome.by_class.height == 6


def test_a_worse_model_is_kept_aside_and_the_one_in_use_stays(
    engine: sa.Engine, trained: Settings, bad: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_and_promote(engine, trained, None)
    before = {path.name: path.read_bytes() for path in trained.promoted_model_dir.iterdir()}

    def train_badly(examples: pl.DataFrame, options: None, output: Path, on_progress: Any) -> Any:
        return train_model(examples.with_columns(label=pl.col("label").replace(1, 3)), options, output, on_progress)

    monkeypatch.setattr(retraining, "train_model", train_badly)
    outcome = train_and_promote(engine, trained, None)
    assert not outcome.verdict.is_promoted
    assert {path.name: path.read_bytes() for path in trained.promoted_model_dir.iterdir()} == before
    assert outcome.folder.is_dir()


def test_old_models_are_removed_but_not_the_one_in_use(engine: sa.Engine, trained: Settings, bad: Path) -> None:
    models = trained.home / "models"
    for age, name in enumerate(["used", *"abcdefg"]):
        shutil.copytree(bad, models / name)
        os.utime(models / name, (age, age))
    used = load_settings(**(trained.model_dump() | {"model_dir": models / "used"}))
    outcome = train_and_promote(engine, used, None)
    assert {path.name for path in models.iterdir()} == {"used", "promoted", "d", "e", "f", "g", outcome.report.version}
