"""Group `events`: announcements, scheduled pumps, releases and pump events, rebuilt per affected channel."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.automation.conditions import AFTER_NEW_LABELS
from pnd_dagster.events import summaries
from pnd_dagster.events.store import rebuild_events
from pnd_dagster.resources import table_checks, table_metadata
from pnd_dagster.resources.classifier import ClassifierResource
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.plots import stacked_bars

FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26), warn_window=timedelta(hours=3))


LABELS = dg.AssetKey(["core", "message_labels"])
IMAGES = dg.AssetKey(["core", "image_readings"])
ANNOUNCEMENTS = dg.AssetKey(["core", "pump_announcements"])
SCHEDULED = dg.AssetKey(["core", "scheduled_pumps"])
RELEASES = dg.AssetKey(["core", "pump_releases"])
EVENTS = dg.AssetKey(["core", "pump_events"])


def _spec(key: dg.AssetKey, table: sa.Table, deps: list[dg.AssetKey], description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=deps,
        description=description,
        kinds={"polars", "postgres"},
        owners=["team:data-platform"],
        metadata=table_metadata.declared(table),
        automation_condition=AFTER_NEW_LABELS,
        freshness_policy=FRESHNESS,
    )


@dg.multi_asset(
    name="events",
    specs=[
        _spec(ANNOUNCEMENTS, tables.PUMP_ANNOUNCEMENTS, [LABELS], "Pumps as each channel announced, moved, cancelled and released them"),
        _spec(SCHEDULED, tables.SCHEDULED_PUMPS, [ANNOUNCEMENTS], "Pumps that channels announced together, by exchange and start time"),
        _spec(RELEASES, tables.PUMP_RELEASES, [LABELS, IMAGES, ANNOUNCEMENTS], "Messages that named a coin: the evidence of the events"),
        _spec(EVENTS, tables.PUMP_EVENTS, [RELEASES], "Pump events: releases of one coin on one exchange within two hours"),
    ],
)
def events(context: dg.AssetExecutionContext, database: DatabaseResource, classifier: ClassifierResource) -> Iterator[dg.MaterializeResult]:
    """Replays the channels with new labels in time order, then groups announcements and clusters releases across channels."""
    engine = database.engine
    rebuilt = rebuild_events(engine, classifier.load(), on_progress=lambda done, all_: context.log.info(f"{done} of {all_} channels"))
    by_month = summaries.events_per_exchange_and_month(engine)
    extras = {
        EVENTS: {
            "channels_rebuilt": rebuilt.channel_count,
            "latest_events": table_metadata.preview(summaries.latest_events(engine)),
            "events_per_exchange_and_month": stacked_bars(
                by_month,
                x="month",
                y="events",
                color="exchange",
                title="Pump events per exchange and month (paper, Figure 3)",
                y_label="events",
            ),
        },
        SCHEDULED: {"upcoming": table_metadata.preview(summaries.upcoming_pumps(engine))},
        ANNOUNCEMENTS: {"by_status": table_metadata.preview(summaries.announcements_by_status(engine))},
    }
    results = (
        (ANNOUNCEMENTS, tables.PUMP_ANNOUNCEMENTS, rebuilt.announcements),
        (SCHEDULED, tables.SCHEDULED_PUMPS, rebuilt.scheduled_pumps),
        (RELEASES, tables.PUMP_RELEASES, rebuilt.releases),
        (EVENTS, tables.PUMP_EVENTS, rebuilt.events),
    )
    for key, table, written in results:
        yield dg.MaterializeResult(asset_key=key, metadata=table_metadata.written(table, written, engine) | extras.get(key, {}))


CHECKS = [
    table_checks.schema_check(ANNOUNCEMENTS, tables.PUMP_ANNOUNCEMENTS),
    table_checks.schema_check(SCHEDULED, tables.SCHEDULED_PUMPS),
    table_checks.schema_check(RELEASES, tables.PUMP_RELEASES),
    table_checks.schema_check(EVENTS, tables.PUMP_EVENTS),
    table_checks.expectation_check(
        ANNOUNCEMENTS,
        tables.PUMP_ANNOUNCEMENTS,
        [
            {"type": "expect_column_values_to_be_in_set", "column": "status", "value_set": list(tables.ANNOUNCEMENT_STATUSES)},
            {"type": "expect_column_values_to_not_be_null", "column": "scheduled_at", "mostly": 0.5},
            {"type": "expect_column_values_to_not_be_null", "column": "exchange", "mostly": 0.3},
        ],
    ),
    table_checks.expectation_check(
        EVENTS,
        tables.PUMP_EVENTS,
        [
            {"type": "expect_column_values_to_match_regex", "column": "symbol", "regex": "^[A-Z0-9$]{1,20}$"},
            {"type": "expect_column_values_to_be_between", "column": "confidence", "min_value": 0, "max_value": 1},
            {"type": "expect_column_values_to_not_be_null", "column": "exchange", "mostly": 0.5},
            {
                "type": "expect_column_pair_values_a_to_be_greater_than_b",
                "column_A": "last_released_at",
                "column_B": "released_at",
                "or_equal": True,
            },
            {"type": "expect_table_row_count_to_be_between", "min_value": 1},
        ],
    ),
]
