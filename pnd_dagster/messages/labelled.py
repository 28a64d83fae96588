"""Labelled messages of the database, as examples to learn from: what humans said in review, and what a language model was believed."""

from __future__ import annotations

import polars as pl
import sqlalchemy as sa

from pnd_dagster.messages.dataset import EXAMPLE_SCHEMA, with_keys
from pnd_dagster.messages.labelling import HUMAN, LANGUAGE_MODEL
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import MESSAGE_LABELS, TELEGRAM_MESSAGES


def read_labelled(engine: sa.Engine) -> pl.DataFrame:
    """Examples as of `dataset.read_examples`, source `human` or `llm`: the latest label of a message revision by the best labeller.

    What a labeller doubted is marked as abstained from, and left out.
    """
    label, message = MESSAGE_LABELS.c, TELEGRAM_MESSAGES.c
    is_human = label.labeller.startswith(HUMAN)
    chosen = (
        sa.select(
            sa.case((is_human, "human"), else_="llm").label("source"),
            label.channel_id,
            label.message_id,
            message.text,
            label.label,
            sa.true().label("is_sure"),
        )
        .distinct(label.channel_id, label.message_id, label.revision_id)
        .join(
            TELEGRAM_MESSAGES,
            sa.and_(
                message.channel_id == label.channel_id,
                message.message_id == label.message_id,
                message.revision_id == label.revision_id,
            ),
        )
        .where(sa.or_(is_human, label.labeller.startswith(LANGUAGE_MODEL)), ~label.is_abstained, message.text != "")
        .order_by(label.channel_id, label.message_id, label.revision_id, is_human.desc(), label.labelled_at.desc())
    )
    frame = read_frame(engine, chosen)
    return with_keys(frame.select(pl.col(name).cast(dtype) for name, dtype in ({"source": pl.String} | EXAMPLE_SCHEMA).items()))
