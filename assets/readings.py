"""Group `readings`: what others than the classifier read in messages, and how far those who label agree."""

import dagster as dg
import polars as pl

from pnd_dagster import tables
from pnd_dagster.automation.conditions import AFTER_NEW_LABELS, DAILY_AT_TWO
from pnd_dagster.events.llm_extraction import extract_labelled
from pnd_dagster.events.symbols import load_known_symbols
from pnd_dagster.images import summaries as image_summaries
from pnd_dagster.images.store import read_new_images
from pnd_dagster.messages import summaries
from pnd_dagster.messages.agreement import agreement_preview, confusion_of_largest_pair, write_label_agreement
from pnd_dagster.messages.warning_sign_store import write_channel_signs
from pnd_dagster.resources import table_checks, table_metadata
from pnd_dagster.resources.classifier import ClassifierResource
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster, unless_spent
from pnd_dagster.resources.plots import matrix
from pnd_dagster.storage import NOTHING_WRITTEN

MESSAGES = dg.AssetKey(["raw", "telegram_messages"])
LABELS = dg.AssetKey(["core", "message_labels"])
SIGNS = dg.AssetKey(["core", "message_warning_signs"])
# At three pictures a second: what a run leaves, the next one takes.
MOST_PICTURES = 2_000
MOST_EXTRACTIONS = 1_000


@dg.asset(
    key_prefix="core",
    kinds={"python", "postgres"},
    owners=["team:data-platform"],
    deps=[MESSAGES],
    metadata=table_metadata.declared(tables.IMAGE_READINGS),
    automation_condition=AFTER_NEW_LABELS,
)
def image_readings(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:
    """The coin that a picture reveals, read offline in a process with limits; the pictures of messages that nobody has read yet."""
    with told_to_dagster():
        read = read_new_images(
            database.engine,
            database.settings,
            load_known_symbols(),
            limit=MOST_PICTURES,
            on_progress=lambda done, all_: context.log.info(f"{done} of {all_} pictures") if done % 50 == 0 else None,
        )
    return dg.MaterializeResult(
        metadata=table_metadata.written(tables.IMAGE_READINGS, read.written, database.engine)
        | {
            "pictures_read": sum(read.counts.values()),
            "by_status": table_metadata.preview(image_summaries.by_status(database.engine)),
            "latest_reveals": table_metadata.preview(image_summaries.latest_reveals(database.engine), 20),
        }
    )


@dg.asset(
    key_prefix="core",
    kinds={"openai", "postgres"},
    owners=["team:data-platform"],
    deps=[LABELS],
    metadata=table_metadata.declared(tables.LLM_EXTRACTIONS),
    automation_condition=DAILY_AT_TWO,
    pool="openai",
)
def llm_extractions(context: dg.AssetExecutionContext, database: DatabaseResource, classifier: ClassifierResource) -> dg.MaterializeResult:
    """What a language model reads in announcements, postponements and cancellations, verified against the text; needs a key.

    Where it reads otherwise than the rules, the message goes to review.
    """
    model = classifier.load()
    asked = unless_spent(context, lambda: extract_labelled(database.engine, database.settings, model, limit=MOST_EXTRACTIONS))
    figures = {} if asked is None else asked._asdict()
    return dg.MaterializeResult(metadata=table_metadata.written(tables.LLM_EXTRACTIONS, NOTHING_WRITTEN, database.engine) | figures)


@dg.asset(
    key_prefix="core",
    kinds={"postgres"},
    owners=["team:data-platform"],
    deps=[SIGNS],
    metadata=table_metadata.declared(tables.CHANNEL_WARNING_SIGNS),
    automation_condition=DAILY_AT_TWO,
)
def channel_warning_signs(database: DatabaseResource) -> dg.MaterializeResult:
    """How often each channel's messages show each warning sign."""
    written = write_channel_signs(database.engine)
    return dg.MaterializeResult(
        metadata=table_metadata.written(tables.CHANNEL_WARNING_SIGNS, written, database.engine)
        | {
            "signs": table_metadata.preview(summaries.signs_by_share(database.engine), 20),
            "channels": table_metadata.preview(summaries.channels_by_signs(database.engine), 20),
        }
    )


@dg.asset(
    key_prefix="core",
    kinds={"postgres"},
    owners=["team:data-platform"],
    deps=[LABELS],
    metadata=table_metadata.declared(tables.LABEL_AGREEMENT),
    automation_condition=DAILY_AT_TWO,
)
def label_agreement(database: DatabaseResource) -> dg.MaterializeResult:
    """How far labellers agree (Cohen's kappa) on the messages that both labelled: classifier, language model, humans of `pnd review`."""
    agreement, written = write_label_agreement(database.engine)
    confusion = confusion_of_largest_pair(agreement)
    shown = {} if confusion.is_empty() else {"confusion": _confusion_plot(confusion)}
    return dg.MaterializeResult(
        metadata=table_metadata.written(tables.LABEL_AGREEMENT, written, database.engine)
        | {"agreement": table_metadata.preview(agreement_preview(agreement), 30)}
        | shown
    )


def _confusion_plot(confusion: pl.DataFrame) -> dg.MetadataValue:
    names = confusion.row(0, named=True)
    return matrix(
        confusion,
        rows="label_a",
        columns="label_b",
        value="message_count",
        title=f"{names['labeller_a']} (rows) and {names['labeller_b']} (columns)",
    )


CHECKS = [
    table_checks.schema_check(image_readings.key, tables.IMAGE_READINGS),
    table_checks.schema_check(llm_extractions.key, tables.LLM_EXTRACTIONS),
    table_checks.schema_check(channel_warning_signs.key, tables.CHANNEL_WARNING_SIGNS),
    table_checks.schema_check(label_agreement.key, tables.LABEL_AGREEMENT),
    table_checks.expectation_check(
        image_readings.key,
        tables.IMAGE_READINGS,
        [
            {"type": "expect_column_values_to_be_in_set", "column": "status", "value_set": list(tables.IMAGE_STATUSES)},
            {"type": "expect_column_values_to_match_regex", "column": "symbol", "regex": "^[A-Z0-9$]{1,20}$"},
        ],
    ),
]
