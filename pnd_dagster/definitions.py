"""Composition root: everything Dagster serves, each part overridable in a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets import ASSET_GROUPS
from pnd_dagster.automation.jobs import JOBS
from pnd_dagster.automation.retention import retention_job
from pnd_dagster.automation.schedules import SCHEDULES
from pnd_dagster.automation.sensors import SENSORS
from pnd_dagster.automation.watches import watch_pump_job
from pnd_dagster.resources.classifier import ClassifierResource
from pnd_dagster.resources.database import DatabaseResource


def build_defs(*, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions of the whole platform.

    Args:
        resources: resources that replace the default ones, by name.
    """
    return dg.Definitions(
        assets=[
            asset
            for group, modules in ASSET_GROUPS.items()
            for asset in dg.load_assets_from_modules(modules, group_name=group, include_specs=True)
        ],
        asset_checks=[check for modules in ASSET_GROUPS.values() for module in modules for check in module.CHECKS],
        jobs=[*JOBS, watch_pump_job, retention_job],
        schedules=list(SCHEDULES),
        sensors=list(SENSORS),
        # A process per step imports everything anew: dozens of checks would starve a watch that runs beside them.
        executor=dg.in_process_executor,
        resources={"database": DatabaseResource(), "classifier": ClassifierResource()} | dict(resources or {}),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` loads."""
    return build_defs()
