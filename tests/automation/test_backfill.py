"""The nightly schedule launches what is missing or failed, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from pnd_dagster.automation.partitions import contiguous_ranges
from pnd_dagster.automation.schedules import LOOKBACK, MARKET_ASSETS, MESSAGE_ASSETS, daily_market, nightly_backfill
from pnd_dagster.definitions import build_defs

TONIGHT = datetime(2024, 5, 22, 3, 30, tzinfo=UTC)
DAYS = [(TONIGHT - timedelta(days=back)).strftime("%Y-%m-%d") for back in range(LOOKBACK.days, 0, -1)]


@pytest.mark.parametrize(
    ("days", "ranges"),
    [
        ([], []),
        (["2024-02-29"], [("2024-02-29", "2024-02-29")]),
        (["2024-03-01", "2024-02-29", "2024-02-28"], [("2024-02-28", "2024-03-01")]),
        (["2023-12-31", "2024-01-01", "2024-01-03"], [("2023-12-31", "2024-01-01"), ("2024-01-03", "2024-01-03")]),
    ],
)
def test_days_are_joined_into_unbroken_ranges(days: list[str], ranges: list[tuple[str, str]]) -> None:
    assert contiguous_ranges(days) == ranges


def materialise(instance: dg.DagsterInstance, days: list[str], assets: tuple[dg.AssetKey, ...] = MESSAGE_ASSETS) -> None:
    for asset in assets:
        for day in days:
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=day))


def tick(instance: dg.DagsterInstance, schedule: dg.ScheduleDefinition = nightly_backfill) -> list[tuple[str, str]]:
    repository = build_defs().get_repository_def()
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=TONIGHT, repository_def=repository)
    requests = schedule.evaluate_tick(context).run_requests or []
    return [(request.tags[ASSET_PARTITION_RANGE_START_TAG], request.tags[ASSET_PARTITION_RANGE_END_TAG]) for request in requests]


def test_all_days_of_an_empty_platform_are_one_range_that_ends_yesterday() -> None:
    with dg.instance_for_test() as instance:
        assert tick(instance) == [(DAYS[0], "2024-05-21")]


def test_only_the_missing_days_are_launched() -> None:
    with dg.instance_for_test() as instance:
        materialise(instance, [day for day in DAYS if day not in {"2024-05-08", "2024-05-09", "2024-05-20"}])
        assert tick(instance) == [("2024-05-08", "2024-05-09"), ("2024-05-20", "2024-05-20")]


def test_a_day_whose_labels_alone_are_missing_is_launched() -> None:
    with dg.instance_for_test() as instance:
        materialise(instance, DAYS, MESSAGE_ASSETS[:1])
        materialise(instance, DAYS[:-1], MESSAGE_ASSETS[1:])
        assert tick(instance) == [(DAYS[-1], DAYS[-1])]


def test_nothing_is_launched_when_all_is_there() -> None:
    with dg.instance_for_test() as instance:
        materialise(instance, DAYS)
        assert tick(instance) == []


def test_the_market_of_yesterday_and_today_is_read_every_day_beside_what_is_missing() -> None:
    with dg.instance_for_test() as instance:
        materialise(instance, [day for day in DAYS if day != "2024-05-09"], MARKET_ASSETS)
        assert tick(instance, daily_market) == [("2024-05-09", "2024-05-09"), ("2024-05-21", "2024-05-22")]
