"""Retention as a job: it runs each day also where no collector runs beside Dagster."""

import dagster as dg

from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster


@dg.op(description="Makes day partitions ahead; drops those, and leases of watches, that are past their time")
def retention_op(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
    """Keeps PND_METRICS_RETENTION_DAYS of metrics and rankings."""
    from pnd_dagster.services.retention import keep_retention

    with told_to_dagster():
        kept = keep_retention(database.engine, database.settings.metrics_retention_days)
    context.add_output_metadata(
        {"made": ", ".join(kept.made) or "none", "dropped": ", ".join(kept.dropped) or "none", "leases_removed": kept.leases}
    )


@dg.job(
    name="retention",
    executor_def=dg.in_process_executor,
    description="Day partitions of metrics and rankings: made ahead, and dropped after PND_METRICS_RETENTION_DAYS",
)
def retention_job() -> None:
    """One run a day."""
    retention_op()
