"""Counts of messages and labels, for metadata and reports."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import sqlalchemy as sa

from pnd_dagster.messages.classifier import Classifier
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.storage import Window, read_frame, within
from pnd_dagster.tables import CHANNEL_WARNING_SIGNS, MESSAGE_LABELS, MESSAGE_WARNING_SIGNS, TELEGRAM_CHANNELS, TELEGRAM_MESSAGES


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


def signed_per_day(engine: sa.Engine, window: Window) -> pl.DataFrame:
    """Message revisions with a warning sign by the day of their message: day, row_count."""
    message, signed = TELEGRAM_MESSAGES.c, MESSAGE_WARNING_SIGNS.c
    day = _day(message.occurred_at)
    keys = ("channel_id", "message_id", "revision_id")
    return read_frame(
        engine,
        sa.select(day.label("day"), sa.func.count().label("row_count"))
        .join_from(TELEGRAM_MESSAGES, MESSAGE_WARNING_SIGNS, sa.and_(*(message[key] == signed[key] for key in keys)))
        .where(within(message.occurred_at, window))
        .group_by(day),
    )


def signs_by_share(engine: sa.Engine) -> pl.DataFrame:
    """Each warning sign: channels that show it, messages with it, and the mean of the channels' shares."""
    signs = CHANNEL_WARNING_SIGNS.c
    return read_frame(
        engine,
        sa.select(
            signs.sign,
            sa.func.count().filter(signs.signed_count > 0).label("channels"),
            sa.cast(sa.func.sum(signs.signed_count), sa.BigInteger).label("messages"),
            sa.func.avg(signs.signed_ratio).label("mean_share_ratio"),
        )
        .group_by(signs.sign)
        .order_by(sa.func.avg(signs.signed_ratio).desc(), signs.sign),
    )


def channels_by_signs(engine: sa.Engine) -> pl.DataFrame:
    """The channels whose messages show most warning signs: channel_id, title, messages, signs_per_message."""
    signs, channel = CHANNEL_WARNING_SIGNS.c, TELEGRAM_CHANNELS.c
    return read_frame(
        engine,
        sa.select(
            signs.channel_id,
            sa.func.max(channel.title).label("title"),
            sa.func.max(signs.message_count).label("messages"),
            sa.func.sum(signs.signed_ratio).label("signs_per_message"),
        )
        .outerjoin_from(CHANNEL_WARNING_SIGNS, TELEGRAM_CHANNELS, channel.channel_id == signs.channel_id)
        .group_by(signs.channel_id)
        .order_by(sa.func.sum(signs.signed_ratio).desc(), signs.channel_id)
        .limit(50),
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
