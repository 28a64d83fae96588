"""Schedules: the nightly search for missing or failed partitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from pnd_dagster.automation.jobs import MESSAGES_JOB
from pnd_dagster.automation.partitions import DAILY, contiguous_ranges

LOOKBACK = timedelta(weeks=3)
BACKFILLED = (dg.AssetKey(["raw", "telegram_messages"]), dg.AssetKey(["core", "message_labels"]))


@dg.schedule(
    job=MESSAGES_JOB,
    cron_schedule="30 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=f"Launches the backfill of partitions of the last {LOOKBACK.days} days that are missing or failed",
)
def nightly_backfill(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run per unbroken range of days in which any of the daily assets is missing or failed. Today is left to automation."""
    now = context.scheduled_execution_time
    days = [key for key in DAILY.get_partition_keys(now) if (now - LOOKBACK).strftime("%Y-%m-%d") <= key < now.strftime("%Y-%m-%d")]
    ranges = contiguous_ranges(_incomplete(context.instance, days))
    if not ranges:
        yield dg.SkipReason(f"all partitions of the last {LOOKBACK.days} days are there")
    for first, last in ranges:
        yield dg.RunRequest(
            run_key=f"{now:%Y-%m-%d}:{first}:{last}",
            tags={
                ASSET_PARTITION_RANGE_START_TAG: first,
                ASSET_PARTITION_RANGE_END_TAG: last,
                "dagster/priority": "-1",
                "pnd/backfill": "nightly",
            },
        )


def _incomplete(instance: dg.DagsterInstance, days: Sequence[str]) -> set[str]:
    incomplete: set[str] = set()
    for asset in BACKFILLED:
        status = instance.get_status_by_partition(asset, days, DAILY) or {}
        incomplete.update(day for day in days if status.get(day) in (None, dg.AssetPartitionStatus.FAILED))
    return incomplete


SCHEDULES = (nightly_backfill,)
