"""The labelled messages that events are built from, and which channels have new ones."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

import polars as pl
import sqlalchemy as sa

from pnd_dagster.events.announcements import EXPIRES_AFTER, UNDATED_EXPIRES_AFTER
from pnd_dagster.events.extraction import EXTRACTOR_VERSION
from pnd_dagster.images.store import effective_readings
from pnd_dagster.messages.classifier import Classifier
from pnd_dagster.messages.labelling import HUMAN, LANGUAGE_MODEL
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import CHANNEL_BUILDS, MESSAGE_LABELS, PUMP_ANNOUNCEMENTS, TELEGRAM_MESSAGES


def current_builds(engine: sa.Engine, classifier: Classifier, channel_ids: Collection[int] | None = None) -> pl.DataFrame:
    """Rows of core.channel_builds as they would be if every channel were built now."""
    labels = _labels(classifier, channel_ids)
    return read_frame(engine, sa.select(labels).order_by(labels.c.channel_id)).with_columns(extractor_version=pl.lit(_version(classifier)))


def affected_channels(engine: sa.Engine, classifier: Classifier, channel_ids: Collection[int] | None = None) -> pl.DataFrame:
    """Channels whose labels changed since their last build, or that have an overdue announcement: rows of core.channel_builds.

    A picture that reveals a coin counts as one more label, made when it was read.
    """
    labels, version = _labels(classifier, channel_ids), _version(classifier)
    is_current = sa.exists().where(
        CHANNEL_BUILDS.c.channel_id == labels.c.channel_id,
        CHANNEL_BUILDS.c.extractor_version == version,
        CHANNEL_BUILDS.c.labels_through_at == labels.c.labels_through_at,
        CHANNEL_BUILDS.c.label_count == labels.c.label_count,
    )
    announcement = PUMP_ANNOUNCEMENTS.c
    # Open announcements whose time is over are replayed, so that they expire without a new message.
    is_overdue = sa.exists().where(
        announcement.channel_id == labels.c.channel_id,
        announcement.status.in_(("scheduled", "postponed")),
        sa.func.coalesce(announcement.scheduled_at + EXPIRES_AFTER, announcement.status_at + UNDATED_EXPIRES_AFTER) < datetime.now(UTC),
    )
    frame = read_frame(engine, sa.select(labels).where(~is_current | is_overdue).order_by(labels.c.channel_id))
    return frame.with_columns(extractor_version=pl.lit(version))


def _version(classifier: Classifier) -> str:
    return f"{EXTRACTOR_VERSION} {classifier.version}"


def _labels(classifier: Classifier, channel_ids: Collection[int] | None) -> sa.Subquery:
    label = MESSAGE_LABELS.c
    labelled = (
        sa.select(label.channel_id, sa.func.max(label.labelled_at).label("labels_through_at"), sa.func.count().label("label_count"))
        .where(_counts(classifier))
        .where(sa.true() if channel_ids is None else label.channel_id.in_(channel_ids))
        .group_by(label.channel_id)
        .subquery("labelled")
    )
    reveals = _reveals_by_channel(channel_ids)
    return (
        sa.select(
            labelled.c.channel_id,
            sa.func.greatest(labelled.c.labels_through_at, reveals.c.read_at).label("labels_through_at"),
            (labelled.c.label_count + sa.func.coalesce(reveals.c.reveal_count, 0)).label("label_count"),
        )
        .outerjoin_from(labelled, reveals, labelled.c.channel_id == reveals.c.channel_id)
        .subquery("labels")
    )


def _counts(classifier: Classifier) -> sa.ColumnElement[bool]:
    """Labels that events are built from: of the classifier, and of better labellers where they did not abstain."""
    label = MESSAGE_LABELS.c
    is_better = sa.or_(label.labeller.startswith(HUMAN), label.labeller.startswith(LANGUAGE_MODEL))
    return sa.or_(label.labeller == classifier.name, sa.and_(is_better, ~label.is_abstained))


def _reveals_by_channel(channel_ids: Collection[int] | None) -> sa.Subquery:
    """Per channel, how many of its pictures reveal a coin and when the last of them was read."""
    message, reading = TELEGRAM_MESSAGES.c, effective_readings().c
    return (
        sa.select(
            message.channel_id,
            sa.func.count(message.media_file.distinct()).label("reveal_count"),
            sa.func.max(reading.read_at).label("read_at"),
        )
        .where(message.media_file == reading.media_file, reading.status == "reveal")
        .where(sa.true() if channel_ids is None else message.channel_id.in_(channel_ids))
        .group_by(message.channel_id)
        .subquery("reveals")
    )


def labelled_messages(
    engine: sa.Engine, classifier: Classifier, channel_ids: Collection[int], *, since: datetime | None = None
) -> pl.DataFrame:
    """Labelled revisions of channels, one row each: channel_id, message_id, date (when this text was known), text, label, confidence,
    image_symbol and image_confidence where the message's picture reveals a coin, is_from_member, labelled_at.

    The first revision we hold counts from the message's own time, the later ones from their edit. A human's label counts before that of a
    language model, and that before the classifier's. Where a new version of the classifier has not come to a revision yet, the label of the
    one before counts: after an update, history must not vanish until it is relabelled.

    Args:
        engine: the platform's database.
        classifier: whose labels count.
        channel_ids: of these channels.
        since: only messages that were given a label after this time, with all their revisions; all messages if None.
    """
    message, label = TELEGRAM_MESSAGES.c, MESSAGE_LABELS.c
    keys = ("channel_id", "message_id", "revision_id")
    preference = sa.func.row_number().over(
        partition_by=[label[key] for key in keys],
        order_by=(
            label.labeller.startswith(HUMAN).desc(),
            label.labeller.startswith(LANGUAGE_MODEL).desc(),
            (label.labeller_version == classifier.version).desc(),
            label.labelled_at.desc(),
        ),
    )
    labels = (
        sa.select(*(label[key] for key in keys), label.label, label.confidence, label.labelled_at, preference.label("preference"))
        .where(_counts(classifier), label.channel_id.in_(channel_ids), _labelled_since(classifier, channel_ids, since))
        .subquery()
    )
    order = sa.func.row_number().over(
        partition_by=(message.channel_id, message.message_id), order_by=(message.edited_at.nulls_first(), message.ingested_at)
    )
    date = sa.case((order == 1, message.occurred_at), else_=sa.func.coalesce(message.edited_at, message.occurred_at))
    readings = effective_readings()
    reading = readings.c
    # Humans give no confidence.
    confidence = sa.func.coalesce(labels.c.confidence, 1.0).label("confidence")
    columns = (message.channel_id, message.message_id, date.label("date"), message.text, labels.c.label, confidence)
    image = (reading.symbol.label("image_symbol"), reading.confidence.label("image_confidence"))
    statement = (
        sa.select(*columns, *image, sa.func.coalesce(message.is_from_member, False).label("is_from_member"), labels.c.labelled_at)
        .join(labels, sa.and_(*(labels.c[key] == message[key] for key in keys)))
        .outerjoin(readings, sa.and_(reading.media_file == message.media_file, reading.status == "reveal"))
        .where(message.channel_id.in_(channel_ids), labels.c.preference == 1)
    )
    return read_frame(engine, statement)


def without_members(messages: pl.DataFrame) -> pl.DataFrame:
    """Without what members of a group wrote where the channel itself posts too: members guess the coin, they do not name it."""
    is_member = pl.col("is_from_member")
    return messages.filter(~(is_member & (~is_member).any().over("channel_id")))


def _labelled_since(classifier: Classifier, channel_ids: Collection[int], since: datetime | None) -> sa.ColumnElement[bool]:
    if since is None:
        return sa.true()
    newer = MESSAGE_LABELS.alias("newer").c
    message_ids = sa.select(newer.channel_id, newer.message_id).where(newer.channel_id.in_(channel_ids), newer.labelled_at > since)
    return sa.tuple_(MESSAGE_LABELS.c.channel_id, MESSAGE_LABELS.c.message_id).in_(message_ids)
