"""Jobs: named selections of the graph that people and schedules launch."""

from __future__ import annotations

import dagster as dg

from pnd_dagster.automation.partitions import DAILY

PUMP_EVENTS_JOB = dg.define_asset_job(
    "pump_events",
    selection=dg.AssetSelection.groups("telegram", "messages", "events"),
    partitions_def=DAILY,
    description="The main job: messages of a span of days, their labels, and from them announcements and pump events",
    executor_def=dg.in_process_executor,
)

LABEL_BACKFILL_JOB = dg.define_asset_job(
    "messages_and_labels",
    selection=dg.AssetSelection.groups("messages"),
    partitions_def=DAILY,
    description="Reads and labels messages of a span of days; the nightly schedule launches it for what is missing or failed",
    executor_def=dg.in_process_executor,
    tags={"dagster/priority": "-1", "pnd/backfill": "nightly"},
)
