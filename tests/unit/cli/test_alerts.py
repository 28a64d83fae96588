"""`pnd alert` and `pnd deliver` as people call them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pnd_dagster.alerts.alert import Alert, queue_alert
from pnd_dagster.alerts.mutes import read_duration
from pnd_dagster.cli import alerts as command
from pnd_dagster.cli import app
from pnd_dagster.errors import SettingError
from pnd_dagster.settings import Settings


@pytest.fixture(autouse=True)
def configured(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "settings", lambda: settings)


def test_a_test_alert_goes_through_every_channel_and_says_which_failed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert CliRunner().invoke(app, ["alert", "test"]).exit_code == 0
    (line,) = (settings.home / "alerts.jsonl").read_text().splitlines()
    assert json.loads(line)["stage"] == "test"
    broken = {"alert_webhook_url": "http://127.0.0.1:1/x", "alert_webhook_secret": None}
    monkeypatch.setattr(command, "settings", lambda: settings.model_copy(update=broken))
    result = CliRunner().invoke(app, ["alert", "test"])
    assert result.exit_code == 1
    assert len((settings.home / "alerts.jsonl").read_text().splitlines()) == 2


def test_what_is_listed_shows_states_and_mutes(engine: sa.Engine, settings: Settings) -> None:
    queue_alert(engine, settings, Alert("released", "pump1", "event1", "poloniex", "ABC", "Suspected [bold]pump", ["line"]))
    assert CliRunner().invoke(app, ["alert", "mute", "symbol:abc", "--for", "2h", "--reason", "noise"]).exit_code == 0
    listed = json.loads(CliRunner().invoke(app, ["alert", "list", "--json"]).stdout)
    assert [(row["channel"], row["state"], row["body"]["lines"]) for row in listed["alerts"]] == [
        ("file", "pending", ["line"]),
        ("log", "pending", ["line"]),
    ]
    assert [(row["scope"], row["reason"]) for row in listed["mutes"]] == [("symbol:ABC", "noise")]
    shown = CliRunner().invoke(app, ["alert", "list"])
    # In a narrow terminal a cell goes over several lines.
    assert "[bold]" in shown.output
    assert "symbol:ABC" in shown.output
    assert CliRunner().invoke(app, ["alert", "unmute", "symbol:abc"]).exit_code == 0
    assert json.loads(CliRunner().invoke(app, ["alert", "list", "--json"]).stdout)["mutes"] == []


def test_a_channel_that_is_set_up_wrongly_stops_the_deliverer_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = settings.model_copy(update={"alert_webhook_url": "https://example.org/x"})
    monkeypatch.setattr(command, "settings", lambda: wrong)
    result = CliRunner().invoke(app, ["deliver"])
    assert isinstance(result.exception, SettingError)


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("15m", 900), (" 2H ", 7200), ("3d", 259_200)])
def test_a_length_of_time_is_read(text: str, length: int) -> None:
    assert read_duration(text) == timedelta(seconds=length)


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "0s", "999999d", "2 weeks"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="90s"):
        read_duration(text)


def test_the_file_is_where_the_settings_say(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = settings.model_copy(update={"alert_file": tmp_path / "my" / "alerts.jsonl"})
    monkeypatch.setattr(command, "settings", lambda: elsewhere)
    assert CliRunner().invoke(app, ["alert", "test"]).exit_code == 0
    assert (tmp_path / "my" / "alerts.jsonl").exists()
