"""One run per announced pump, ahead of its time; another only when its watch died."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.automation.watches import (
    ATTEMPT_TAG,
    START_PATIENCE,
    WATCH_TAG,
    Requested,
    next_attempt,
    pump_announcement_sensor,
    watch_pump_job,
)
from pnd_dagster.definitions import build_defs
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.services.watch_orders import due_pumps
from pnd_dagster.services.watch_rows import begin, end
from pnd_dagster.settings import Settings
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.storage.leases import acquire, release
from pnd_dagster.tables import INSTRUMENTS, SCHEDULED_PUMPS, WATCHES, polars_schema

NOW = datetime(2026, 3, 6, 17, 0, tzinfo=UTC)


def requested(attempt: int, *, seconds_ago: float, is_finished: bool = False) -> Requested:
    return Requested(f"run-{attempt}", attempt, NOW - timedelta(seconds=seconds_ago), is_finished)


def test_an_attempt_is_waited_for_while_it_may_still_be_starting() -> None:
    assert next_attempt(0, [], NOW) == 1
    assert next_attempt(0, [requested(1, seconds_ago=5)], NOW) is None
    assert next_attempt(0, [requested(1, seconds_ago=START_PATIENCE.total_seconds() + 1)], NOW) == 2
    # It had the lease once and lost it: its process is dead.
    assert next_attempt(1, [requested(1, seconds_ago=5)], NOW) == 2
    # It failed before it got the lease: not again at every tick.
    assert next_attempt(0, [requested(1, seconds_ago=5, is_finished=True)], NOW) is None
    assert next_attempt(1, [requested(3, seconds_ago=60), requested(1, seconds_ago=99)], NOW) == 4


@pytest.fixture
def instance(engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    assert settings.database_url
    monkeypatch.setenv("PND_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("PND_EXCHANGES", "kucoin,xt")
    with dg.instance_for_test() as made:
        yield made


def announce(engine: sa.Engine, pump_id: str = "p1", seconds: float = 60, **changed: object) -> None:
    row = {
        "pump_id": pump_id,
        "exchange": "kucoin",
        "scheduled_at": datetime.now(UTC) + timedelta(seconds=seconds),
        "schedule_revision": 0,
        "status": "scheduled",
        "announcement_ids": [f"a-{pump_id}"],
        "channel_ids": [1, 2],
        "channel_count": 2,
        "first_announced_at": datetime.now(UTC) - timedelta(hours=1),
        **changed,
    }
    upsert(engine, SCHEDULED_PUMPS, pl.DataFrame([row], schema=polars_schema(SCHEDULED_PUMPS)))


def tick(instance: dg.DagsterInstance):
    context = dg.build_sensor_context(instance=instance, resources={"database": DatabaseResource()}, definitions=build_defs())
    return pump_announcement_sensor.evaluate_tick(context)


def keys(instance: dg.DagsterInstance) -> list[str | None]:
    return [request.run_key for request in tick(instance).run_requests or []]


def config_of(pump_id: str, revision: int) -> dict[str, object]:
    return {"ops": {"watch_pump_op": {"config": {"pump_id": pump_id, "schedule_revision": revision}}}}


def launch(instance: dg.DagsterInstance, watch_id: str, attempt: int) -> dg.DagsterRun:
    """A run as the daemon would make it of a request; no process is behind it."""
    job = build_defs().resolve_job_def(watch_pump_job.name)
    tags = {WATCH_TAG: watch_id, ATTEMPT_TAG: str(attempt)}
    run_config = config_of(watch_id.split(":")[0], 0)
    return instance.create_run_for_job(job, run_config=run_config, tags=tags, status=dg.DagsterRunStatus.STARTED)


def test_a_pump_that_is_due_gets_one_run_with_nothing_secret_in_its_config(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    announce(engine)
    announce(engine, "later", seconds=3600)

    (request,) = tick(instance).run_requests

    assert request.run_key == "p1:0:1"
    assert {name: part for name, part in request.run_config.items() if part} == config_of("p1", 0)
    assert request.tags[WATCH_TAG] == "p1:0"
    assert watch_pump_job.tags["dagster/max_retries"] == "0"
    assert int(watch_pump_job.tags["dagster/priority"]) > 0


def test_what_is_not_watched_is_said(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    assert tick(instance).skip_message == "no pump is due that nobody watches"
    announce(engine, exchange="hotbit")
    assert tick(instance).skip_message == "p1: hotbit is not collected"


def test_a_run_that_was_requested_is_waited_for_and_one_whose_lease_is_live_too(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    announce(engine)
    launch(instance, "p1:0", 1)
    evaluated = tick(instance)
    assert not evaluated.run_requests
    assert evaluated.skip_message == "p1:0: its run is starting"
    assert acquire(engine, "watch:p1:0", "me", 60)
    assert keys(instance) == []


def test_a_run_that_died_is_marked_as_failed_and_followed_by_the_next_attempt(
    engine: sa.Engine, settings: Settings, instance: dg.DagsterInstance
) -> None:
    announce(engine)
    died = launch(instance, "p1:0", 1)
    (order,) = due_pumps(engine, settings, datetime.now(UTC)).orders
    lease = acquire(engine, "watch:p1:0", "me", 60)
    assert lease is not None
    begin(engine, lease, order, datetime.now(UTC))
    assert keys(instance) == []

    release(engine, lease)

    assert keys(instance) == ["p1:0:2"]
    assert instance.get_run_by_id(died.run_id).status == dg.DagsterRunStatus.FAILURE


def test_a_run_that_never_starts_does_not_block_the_next_attempt_for_ever(
    engine: sa.Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(engine)
    stuck = launch(instance, "p1:0", 1)
    monkeypatch.setattr("pnd_dagster.automation.watches.START_PATIENCE", timedelta(0))
    assert keys(instance) == ["p1:0:2"]
    assert not instance.get_run_by_id(stuck.run_id).is_finished, "it may still come: the lease decides"


def test_a_postponed_pump_gets_a_run_for_its_new_time(engine: sa.Engine, settings: Settings, instance: dg.DagsterInstance) -> None:
    announce(engine)
    (order,) = due_pumps(engine, settings, datetime.now(UTC)).orders
    lease = acquire(engine, "watch:p1:0", "me", 60)
    assert lease is not None
    begin(engine, lease, order, datetime.now(UTC))
    end(engine, lease, "p1:0", "postponed", "moved", datetime.now(UTC))
    announce(engine, seconds=300, schedule_revision=1, status="postponed")
    assert keys(instance) == ["p1:1:1"]


def test_a_watch_that_died_for_good_is_ended_and_its_run_too(engine: sa.Engine, settings: Settings, instance: dg.DagsterInstance) -> None:
    announce(engine, seconds=-60)
    died = launch(instance, "p1:0", 1)
    (order,) = due_pumps(engine, settings, datetime.now(UTC)).orders
    lease = acquire(engine, "watch:p1:0", "me", 60)
    assert lease is not None
    begin(engine, lease, order._replace(scheduled_at=datetime.now(UTC) - timedelta(minutes=5)), datetime.now(UTC))
    announce(engine, seconds=-300)
    release(engine, lease)

    assert tick(instance).skip_message == "p1:0: its process died before it was over"

    assert read_frame(engine, sa.select(WATCHES.c.state))["state"].to_list() == ["failed"]
    assert instance.get_run_by_id(died.run_id).status == dg.DagsterRunStatus.FAILURE


def execute(instance: dg.DagsterInstance, revision: int = 0) -> dg.ExecuteInProcessResult:
    job = build_defs().resolve_job_def(watch_pump_job.name)
    return job.execute_in_process(run_config=config_of("p1", revision), instance=instance)


def test_the_run_watches_until_its_pump_is_cancelled(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    listed = {
        **dict.fromkeys(("market_id", "base_symbol", "base_id"), "ABC"),
        **dict.fromkeys(("quote_symbol", "quote_id"), "USDT"),
        "instrument_id": 1,
        "exchange": "kucoin",
        "symbol": "ABC/USDT",
        "is_derivative": False,
        "valid_from": NOW,
    }
    upsert(engine, INSTRUMENTS, pl.DataFrame([listed]))
    announce(engine)

    def cancel_when_it_runs() -> None:
        until = time.monotonic() + 30
        while read_frame(engine, sa.select(WATCHES.c.state)).is_empty() and time.monotonic() < until:
            time.sleep(0.05)
        announce(engine, status="cancelled")

    with ThreadPoolExecutor(1) as threads:
        cancelling = threads.submit(cancel_when_it_runs)
        result = execute(instance)
        cancelling.result()

    assert result.success
    assert read_frame(engine, sa.select(WATCHES.c.state, WATCHES.c.attempt)).row(0) == ("cancelled", 1)
    (told,) = result.get_asset_materialization_events()
    assert told.asset_key == dg.AssetKey(["out", "watches"])
    assert told.materialization.metadata["state"].value == "cancelled"


def test_a_run_whose_pump_was_moved_or_called_off_meanwhile_ends_quietly(engine: sa.Engine, instance: dg.DagsterInstance) -> None:
    announce(engine, schedule_revision=1)
    assert execute(instance, revision=0).success
    announce(engine, schedule_revision=1, status="cancelled")
    assert execute(instance, revision=1).success
    assert read_frame(engine, sa.select(WATCHES)).is_empty()
