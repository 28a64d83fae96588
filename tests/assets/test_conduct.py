"""The assets of pumps' outcomes, of channels and of coins: on an empty install, and on a small planted world."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from assets import conduct
from pnd_dagster import tables
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings
from pnd_dagster.storage import count_rows
from tests.unit.analysis.conduct_world import event, instrument, message, put

ASSETS = [
    conduct.pump_outcomes,
    conduct.channel_network,
    conduct.channel_honesty,
    conduct.prior_pumps,
    conduct.coin_vulnerability,
    conduct.coin_flags,
]
SCHEMA_CHECKS = [check for check in conduct.CHECKS if check.check_key.name == "matches_declared_schema"]
Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Materialises assets and checks of the group."""
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("PND_HOME", str(tmp_path / "home"))
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return lambda *chosen: dg.materialize([*chosen], resources={"database": DatabaseResource()}, run_config=quiet)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
    return {
        event.asset_key.to_user_string(): {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


def test_an_empty_install_materialises_and_says_what_to_run(run: Run, engine: sa.Engine, tmp_path: Path) -> None:
    result = run(*ASSETS, *SCHEMA_CHECKS)
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    shown = metadata(result)
    assert "pnd import" in str(shown["out/channel_links"]["notes"])
    assert "pnd collect" in str(shown["out/coin_vulnerability"]["notes"])
    assert "data:image/png" in str(shown["out/channel_links"]["graph"])
    names = {path.name for path in (tmp_path / "home" / "analysis").iterdir()}
    assert {"channel_network.graph.png", "channel_network.links.parquet", "pump_outcomes.figures.parquet"} <= names


def test_titles_are_shown_as_text_whatever_they_hold(run: Run, engine: sa.Engine) -> None:
    at = datetime.now(UTC) - timedelta(days=3)
    title = "<script>alert(1)</script> =cmd|' /C calc'!A0 ![x](http://example.invalid)"
    put(engine, tables.TELEGRAM_CHANNELS, {"channel_id": 1, "title": title, "found_via": "archive", "status": "candidate"})
    put(engine, tables.INSTRUMENTS, instrument())
    put(engine, tables.PUMP_EVENTS, event("e1", at=at), event("e2", at=at + timedelta(days=1)))
    releases = [
        {"channel_id": channel, "message_id": number, "released_at": at, "symbol": "AAA", "event_id": f"e{number}", "confidence": 1.0}
        for channel in (1, 2)
        for number in (1, 2)
    ]
    put(engine, tables.PUMP_RELEASES, *releases)
    put(engine, tables.TELEGRAM_MESSAGES, message(1, 1, at, "hello"))
    result = run(conduct.channel_network, conduct.channel_honesty)
    (row, *_) = [row for row in metadata(result)["out/channel_groups"]["groups"].records if row.data["channel_id"] == 1]  # pyright: ignore[reportAttributeAccessIssue]
    assert row.data["title"] == title
    assert count_rows(engine, tables.CHANNEL_HONESTY) == 2
    assert title not in str(metadata(result)["out/channel_links"]["graph"])


def test_every_asset_is_described_owned_and_runs_daily_where_it_writes_a_table() -> None:
    for asset in ASSETS:
        for spec in asset.specs:
            assert spec.owners
            assert spec.description
            assert (spec.automation_condition is not None) == (spec.key.path[0] == "out")


def test_each_table_has_a_blocking_schema_check() -> None:
    keys = {key for asset in ASSETS for key in asset.keys if key.path[0] == "out"}
    assert {check.check_key.asset_key for check in SCHEMA_CHECKS} == keys
