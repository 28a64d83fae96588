"""Runs the main job from the terminal, on the instance that the UI shows."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import NamedTuple

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster_shared.error import SerializableErrorInfo

from pnd_dagster.automation.instance import prepare
from pnd_dagster.automation.jobs import PUMP_EVENTS_JOB
from pnd_dagster.settings import Settings


class RunOutcome(NamedTuple):
    """How a run ended: failed steps and failed checks by name, with their reason."""

    run_id: str
    failed_steps: dict[str, str]
    failed_checks: list[str]


def run_main_job(settings: Settings, first: str, last: str, *, on_event: Callable[[str, str], None]) -> RunOutcome:
    """Runs the main job for the days `first` to `last` (yyyy-mm-dd) in this process; the UI shows the run.

    Args:
        settings: this installation's settings.
        first: first day.
        last: last day.
        on_event: called with a step's name and "started", "succeeded" or "failed".

    Raises:
        PndError: the database cannot be used; says why.
    """
    from pnd_dagster.definitions import build_defs

    os.environ.update(prepare(settings))
    job = build_defs().resolve_job_def(PUMP_EVENTS_JOB.name)
    run_id = str(uuid.uuid4())

    def watch(event: dg.EventLogEntry) -> None:
        if event.dagster_event and event.dagster_event.step_key:
            step = event.dagster_event
            for kind, word in ((step.is_step_start, "started"), (step.is_step_success, "succeeded"), (step.is_step_failure, "failed")):
                if kind:
                    on_event(str(step.step_key), word)

    with dg.DagsterInstance.get() as instance:
        instance.add_event_listener(run_id, watch)
        result = job.execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            tags={ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last},
        )
    failed_steps = {
        str(event.step_key): _reason(event.step_failure_data.error)
        for event in result.all_events
        if event.is_step_failure
    }
    failed_checks = sorted(
        {f"{check.asset_key.to_user_string()}: {check.check_name}" for check in result.get_asset_check_evaluations() if not check.passed}
    )
    return RunOutcome(run_id, failed_steps, failed_checks)


def _reason(error: SerializableErrorInfo | None) -> str:
    """The user code's own message, without Dagster's frames around it."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "no reason was recorded"
