"""What services write outside of Dagster is reported to it, once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.automation.sensors import MESSAGES, days_to_report, ingested_messages_sensor, service_health_sensor
from pnd_dagster.definitions import build_defs
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.service_health import HEARTBEATS_KEY
from pnd_dagster.settings import Settings
from pnd_dagster.storage import upsert
from pnd_dagster.tables import HEARTBEATS, TELEGRAM_MESSAGES

MAY_1, MAY_2 = date(2024, 5, 1), date(2024, 5, 2)
NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)


def test_a_day_is_reported_until_a_report_is_newer_than_its_last_write() -> None:
    written = {MAY_1: NOON, MAY_2: NOON - timedelta(hours=1)}
    assert days_to_report(written, {}) == [MAY_2, MAY_1]
    assert days_to_report(written, {MAY_1: NOON - timedelta(seconds=1)}) == [MAY_2, MAY_1]
    assert days_to_report(written, {MAY_1: NOON, MAY_2: NOON}) == []


def write(engine: sa.Engine, day: date, message_id: int) -> None:
    row = {
        "channel_id": 1,
        "message_id": message_id,
        "revision_id": 1,
        "occurred_at": datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC),
        "ingested_at": datetime.now(UTC),
        "is_deleted": False,
        "kind": "message",
        "text": "",
        "source": "live",
    }
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([row]))


@pytest.fixture
def reported(engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Runs a tick of the sensor; the partitions it reported, and its cursor."""
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    with dg.instance_for_test() as instance:

        def tick(cursor: str | None = None) -> tuple[list[str], str | None]:
            before = len(partitions(instance))
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"database": DatabaseResource()}, definitions=build_defs()
            )
            ingested_messages_sensor.evaluate_tick(context)
            return partitions(instance)[before:], context.cursor

        yield tick


def partitions(instance: dg.DagsterInstance) -> list[str]:
    records = instance.fetch_materializations(MESSAGES, limit=100, ascending=True).records
    return [str(record.partition_key) for record in records]


def test_each_day_with_new_messages_is_reported_once(engine: sa.Engine, reported) -> None:
    write(engine, MAY_1, 1)
    write(engine, MAY_2, 2)
    days, cursor = reported()
    assert sorted(days) == ["2024-05-01", "2024-05-02"]
    assert reported(cursor)[0] == []
    write(engine, MAY_2, 3)
    assert reported(cursor)[0] == ["2024-05-02"]


def test_nothing_is_reported_for_an_empty_table(reported) -> None:
    assert reported() == ([], None)


@pytest.fixture
def health(engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Writes a heartbeat of the listener that is so old, runs a tick; the outcomes that were reported."""
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    check = dg.AssetCheckKey(HEARTBEATS_KEY, "listen_is_alive")
    with dg.instance_for_test() as instance:
        cursor: str | None = None

        def tick(age: timedelta | None = None, *, is_healthy: bool = True) -> list[bool]:
            nonlocal cursor
            if age is not None:
                beat = {"name": "listen", "beat_at": datetime.now(UTC) - age, "is_healthy": is_healthy}
                upsert(engine, HEARTBEATS, pl.DataFrame([beat]))
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"database": DatabaseResource()}, definitions=build_defs()
            )
            service_health_sensor.evaluate_tick(context)
            cursor = context.cursor
            records = instance.event_log_storage.get_asset_check_execution_history(check, limit=20)
            return [record.event.dagster_event.asset_check_evaluation_data.passed for record in reversed(records)]

        yield tick


def test_a_listener_that_falls_silent_is_reported_once_and_again_when_it_is_back(health) -> None:
    assert health() == [True]
    assert health(timedelta(seconds=5)) == [True]
    assert health(timedelta(minutes=6)) == [True, False]
    assert health(timedelta(minutes=7)) == [True, False]
    assert health(timedelta(seconds=5)) == [True, False, True]


def test_a_listener_that_says_it_is_not_healthy_is_reported(health) -> None:
    assert health(timedelta(seconds=5)) == [True]
    assert health(timedelta(seconds=5), is_healthy=False) == [True, False]
