"""Watches of announced pumps: the sensor that starts one run per pump ahead of its time, and the job of such a run.

What is due is read from the tables at every tick; there is no cursor, which would pass a pump hours before its time. A watch is begun anew
only when the lease of its last attempt has expired; two runs of one watch do no harm, since the lease lets only one of them rank.
"""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import dagster as dg
import sqlalchemy as sa

from pnd_dagster.automation.watch_reports import materialisations
from pnd_dagster.errors import DatabaseError, SettingError
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.services.watch_orders import Order, due_pumps, order_for_pump
from pnd_dagster.services.watch_results import sweep

WATCH_TAG, ATTEMPT_TAG = "pnd/watch", "pnd/attempt"
# A run that was requested so long ago and holds no lease is not waited for any more: it may be queued for ever.
START_PATIENCE = timedelta(seconds=30)
# What a run may take beyond the lead, in seconds, before Dagster ends it.
LONGEST_BEYOND_LEAD = 900


class Requested(NamedTuple):
    """A run of a watch that was requested before."""

    run_id: str
    attempt: int
    requested_at: datetime
    is_finished: bool


class WatchConfig(dg.Config):
    """Which pump a run watches. No settings and no secrets: those are read by the process that runs."""

    pump_id: str
    schedule_revision: int


@dg.op(description="Ranks the exchange's candidates at every bucket until two minutes past the announced start")
def watch_pump_op(context: dg.OpExecutionContext, config: WatchConfig, database: DatabaseResource) -> None:
    """Watches until the pump is over, or ends at once if somebody else watches it."""
    # Here, so that the code server, which only starts runs, need not load what ranks.
    from pnd_dagster.services.watch import watch
    from pnd_dagster.services.watch_market import RankedTick

    settings, engine = database.settings, database.engine
    try:
        order = order_for_pump(engine, settings, config.pump_id, datetime.now(UTC))
    except SettingError as error:
        context.log.info(f"nothing to watch any more: {error}")
        return
    if order.schedule_revision != config.schedule_revision:
        context.log.info("the pump was moved since this run was requested; its new time has a watch of its own")
        return
    last_ticks: dict[str, RankedTick] = {}

    def note(tick: RankedTick) -> None:
        if tick.exchange not in last_ticks:
            active = int(tick.ranking.is_active.sum())
            context.log.info(f"{tick.exchange}: first ranking of {len(tick.symbols)} candidates, {active} of them with history")
        # Once the pump has begun, everybody sees who leads.
        if tick.lead_seconds >= 0 or tick.exchange not in last_ticks:
            last_ticks[tick.exchange] = tick

    ended = watch(engine, settings, order, threading.Event(), note)
    context.log.info(f"{ended.state or 'left'}: {ended.detail}; {ended.tick_count} ticks were ranked")
    try:
        for told in materialisations(engine, order, ended, last_ticks):
            context.log_event(told)
    except DatabaseError as error:
        context.log.warning(f"the watch is over, but not told of: {error}")


@dg.job(
    name="watch_pump",
    executor_def=dg.in_process_executor,
    tags={"dagster/priority": "10", "dagster/max_retries": "0"},
    description="Watches one announced pump; pump_announcement_sensor launches it ahead of the announced start",
)
def watch_pump_job() -> None:
    """One run per watch and attempt."""
    watch_pump_op()


@dg.sensor(
    name="pump_announcement_sensor",
    job=watch_pump_job,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts one watch per announced pump ahead of its time, and another attempt when a watch died; evaluates what is over",
)
def pump_announcement_sensor(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SensorResult:
    """Level-triggered on core.scheduled_pumps, core.pump_announcements, out.watches and core.leases; it keeps nothing itself."""
    now = datetime.now(UTC)
    engine, settings = database.engine, database.settings
    due = due_pumps(engine, settings, now)
    requests: list[dg.RunRequest] = []
    reasons = list(due.skipped)
    for order in due.orders:
        requested = _requested(context.instance, order.watch_id)
        attempt = next_attempt(order.attempts, requested, now)
        if attempt is None:
            reasons.append(f"{order.watch_id}: its run is starting")
            continue
        _end_lost_runs(context.instance, requested, order.attempts)
        requests.append(_request(order, attempt, settings.watch_lead_seconds + LONGEST_BEYOND_LEAD))
    reasons += _sweep(context, engine, now)
    if requests:
        for reason in reasons:
            context.log.info(reason)
        return dg.SensorResult(run_requests=requests)
    return dg.SensorResult(skip_reason="; ".join(reasons) or "no pump is due that nobody watches")


def next_attempt(attempts: int, requested: Sequence[Requested], now: datetime) -> int | None:
    """Number of the attempt to request for a watch that is due and has no live lease; None while a requested run may still be starting.

    A run that got the lease once, and lost it, is not waited for. One that never got it is, for a while, even if it has failed: what keeps
    runs from starting should not be answered by a new one every 5 s.

    Args:
        attempts: how often a run got the lease.
        requested: runs that were requested for it.
        now: the time.
    """
    is_starting = any(run.attempt > attempts and now - run.requested_at < START_PATIENCE for run in requested)
    return None if is_starting else max([attempts, *(run.attempt for run in requested)]) + 1


def _request(order: Order, attempt: int, longest_seconds: int) -> dg.RunRequest:
    config = WatchConfig(pump_id=str(order.pump_id), schedule_revision=int(order.schedule_revision or 0))
    return dg.RunRequest(
        run_key=f"{order.watch_id}:{attempt}",
        run_config=dg.RunConfig(ops={watch_pump_op.name: config}),
        tags={WATCH_TAG: order.watch_id, ATTEMPT_TAG: str(attempt), "dagster/max_runtime": str(longest_seconds)},
    )


def _sweep(context: dg.SensorEvaluationContext, engine: sa.Engine, now: datetime) -> list[str]:
    """Ends and evaluates watches that are over; what fails here must not hold up a watch that is due."""
    try:
        closed = sweep(engine, now)
    except DatabaseError as error:
        return [f"watches that are over were not evaluated: {error}"]
    for watch_id in closed:
        _end_lost_runs(context.instance, _requested(context.instance, watch_id), None)
    return [f"{watch_id}: its process died before it was over" for watch_id in closed]


def _requested(instance: dg.DagsterInstance, watch_id: str) -> list[Requested]:
    records = instance.get_run_records(dg.RunsFilter(tags={WATCH_TAG: watch_id}))
    return [
        Requested(
            record.dagster_run.run_id,
            int(record.dagster_run.tags.get(ATTEMPT_TAG, 0)),
            record.create_timestamp.replace(tzinfo=UTC),
            record.dagster_run.is_finished,
        )
        for record in records
    ]


def _end_lost_runs(instance: dg.DagsterInstance, requested: Sequence[Requested], attempts: int | None) -> None:
    """Marks runs as failed whose process is gone, so that they take no place among those that may run.

    Args:
        instance: Dagster's.
        requested: runs of a watch whose lease nobody holds.
        attempts: how often a run got the lease; later runs may still be starting. None if all of it is over.
    """
    for run in requested:
        lost = instance.get_run_by_id(run.run_id) if not run.is_finished and (attempts is None or run.attempt <= attempts) else None
        if lost is not None and not lost.is_finished:
            instance.report_run_failed(lost, "The lease of its watch expired: its process is gone, or was cut off from the database.")
