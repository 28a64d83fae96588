"""Counts of messages and labels, for metadata and reports."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import sqlalchemy as sa

from pnd_dagster.messages.classifier import Classifier
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.storage import Window, read_frame, within
from pnd_dagster.tables import MESSAGE_LABELS, TELEGRAM_MESSAGES


def revisions_per_day(engine: sa.Engine, window: Window) -> pl.DataFrame:
    """Stored message revisions by the day they were posted on: day, row_count."""
    message = TELEGRAM_MESSAGES.c
    day = _day(message.occurred_at)
    return read_frame(
        engine,
        sa.select(day.label("day"), sa.func.count().label("row_count")).where(within(message.occurred_at, window)).group_by(day),
    )


def labels_per_day(engine: sa.Engine, classifier: Classifier, window: Window) -> pl.DataFrame:
    """Labels of `classifier` by the day of their message: day, row_count."""
    message = TELEGRAM_MESSAGES.c
    day = _day(message.occurred_at)
    return read_frame(
        engine,
        sa.select(day.label("day"), sa.func.count().label("row_count"))
        .join_from(TELEGRAM_MESSAGES, MESSAGE_LABELS, _same_revision())
        .where(within(message.occurred_at, window), *_of(classifier))
        .group_by(day),
    )


def labels_per_month(engine: sa.Engine, classifier: Classifier) -> pl.DataFrame:
    """Labels of `classifier` by month and label: month (yyyy-mm), label (its name), messages."""
    month = sa.func.to_char(sa.func.timezone("UTC", TELEGRAM_MESSAGES.c.occurred_at), "YYYY-MM")
    counts = read_frame(
        engine,
        sa.select(month.label("month"), MESSAGE_LABELS.c.label, sa.func.count().label("messages"))
        .join_from(TELEGRAM_MESSAGES, MESSAGE_LABELS, _same_revision())
        .where(*_of(classifier))
        .group_by(month, MESSAGE_LABELS.c.label),
    )
    return counts.with_columns(
        pl.col("label").replace_strict({int(label): label.display_name for label in MessageLabel}, return_dtype=pl.String)
    ).sort("month", "label")


def label_distribution(per_month: pl.DataFrame) -> pl.DataFrame:
    """Messages and share by label, most frequent first (the paper's Table II)."""
    return (
        per_month.group_by("label")
        .agg(pl.col("messages").sum())
        .with_columns((pl.col("messages") / pl.col("messages").sum()).round(4).alias("share_ratio"))
        .sort("messages", descending=True)
    )


def _day(at: sa.ColumnElement[datetime]) -> sa.ColumnElement[date]:
    return sa.cast(sa.func.timezone("UTC", at), sa.Date)


def _same_revision() -> sa.ColumnElement[bool]:
    keys = ("channel_id", "message_id", "revision_id")
    return sa.and_(*(TELEGRAM_MESSAGES.c[key] == MESSAGE_LABELS.c[key] for key in keys))


def _of(classifier: Classifier) -> tuple[sa.ColumnElement[bool], ...]:
    return (MESSAGE_LABELS.c.labeller == classifier.name, MESSAGE_LABELS.c.labeller_version == classifier.version)
