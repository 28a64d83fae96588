"""Hours that collectors wrote are told to Dagster: once while they last, again when they gained buckets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from pnd_dagster.automation.bucket_commits import BOOKS, TRADES, bucket_commits_sensor, hours_to_report
from pnd_dagster.automation.partitions import HOURLY
from pnd_dagster.definitions import build_defs
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.settings import Settings
from pnd_dagster.tables import BUCKET_COMMITS
from tests.unit.market.rows import NOON, commit, store

ONE = NOON + timedelta(hours=1)


def test_an_hour_is_told_when_it_begins_and_again_when_it_gained_buckets_and_ended() -> None:
    assert hours_to_report({NOON: 720, ONE: 3}, {}, NOON) == [NOON, ONE]
    told = {NOON: (720, NOON), ONE: (3, NOON)}
    assert hours_to_report({NOON: 720, ONE: 40}, told, NOON + timedelta(minutes=3)) == []
    assert hours_to_report({NOON: 720, ONE: 150}, told, NOON + timedelta(minutes=12)) == [ONE]
    assert hours_to_report({NOON: 720, ONE: 720}, told, ONE) == [ONE]


def test_a_late_bucket_of_an_hour_long_past_is_told_too() -> None:
    assert hours_to_report({NOON: 720}, {NOON: (719, ONE)}, ONE + timedelta(hours=9)) == [NOON]


def test_the_sensor_reports_rows_lag_and_coverage_once(engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    buckets = [commit(hour - timedelta(seconds=5 * n), book_rows=3, trade_rows=1, blind=1) for n in range(4)]
    store(engine, BUCKET_COMMITS, *buckets)
    with dg.instance_for_test() as instance:
        cursor = None
        for _ in range(2):
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"database": DatabaseResource()}, definitions=build_defs()
            )
            bucket_commits_sensor.evaluate_tick(context)
            cursor = context.cursor
        for key, rows in ((BOOKS, 12), (TRADES, 4)):
            (record,) = instance.fetch_materializations(key, limit=10).records
            assert record.partition_key == (hour - timedelta(hours=1)).strftime(HOURLY.fmt)
            event = record.asset_materialization
            assert event
            metadata = {name: value.value for name, value in event.metadata.items()}
            assert metadata["dagster/partition_row_count"] == rows
            assert metadata["seen_ratio"] == 0.75
            assert metadata["lag_p99_seconds"] == pytest.approx(0.5)
