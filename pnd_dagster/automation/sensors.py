"""Sensors: what the outside world and the services did, told to Dagster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime

import dagster as dg
import sqlalchemy as sa

from pnd_dagster.automation.bucket_commits import bucket_commits_sensor
from pnd_dagster.automation.result_reports import new_results_sensor
from pnd_dagster.automation.watches import pump_announcement_sensor
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.service_health import HEARTBEATS_KEY, MAX_SILENCE, check_name, examine
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import TELEGRAM_MESSAGES

MESSAGES = dg.AssetKey(["raw", "telegram_messages"])
# Reporting costs up to 50 ms a day, and a tick has 60 s; what is left waits for the next tick.
DAYS_PER_TICK = 200

AUTOMATION = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Evaluates the assets' automation conditions",
)


def days_to_report(written: Mapping[date, datetime], reported: Mapping[date, datetime]) -> list[date]:
    """Days whose last write is newer than their last report, oldest write first.

    Args:
        written: when messages of a day were ingested last, by any service.
        reported: when Dagster was told last, by a run or by the sensor.
    """
    late = [day for day, at in written.items() if day not in reported or reported[day] < at]
    return sorted(late, key=lambda day: (written[day], day))


@dg.sensor(
    name="ingested_messages",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports the days of raw/telegram_messages that the listener or an import wrote outside of Dagster",
)
def ingested_messages_sensor(context: dg.SensorEvaluationContext, database: DatabaseResource) -> Iterator[dg.SkipReason]:
    """Level-triggered on the table, so nothing is lost when the daemon was down; the cursor only bounds the search."""
    since = datetime.fromisoformat(context.cursor) if context.cursor else datetime(2000, 1, 1, tzinfo=UTC)
    message = TELEGRAM_MESSAGES.c
    day = sa.cast(sa.func.timezone("UTC", message.occurred_at), sa.Date)
    rows = read_frame(
        database.engine,
        sa.select(day.label("day"), sa.func.max(message.ingested_at).label("ingested_at"), sa.func.count().label("revisions"))
        .where(message.ingested_at > since)
        .group_by(day),
    )
    if rows.is_empty():
        yield dg.SkipReason("nothing was written since the last tick")
        return
    written = dict(zip(rows["day"].to_list(), rows["ingested_at"].to_list(), strict=True))
    revisions = dict(zip(rows["day"].to_list(), rows["revisions"].to_list(), strict=True))
    days = days_to_report(written, _last_reports(context.instance, min(written.values())))
    for late in days[:DAYS_PER_TICK]:
        context.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=MESSAGES,
                partition=late.isoformat(),
                metadata={"new_revisions": revisions[late], "written_by": "a service or an import"},
            )
        )
    if len(days) <= DAYS_PER_TICK:
        context.update_cursor(max(written.values()).isoformat())
    yield dg.SkipReason(f"reported {min(len(days), DAYS_PER_TICK)} of {len(days)} days")


@dg.sensor(
    name="service_health",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports the alive checks of core/heartbeats when a service falls silent or comes back; starts no run",
)
def service_health_sensor(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SkipReason:
    """An edge, not a level: a check is reported only when its outcome changes. The cursor holds the outcomes told last."""
    told: dict[str, bool] = json.loads(context.cursor) if context.cursor else {}
    now = datetime.now(UTC)
    for service in MAX_SILENCE:
        result = examine(database.engine, service, now)
        if told.get(service) == result.passed:
            continue
        context.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=HEARTBEATS_KEY,
                check_name=check_name(service),
                passed=result.passed,
                metadata=result.metadata,
                severity=dg.AssetCheckSeverity.WARN,
            )
        )
        told[service] = result.passed
    context.update_cursor(json.dumps(told))
    return dg.SkipReason("; ".join(f"{service} {'alive' if passed else 'silent'}" for service, passed in told.items()))


def _last_reports(instance: dg.DagsterInstance, since: datetime) -> dict[date, datetime]:
    reports: dict[date, datetime] = {}
    cursor = None
    while True:
        page = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=MESSAGES, after_timestamp=since.timestamp()), limit=1000, cursor=cursor
        )
        for record in page.records:
            if record.partition_key:
                at = datetime.fromtimestamp(record.timestamp, UTC)
                reported = date.fromisoformat(record.partition_key)
                reports[reported] = max(at, reports.get(reported, at))
        if not page.has_more:
            return reports
        cursor = page.cursor


SENSORS = (AUTOMATION, ingested_messages_sensor, bucket_commits_sensor, service_health_sensor, pump_announcement_sensor, new_results_sensor)
