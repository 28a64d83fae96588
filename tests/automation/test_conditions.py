"""Automation fires on edges: at a tick of the clock, after new labels, and not again until the next one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pnd_dagster.definitions import build_defs

LABELS = dg.AssetKey(["core", "message_labels"])
CHANNELS = dg.AssetKey(["raw", "telegram_channels"])
EVENTS = {dg.AssetKey(["core", name]) for name in ("pump_announcements", "scheduled_pumps", "pump_releases", "pump_events")}


class Clock:
    """Evaluates the conditions of some assets at one time after another, as the daemon does."""

    def __init__(self, instance: dg.DagsterInstance, assets: dg.AssetSelection, at: datetime) -> None:
        self._instance, self._assets, self._at = instance, assets, at
        self._cursor: Any = None
        self._defs = build_defs()

    def requested(self, after: timedelta) -> dict[dg.AssetKey, set[str] | None]:
        """Assets requested at a time later by `after`; with their partitions, None for one without."""
        self._at += after
        result = dg.evaluate_automation_conditions(self._defs, self._instance, self._assets, evaluation_time=self._at, cursor=self._cursor)
        self._cursor = result.cursor
        found: dict[dg.AssetKey, set[str] | None] = {}
        for outcome in result.results:
            if outcome.true_subset.size:
                subset = outcome.true_subset
                found[outcome.key] = set(subset.expensively_compute_partition_keys()) if subset.partitions_def else None
        return found


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def test_labels_are_requested_every_quarter_of_an_hour_for_today_and_yesterday_only(instance: dg.DagsterInstance) -> None:
    clock = Clock(instance, dg.AssetSelection.assets(LABELS), datetime(2026, 3, 8, 10, 1, tzinfo=UTC))
    assert clock.requested(timedelta()) == {}
    assert clock.requested(timedelta(minutes=5)) == {}
    assert clock.requested(timedelta(minutes=10)) == {LABELS: {"2026-03-07", "2026-03-08"}}
    assert clock.requested(timedelta(minutes=1)) == {}


def test_events_are_requested_once_after_new_labels(instance: dg.DagsterInstance) -> None:
    clock = Clock(instance, dg.AssetSelection.groups("events"), datetime(2026, 3, 8, 10, 1, tzinfo=UTC))
    assert clock.requested(timedelta()) == {}
    instance.report_runless_asset_event(dg.AssetMaterialization(LABELS, partition="2026-03-08"))
    assert set(clock.requested(timedelta(minutes=1))) == EVENTS
    assert clock.requested(timedelta(minutes=1)) == {}
    instance.report_runless_asset_event(dg.AssetMaterialization(LABELS, partition="2019-01-01"))
    assert set(clock.requested(timedelta(minutes=1))) == EVENTS


def test_channels_are_requested_daily(instance: dg.DagsterInstance) -> None:
    clock = Clock(instance, dg.AssetSelection.assets(CHANNELS), datetime(2026, 3, 8, 1, 50, tzinfo=UTC))
    assert clock.requested(timedelta()) == {}
    assert clock.requested(timedelta(minutes=15)) == {CHANNELS: None}
    assert clock.requested(timedelta(hours=12)) == {}
    assert clock.requested(timedelta(hours=12)) == {CHANNELS: None}
