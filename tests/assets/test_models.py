"""The asset of the classifier trains, promotes and shows how it did; what it cannot do is one line."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from assets.models import pumpbert
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings


def train(method: str) -> dg.ExecuteInProcessResult:
    config = dg.RunConfig(
        ops={"models__pumpbert": {"config": {"method": method}}}, loggers={"console": {"config": {"log_level": "CRITICAL"}}}
    )
    return dg.materialize([pumpbert], resources={"database": DatabaseResource()}, run_config=config, raise_on_error=False)


@pytest.fixture
def installation(settings: Settings, label_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("PND_HOME", str(settings.home))
    monkeypatch.setenv("PND_TRAINING_DIR", str(label_folder))
    return settings


def test_a_trained_model_shows_its_verdict_confusion_and_calibration(installation: Settings) -> None:
    result = train("linear")
    assert result.success
    (event,) = result.asset_materializations_for_node("models__pumpbert")
    shown = {name: value.value for name, value in event.metadata.items()}
    card = json.loads((Path(shown["folder"]) / "model.json").read_text())
    assert shown["version"] == card["version"]
    assert shown["data_sha256"] == card["data_sha256"]
    assert shown["trained_on"] == card["trained_on"]
    assert "frozen test set" in shown["reason"]
    assert shown["is_promoted"] == installation.promoted_model_dir.exists()
    for plot in ("confusion", "calibration"):
        assert "data:image/png;base64," in shown[plot]
    assert [record.data["model"] for record in shown["frozen_test"].records] == ["new", "in use before"]
    assert "countdown" in [record.data["class"] for record in shown["by_class"].records]


def test_a_method_that_does_not_exist_fails_once_with_a_line_to_act_on(installation: Settings) -> None:
    result = train("quick")
    assert not result.success
    (failed,) = result.filter_events(lambda event: event.is_step_failure)
    assert "method quick: expected full, lora or linear" in str(
        failed.step_failure_data.error or failed.step_failure_data.user_failure_data
    )
