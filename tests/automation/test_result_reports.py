"""Alerts, detections and results are told to Dagster when something new came, as plain text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from pnd_dagster.alerts.alert import Alert, queue_alert
from pnd_dagster.automation.result_reports import new_results_sensor
from pnd_dagster.definitions import build_defs
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings
from pnd_dagster.tables import ALERTS, DETECTED_PUMPS

ALERTS_KEY, DETECTED_KEY = dg.AssetKey(["out", "alerts"]), dg.AssetKey(["out", "detected_pumps"])
NOW = datetime(2026, 3, 6, 17, 0, tzinfo=UTC)
Told = Callable[[], dict[str, list[dict[str, Any]]]]


@pytest.fixture
def told(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Runs a tick of the sensor; metadata of what it reported, by asset."""
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    cursor: list[str | None] = [None]
    with dg.instance_for_test() as instance:

        def records(key: dg.AssetKey) -> list[dict[str, Any]]:
            events = [record.asset_materialization for record in instance.fetch_materializations(key, limit=100, ascending=True).records]
            return [{name: value.value for name, value in event.metadata.items()} for event in events if event]

        def tick() -> dict[str, list[dict[str, Any]]]:
            before = {key: len(records(key)) for key in (ALERTS_KEY, DETECTED_KEY)}
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor[0], resources={"database": DatabaseResource()}, definitions=build_defs()
            )
            new_results_sensor.evaluate_tick(context)
            cursor[0] = context.cursor
            return {key.path[-1]: records(key)[count:] for key, count in before.items()}

        yield tick


def detect(engine: sa.Engine, number: int) -> None:
    signs = {"volume_z": 40.0, "trades_z": 40.0, "price_change": 0.1, "reason": "takers bought"}
    key = {"detection_id": f"d{number}", "instrument_id": number, "exchange": "kucoin", "symbol": "ABC"}
    with engine.begin() as connection:
        connection.execute(sa.insert(DETECTED_PUMPS).values(**key, **signs, detected_at=NOW + timedelta(minutes=number)))


def test_a_table_is_reported_when_rows_came_and_not_again(engine: sa.Engine, told: Told) -> None:
    assert told() == {"alerts": [], "detected_pumps": []}
    detect(engine, 1)
    detect(engine, 2)
    (report,) = told()["detected_pumps"]
    assert report["dagster/row_count"] == 2
    assert [record.data["detected_at"] for record in report["newest"].records] == ["2026-03-06 17:02:00+00:00", "2026-03-06 17:01:00+00:00"]
    assert told() == {"alerts": [], "detected_pumps": []}
    detect(engine, 0)
    assert [report["dagster/row_count"] for report in told()["detected_pumps"]] == [3], "one that came late counts too"


def test_alerts_are_reported_when_queued_and_when_delivered_with_their_text_as_text(
    engine: sa.Engine, settings: Settings, told: Told
) -> None:
    title = "Suspected pump on <script>alert(1)</script> [click](javascript:x) " + "z" * 300
    queue_alert(engine, settings, Alert("released", "p1", "e1", "kucoin", "ABC", title))
    (report,) = told()["alerts"]
    assert report["rows_by_state"] == {"pending": 2}
    shown = report["newest"].records[0].data
    assert {type(value) for value in shown.values()} <= {str, type(None)}, "cells, not markdown"
    assert len(shown["title"]) <= 120
    with engine.begin() as connection:
        connection.execute(sa.update(ALERTS).where(ALERTS.c.channel == "file").values(state="sent"))
    (report,) = told()["alerts"]
    assert report["rows_by_state"] == {"pending": 1, "sent": 1}
    assert told()["alerts"] == []
