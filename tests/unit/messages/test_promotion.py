"""A model is put in use only if it is not worse, whole or not at all, and nothing else than a model is ever replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from pnd_dagster.errors import SourceError
from pnd_dagster.messages import model_files
from pnd_dagster.messages.classifier import load_classifier
from pnd_dagster.messages.dataset import read_examples
from pnd_dagster.messages.model_files import read_card, save_model, write_card
from pnd_dagster.messages.promotion import frozen_test, judge, promote, train_model


@pytest.fixture(scope="module")
def examples(label_folder: Path) -> pl.DataFrame:
    return read_examples(label_folder)


@pytest.fixture(scope="module")
def good(examples: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "model"
    train_model(examples, None, folder)
    return folder


@pytest.fixture(scope="module")
def bad(examples: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was taught that countdowns are results."""
    folder = tmp_path_factory.mktemp("bad") / "model"
    train_model(examples.with_columns(label=pl.col("label").replace(1, 3)), None, folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_trained_model_says_how_it_did_on_channels_it_never_saw(good: Path, examples: pl.DataFrame) -> None:
    card = read_card(good)
    tested = frozen_test(examples)
    assert card["results"]["frozen_test"]["n"] == tested.height
    assert card["results"]["frozen_test"]["channels"] == 3
    assert card["method"] is None
    assert sum(card["trained_on"]["authors"].values()) < 216 - 3 * 18 + 1
    assert load_classifier(good).version == card["version"]


def test_a_worse_candidate_is_not_promoted_and_says_by_how_much(good: Path, bad: Path, examples: pl.DataFrame) -> None:
    verdict = judge(bad, good, examples)
    assert not verdict.is_promoted
    assert "worse on the frozen test set" in verdict.reason
    assert verdict.candidate["weighted_f1"] < verdict.incumbent["weighted_f1"]


def test_a_better_one_and_an_equal_one_are_promoted(good: Path, bad: Path, examples: pl.DataFrame, tmp_path: Path) -> None:
    promoted = tmp_path / "models/promoted"
    promote(bad, promoted)
    assert judge(good, promoted, examples).is_promoted
    promote(good, promoted)
    assert contents(promoted) == contents(good)
    assert load_classifier(promoted).version == load_classifier(good).version
    assert judge(good, promoted, examples).is_promoted
    assert [path.name for path in promoted.parent.iterdir()] == ["promoted"]


def test_there_is_no_verdict_without_a_frozen_test_channel(good: Path, examples: pl.DataFrame) -> None:
    with pytest.raises(SourceError, match="no labelled message lies in a channel of the frozen test set"):
        judge(good, good, examples.filter(pl.col("channel_id") < 9))


def test_training_without_a_frozen_test_channel_gives_a_model_without_figures(examples: pl.DataFrame, tmp_path: Path) -> None:
    report = train_model(examples.filter(pl.col("channel_id") < 9), None, tmp_path / "model")
    assert report.figures is None
    assert read_card(tmp_path / "model")["results"] == {}


def test_a_promotion_that_fails_half_way_leaves_the_files_in_use_as_they_are(
    good: Path, bad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted = tmp_path / "promoted"
    promote(good, promoted)

    def full_disk(source: Path, target: Path, **options: bool) -> None:
        (target / "linear.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full_disk)
    with pytest.raises((OSError, SourceError)):
        promote(bad, promoted)
    assert contents(promoted) == contents(good)
    assert [path.name for path in tmp_path.iterdir()] == ["promoted"]


def test_a_model_that_cannot_be_written_leaves_the_one_before_whole(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    promote(good, folder)

    def full_disk(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_files, "write_card", full_disk)
    with pytest.raises(SourceError, match="cannot write the model: No space left on device"):
        save_model(folder, {"linear.safetensors": b"1"}, {})
    assert contents(folder) == contents(good)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_when_the_new_folder_cannot_take_its_place_the_old_one_comes_back(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    promote(good, folder)
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if target == folder and self.name != "old":
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(SourceError, match="Input/output error"):
        save_model(folder, {"linear.safetensors": b"1"}, {})
    assert contents(folder) == contents(good)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_holds_something_else_is_never_replaced(examples: pl.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(SourceError, match="holds something else than a model"):
        train_model(examples, None, tmp_path)
    with pytest.raises(SourceError, match="holds something else than a model"):
        save_model(tmp_path / "thesis.txt", {"a": b""}, {})
    assert (tmp_path / "thesis.txt").read_text() == "ten years of work"
    (tmp_path / "empty").mkdir()
    save_model(tmp_path / "empty", {"a": b""}, {})
    assert set(contents(tmp_path / "empty")) == {"a", "model.json"}


def test_a_card_is_replaced_whole(tmp_path: Path) -> None:
    save_model(tmp_path / "model", {"a": b""}, {"results": {}})
    write_card(tmp_path / "model", read_card(tmp_path / "model") | {"results": {"é": 1}})
    assert read_card(tmp_path / "model")["results"] == {"é": 1}
    assert set(contents(tmp_path / "model")) == {"a", "model.json"}
