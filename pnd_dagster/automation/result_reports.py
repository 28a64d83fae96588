"""Alerts, detections and what watches were worth, told to Dagster when something new came; services write them at any time."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import dagster as dg
import sqlalchemy as sa

from pnd_dagster.resources import table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import ALERTS, DETECTED_PUMPS, WATCH_RESULTS

NEWEST = 20


class _Told(NamedTuple):
    """A table that is reported: when its rows came, what they are counted by, what is shown of the newest."""

    table: sa.Table
    at: str
    counted_by: str
    shown: tuple[str, ...]


_TOLD = (
    _Told(ALERTS, "created_at", "state", ("created_at", "stage", "channel", "state", "exchange", "symbol", "title", "last_error")),
    _Told(DETECTED_PUMPS, "detected_at", "exchange", ("detected_at", "exchange", "symbol", "reason", "pump_id")),
    _Told(WATCH_RESULTS, "evaluated_at", "exchange", ("watch_id", "exchange", "symbol", "offset_seconds", "rank", "candidates")),
)


@dg.sensor(
    name="new_results",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports out/alerts, out/detected_pumps and out/watch_results when rows came or an alert was delivered",
)
def new_results_sensor(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SkipReason:
    """Edge-triggered: a table is reported when its counts or its newest time differ from what was told last. The cursor holds those."""
    before: dict[str, Any] = json.loads(context.cursor) if context.cursor else {}
    now: dict[str, Any] = {}
    reported: list[str] = []
    for told in _TOLD:
        name, counts = told.table.name, _counts(database.engine, told)
        now[name] = counts
        if counts == before.get(name, {}):
            continue
        context.instance.report_runless_asset_event(_materialisation(database.engine, told, counts))
        reported.append(f"{told.table.schema}/{name}")
    context.update_cursor(json.dumps(now))
    return dg.SkipReason(f"reported {', '.join(reported)}" if reported else "nothing new")


def _counts(engine: sa.Engine, told: _Told) -> dict[str, list[Any]]:
    """Rows and newest time by what they are counted by."""
    group, at = told.table.c[told.counted_by], told.table.c[told.at]
    rows = read_frame(engine, sa.select(group, sa.func.count(), sa.func.max(at)).group_by(group).order_by(group))
    return {str(name): [count, newest.isoformat()] for name, count, newest in rows.iter_rows()}


def _materialisation(engine: sa.Engine, told: _Told, counts: dict[str, list[Any]]) -> dg.AssetMaterialization:
    keys = [column.desc() for column in (told.table.c[told.at], *told.table.primary_key.columns)]
    newest = read_frame(engine, sa.select(*(told.table.c[name] for name in told.shown)).order_by(*keys).limit(NEWEST))
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey([str(told.table.schema), told.table.name]),
        metadata={
            "dagster/row_count": sum(count for count, _ in counts.values()),
            f"rows_by_{told.counted_by}": {name: count for name, (count, _) in counts.items()},
            "newest": table_metadata.preview(newest, NEWEST),
        },
    )
