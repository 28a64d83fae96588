from __future__ import annotations

import pytest

from pnd_dagster.cli.doctor import Finding, examine
from pnd_dagster.settings import Settings
from pnd_dagster.warehouse import project


def finding(subject: str) -> Finding:
    return next(one for one in examine() if one.subject == subject)


@pytest.fixture(autouse=True)
def installation(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("PND_HOME", str(settings.home))


def test_without_history_the_doctor_says_that_ranking_is_neutral_and_what_to_run() -> None:
    found = finding("ranking")
    assert found.state == "off"
    assert "pnd collect" in found.remedy


def test_an_unknown_score_rule_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PND_SCORE_RULE", "best")
    assert finding("ranking").state == "broken"
    assert "PND_SCORE_RULE" in finding("ranking").detail


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"PND_ALERT_WEBHOOK_URL": "http://127.0.0.1:9/hook"}, "PND_ALERT_WEBHOOK_SECRET"),
        ({"PND_ALERT_EMAIL_TO": "desk@example.org"}, "PND_SMTP_URL"),
    ],
)
def test_half_an_alert_channel_is_broken_and_its_setting_named(
    variables: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = finding("alerts")
    assert found.state == "broken"
    assert named in found.detail + found.remedy


def test_the_channels_alerts_go_to_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PND_ALERT_WEBHOOK_URL", "http://127.0.0.1:9/hook")
    monkeypatch.setenv("PND_ALERT_WEBHOOK_SECRET", "made up")
    assert "webhook" in finding("alerts").detail


def test_a_warehouse_that_bi_tools_cannot_read_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "manifest_problem", lambda: None)
    found = finding("warehouse")
    assert (found.state, found.remedy) == ("off", "pnd db bi")
    monkeypatch.setenv("PND_BI_PASSWORD", "of somebody else")
    found = finding("warehouse")
    assert (found.state, found.remedy) == ("broken", "pnd db bi")
    assert "cannot log in" in found.detail
