"""Schedules: what runs every night and every hour.

The daily jobs run for each unbroken range of days in which a partition is missing or failed, so that a night missed is made up for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from pnd_dagster.automation.jobs import ANALYSIS_JOB, CHECKS_JOB, COINS_JOB, MARKET_JOB, MESSAGES_JOB, WAREHOUSE_JOB
from pnd_dagster.automation.partitions import DAILY, MARKET_DAILY, contiguous_ranges
from pnd_dagster.automation.retention import retention_job

LOOKBACK = timedelta(weeks=3)
MESSAGE_ASSETS = (dg.AssetKey(["raw", "telegram_messages"]), dg.AssetKey(["core", "message_labels"]))
MARKET_ASSETS = (dg.AssetKey(["raw", "ohlcv_daily"]), dg.AssetKey(["core", "candidate_coins"]))


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
    days = _days(DAILY, now - LOOKBACK, now)[:-1]
    ranges = contiguous_ranges(_incomplete(context.instance, DAILY, MESSAGE_ASSETS, days))
    if not ranges:
        yield dg.SkipReason(f"all partitions of the last {LOOKBACK.days} days are there")
    yield from (_request(now, *span) for span in ranges)


@dg.schedule(
    job=MARKET_JOB,
    cron_schedule="40 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Yesterday's candles, market capitalisations and rollups, today's candidates, and what is missing of the last weeks",
)
def daily_market(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Yesterday and today always: yesterday's candle was not complete when it was read last, and collectors watch today's candidates."""
    now = context.scheduled_execution_time
    days = _days(MARKET_DAILY, now - LOOKBACK, now)
    for span in contiguous_ranges(_incomplete(context.instance, MARKET_DAILY, MARKET_ASSETS, days[:-2]) | set(days[-2:])):
        yield _request(now, *span)


# Before the candidates of the day are chosen.
DAILY_COINS = dg.ScheduleDefinition(
    name="daily_coins",
    job=COINS_JOB,
    cron_schedule="10 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Markets, snapshots of the vendors, links from markets to coins",
)

HOURLY_CHECKS = dg.ScheduleDefinition(
    name="hourly_market_checks",
    job=CHECKS_JOB,
    cron_schedule="7 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Checks of the metrics that collectors wrote",
)

HOURLY_WAREHOUSE = dg.ScheduleDefinition(
    name="hourly_warehouse",
    job=WAREHOUSE_JOB,
    cron_schedule="20 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    tags={"dagster/priority": "-1"},
    description="Builds the marts anew; those that must be live are views",
)

DAILY_RETENTION = dg.ScheduleDefinition(
    name="daily_retention",
    job=retention_job,
    cron_schedule="20 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Day partitions made ahead and dropped, as collectors do each hour; also where none runs",
)


def _days(partitions: dg.DailyPartitionsDefinition, first: datetime, last: datetime) -> list[str]:
    return [key for key in partitions.get_partition_keys(last) if f"{first:%Y-%m-%d}" <= key <= f"{last:%Y-%m-%d}"]


def _request(now: datetime, first: str, last: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{now:%Y-%m-%d}:{first}:{last}",
        tags={
            ASSET_PARTITION_RANGE_START_TAG: first,
            ASSET_PARTITION_RANGE_END_TAG: last,
            "dagster/priority": "-1",
            "pnd/backfill": "nightly",
        },
    )


def _incomplete(
    instance: dg.DagsterInstance, partitions: dg.DailyPartitionsDefinition, assets: Sequence[dg.AssetKey], days: Sequence[str]
) -> set[str]:
    incomplete: set[str] = set()
    for asset in assets:
        status = instance.get_status_by_partition(asset, days, partitions) or {}
        incomplete.update(day for day in days if status.get(day) in (None, dg.AssetPartitionStatus.FAILED))
    return incomplete


WEEKLY_ANALYSIS = dg.ScheduleDefinition(
    name="weekly_analysis",
    job=ANALYSIS_JOB,
    cron_schedule="0 5 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    tags={"dagster/priority": "-1"},
    description="The paper's tables and figures, the learned filter and clusters on what is stored by then",
)

SCHEDULES = (nightly_backfill, DAILY_COINS, daily_market, HOURLY_CHECKS, HOURLY_WAREHOUSE, WEEKLY_ANALYSIS, DAILY_RETENTION)
