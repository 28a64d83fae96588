"""Group `messages`: message revisions as received, and their labels, by day."""

import dagster as dg

from pnd_dagster import tables
from pnd_dagster.automation.conditions import LABEL_WHAT_SERVICES_WROTE
from pnd_dagster.automation.partitions import DAILY, window
from pnd_dagster.messages import summaries
from pnd_dagster.messages.labelling import label_unlabelled
from pnd_dagster.messages.llm.labeller import label_abstained
from pnd_dagster.messages.warning_sign_store import tag_messages
from pnd_dagster.resources import service_health, table_checks, table_metadata
from pnd_dagster.resources.classifier import ClassifierResource
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster, unless_spent
from pnd_dagster.resources.partition_metadata import partitions_materialized
from pnd_dagster.resources.plots import stacked_bars
from pnd_dagster.services.collect_messages import collect_messages


@dg.asset(
    key_prefix="raw",
    kinds={"telegram", "postgres"},
    owners=["team:data-platform"],
    partitions_def=DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=table_metadata.declared(tables.TELEGRAM_MESSAGES),
    pool="telegram",
)
def telegram_messages(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """Message revisions of the configured archives and the validated channels; edits and deletions add rows."""
    with told_to_dagster():
        collected = collect_messages(database.engine, database.settings, window(context), on_progress=context.log.info)
    return partitions_materialized(
        context,
        summaries.revisions_per_day(database.engine, window(context)),
        table_metadata.written(tables.TELEGRAM_MESSAGES, collected.written, database.engine)
        | {
            "input_rows": collected.row_count,
            "dead_letters": collected.dead_letter_count,
            "sources": ", ".join(collected.sources) or "none",
        },
    )


@dg.asset(
    key_prefix="core",
    kinds={"scikitlearn", "postgres"},
    owners=["team:data-platform"],
    deps=[telegram_messages],
    partitions_def=DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=table_metadata.declared(tables.MESSAGE_LABELS),
    automation_condition=LABEL_WHAT_SERVICES_WROTE,
)
def message_labels(context: dg.AssetExecutionContext, database: DatabaseResource, classifier: ClassifierResource) -> dg.MaterializeResult:
    """One of the paper's six labels for every message revision that has none from the current model.

    What the model abstains from is asked of a language model where there is a key, within the day's spend limit; the rest waits for review.
    """
    model = classifier.load()
    labelled = label_unlabelled(
        database.engine, model, window=window(context), on_progress=lambda rows: context.log.info(f"labelled {rows}")
    )
    asked = unless_spent(context, lambda: label_abstained(database.engine, database.settings, model, window=window(context)))
    months = summaries.labels_per_month(database.engine, model)
    return partitions_materialized(
        context,
        summaries.labels_per_day(database.engine, model, window(context)),
        table_metadata.written(tables.MESSAGE_LABELS, labelled.written, database.engine)
        | {
            "model_version": model.version,
            "revisions_labelled": labelled.revision_count,
            "asked_of_language_model": asked.accepted + asked.fallen_back if asked else 0,
            "language_model_cost_usd": asked.cost_usd if asked else 0.0,
            "labels": table_metadata.preview(summaries.label_distribution(months)),
            "messages_per_label_and_month": stacked_bars(
                months, x="month", y="messages", color="label", title="Messages per label and month", y_label="messages"
            ),
        },
    )


@dg.asset(
    key_prefix="core",
    kinds={"postgres"},
    owners=["team:data-platform"],
    deps=[telegram_messages],
    partitions_def=DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=table_metadata.declared(tables.MESSAGE_WARNING_SIGNS),
    automation_condition=LABEL_WHAT_SERVICES_WROTE,
)
def message_warning_signs(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """Messages that show a warning sign of the general guides: pressure, guaranteed profit, VIP upsell and others, by a lexicon."""
    written = tag_messages(database.engine, window(context), on_progress=lambda rows: context.log.info(f"looked at {rows}"))
    return partitions_materialized(
        context,
        summaries.signed_per_day(database.engine, window(context)),
        table_metadata.written(tables.MESSAGE_WARNING_SIGNS, written, database.engine),
    )


LLM_REPLIES = dg.AssetSpec(
    ["raw", "llm_replies"],
    description="Every reply of a language model with its cost; labelling and extraction write it themselves",
    kinds={"openai", "postgres"},
    owners=["team:data-platform"],
    metadata=table_metadata.declared(tables.LLM_REPLIES),
)

HEARTBEATS = dg.AssetSpec(
    service_health.HEARTBEATS_KEY,
    description="Life signs of the long-running services, which write them themselves",
    kinds={"postgres"},
    owners=["team:data-platform"],
    metadata=table_metadata.declared(tables.HEARTBEATS),
)

CHECKS = [
    table_checks.schema_check(telegram_messages.key, tables.TELEGRAM_MESSAGES),
    table_checks.schema_check(message_labels.key, tables.MESSAGE_LABELS),
    table_checks.schema_check(message_warning_signs.key, tables.MESSAGE_WARNING_SIGNS),
    table_checks.expectation_check(
        telegram_messages.key,
        tables.TELEGRAM_MESSAGES,
        [
            {"type": "expect_column_values_to_be_between", "column": "message_id", "min_value": 1},
            {"type": "expect_column_values_to_be_in_set", "column": "kind", "value_set": ["message", "service"]},
            {"type": "expect_column_pair_values_a_to_be_greater_than_b", "column_A": "ingested_at", "column_B": "occurred_at"},
            {"type": "expect_table_row_count_to_be_between", "min_value": 1},
        ],
    ),
    table_checks.expectation_check(
        message_labels.key,
        tables.MESSAGE_LABELS,
        [
            {"type": "expect_column_values_to_be_between", "column": "label", "min_value": 0, "max_value": 5},
            {"type": "expect_column_values_to_be_between", "column": "confidence", "min_value": 0, "max_value": 1},
            {"type": "expect_column_mean_to_be_between", "column": "confidence", "min_value": 0.6, "max_value": 1},
        ],
    ),
    *(service_health.alive_check(service) for service in service_health.MAX_SILENCE),
]
