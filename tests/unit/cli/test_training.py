"""`pnd train` and `pnd evaluate` as their users meet them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from pnd_dagster.cli import training
from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.messages.classifier import load_classifier
from pnd_dagster.messages.dataset import read_examples
from pnd_dagster.messages.model_files import read_card
from pnd_dagster.messages.promotion import train_model
from pnd_dagster.settings import Settings, load_settings

Run = Callable[..., Result]


@pytest.fixture
def own_settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, own_settings: Settings, label_folder: Path) -> Run:
    monkeypatch.setattr(training, "settings", lambda: own_settings)
    app = typer.Typer()
    app.command("train")(training.train)
    app.command("evaluate")(training.evaluate)

    def run(command: str, *arguments: str | Path) -> Result:
        return CliRunner().invoke(app, [command, "--data", str(label_folder), *map(str, arguments)])

    return run


def test_a_linear_model_is_trained_promoted_and_reported_as_json(
    run: Run, own_settings: Settings, label_folder: Path, tmp_path: Path
) -> None:
    train_model(read_examples(label_folder).with_columns(label=pl.col("label").replace(1, 3)), None, own_settings.promoted_model_dir)
    done = run("train", "--method", "linear", "--output", tmp_path / "model", "--promote", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["is_promoted"]
    assert result["version"] == load_classifier(own_settings.promoted_model_dir).version == read_card(tmp_path / "model")["version"]
    assert result["frozen_test"]["n"] > 0
    assert f"model {result['version']} written to" in done.stderr


def test_a_trained_model_is_shown_as_tables_and_nothing_is_promoted_unasked(run: Run, own_settings: Settings, tmp_path: Path) -> None:
    done = run("train", "--method", "linear", "--output", tmp_path / "model")
    assert done.exit_code == 0, done.output
    assert f"Model {read_card(tmp_path / 'model')['version']}" in done.stdout
    assert "countdown" in done.stdout
    assert not own_settings.promoted_model_dir.exists()


def test_an_output_folder_with_something_else_in_it_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert isinstance(run("train", "--method", "linear", "--output", tmp_path).exception, SourceError)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("command", [("train", "--output"), ("evaluate", "--work")])
def test_a_method_that_does_not_exist_is_named(run: Run, tmp_path: Path, command: tuple[str, str]) -> None:
    failed = run(command[0], command[1], tmp_path / "x", "--method", "lorry").exception
    assert isinstance(failed, SettingError)
    assert str(failed) == "method lorry: expected full, lora or linear"


def test_a_protocol_that_does_not_exist_is_named(run: Run, tmp_path: Path) -> None:
    failed = run("evaluate", "--work", tmp_path, "--method", "linear", "--protocol", "wild", "--protocol", "tame").exception
    assert isinstance(failed, SettingError)
    assert str(failed).startswith("--protocol tame: expected channel_disjoint, ")


def test_a_fold_that_no_protocol_has_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    assert run("evaluate", "--work", tmp_path, "--method", "linear", "--fold", "-1").exit_code == 2
    assert run("evaluate", "--work", tmp_path, "--method", "linear", "--fold", "5").exit_code == 2


def test_a_protocol_is_measured_as_json_and_its_figures_go_into_a_card(run: Run, tmp_path: Path) -> None:
    run("train", "--method", "linear", "--output", tmp_path / "model")
    done = run(
        "evaluate", "--work", tmp_path / "work", "--method", "linear", "--protocol", "random_folds", "--json", "--card", tmp_path / "model"
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert list(result) == ["random_folds"]
    assert result["random_folds"]["weighted_f1"] > 0.8
    assert read_card(tmp_path / "model")["results"]["random_folds"] == result["random_folds"]
    assert "frozen_test" in read_card(tmp_path / "model")["results"]
    assert load_classifier(tmp_path / "model").predict_probabilities(["5 minutes left"]).argmax() == 1


def test_folds_are_shared_by_processes_and_the_last_one_shows_the_table(run: Run, tmp_path: Path) -> None:
    given = ("evaluate", "--work", tmp_path, "--method", "linear", "--protocol", "channel_disjoint")
    first = run(*given, *("--fold", "0", "--fold", "1", "--fold", "2"))
    assert "channel_disjoint: other folds are not done yet" in first.stderr
    assert first.stdout.strip() == ""
    second = run(*given, *("--fold", "3", "--fold", "4"))
    assert second.exit_code == 0, second.output
    assert "weighted F1" in second.stdout
    assert "linear" in second.stdout


def test_a_missing_card_is_noticed_before_anything_is_measured(run: Run, tmp_path: Path) -> None:
    failed = run("evaluate", "--work", tmp_path / "work", "--method", "linear", "--protocol", "wild", "--card", tmp_path).exception
    assert isinstance(failed, SourceError)
    assert not (tmp_path / "work").exists()
