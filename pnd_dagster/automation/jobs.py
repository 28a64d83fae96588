"""Jobs: named selections of the graph that people and schedules launch.

The main job is these two, one after the other. They are apart because a run over days logs an event for each day and asset: a job
that held the unpartitioned assets too would log thousands for them as well.
"""

from __future__ import annotations

import dagster as dg

from pnd_dagster.automation.partitions import DAILY

MESSAGES_JOB = dg.define_asset_job(
    "messages",
    selection=dg.AssetSelection.groups("messages"),
    partitions_def=DAILY,
    description="Reads and labels the messages of a span of days; the nightly schedule launches it for what is missing or failed",
    executor_def=dg.in_process_executor,
)

EVENTS_JOB = dg.define_asset_job(
    "pump_events",
    selection=dg.AssetSelection.groups("telegram", "events"),
    description="From all labelled messages: channels worth watching, announcements, scheduled pumps, releases and pump events",
    executor_def=dg.in_process_executor,
)
