"""Runs the main job from the terminal, on the instance that the UI shows."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from typing import NamedTuple

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster_shared.error import SerializableErrorInfo

from pnd_dagster.automation.instance import prepare
from pnd_dagster.automation.jobs import COINS_JOB, CONDUCT_JOB, EVENTS_JOB, MARKET_JOB, MESSAGES_JOB, WAREHOUSE_JOB
from pnd_dagster.automation.partitions import MARKET_DAILY
from pnd_dagster.settings import Settings


class RunOutcome(NamedTuple):
    """How the main job ended: its runs, failed steps with their reason, failed checks by name."""

    run_ids: list[str]
    failed_steps: dict[str, str]
    failed_checks: list[str]


OnEvent = Callable[[str, str], None]
_MARTS: list[tuple[str, dict[str, str]]] = [(CONDUCT_JOB.name, {}), (WAREHOUSE_JOB.name, {})]


def run_main_job(settings: Settings, first: str, last: str, *, on_event: OnEvent) -> RunOutcome:
    """Runs the main job for the days `first` to `last` (yyyy-mm-dd) in this process; the UI shows its runs.

    Args:
        settings: this installation's settings.
        first: first day.
        last: last day.
        on_event: called with a step's name and "started", "succeeded" or "failed".

    Raises:
        PndError: the database cannot be used; says why.
    """
    days = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
    jobs: list[tuple[str, dict[str, str]]] = [(MESSAGES_JOB.name, days), (EVENTS_JOB.name, {}), (COINS_JOB.name, {})]
    if last >= (first_market_day := MARKET_DAILY.get_partition_keys()[0]):
        jobs.append((MARKET_JOB.name, days | {ASSET_PARTITION_RANGE_START_TAG: max(first, first_market_day)}))
    return _run(settings, [*jobs, *_MARTS], on_event)


def run_marts(settings: Settings, *, on_event: OnEvent) -> RunOutcome:
    """Builds the marts from what is stored now: the end of `run_main_job`, which see."""
    return _run(settings, _MARTS, on_event)


def _run(settings: Settings, jobs: list[tuple[str, dict[str, str]]], on_event: OnEvent) -> RunOutcome:
    from pnd_dagster.definitions import build_defs

    os.environ.update(prepare(settings))
    defs = build_defs()
    outcome = RunOutcome([], {}, [])
    with dg.DagsterInstance.get() as instance:
        for name, tags in jobs:
            result = _execute(defs.resolve_job_def(name), instance, tags, on_event)
            outcome.run_ids.append(result.run_id)
            outcome.failed_steps.update(
                (str(event.step_key), _reason(event.step_failure_data.error)) for event in result.all_events if event.is_step_failure
            )
            outcome.failed_checks.extend(_failed_checks(result))
            if not result.success and name == MESSAGES_JOB.name:
                break  # events are made of messages; the market stands for itself
    return outcome


def _execute(job: dg.JobDefinition, instance: dg.DagsterInstance, tags: Mapping[str, str], on_event: OnEvent) -> dg.ExecuteInProcessResult:
    run_id = str(uuid.uuid4())

    def watch(event: dg.EventLogEntry) -> None:
        if event.dagster_event and event.dagster_event.step_key:
            step = event.dagster_event
            for kind, word in ((step.is_step_start, "started"), (step.is_step_success, "succeeded"), (step.is_step_failure, "failed")):
                if kind:
                    on_event(str(step.step_key), word)

    instance.add_event_listener(run_id, watch)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return job.execute_in_process(run_config=quiet, instance=instance, run_id=run_id, raise_on_error=False, tags=dict(tags))


def _failed_checks(result: dg.ExecuteInProcessResult) -> list[str]:
    evaluations = result.get_asset_check_evaluations()
    return sorted({f"{check.asset_key.to_user_string()}: {check.check_name}" for check in evaluations if not check.passed})


def _reason(error: SerializableErrorInfo | None) -> str:
    """The user code's own message, without Dagster's frames around it."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "no reason was recorded"
