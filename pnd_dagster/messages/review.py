"""Review of labels by humans: which messages are worth a look, what a human needs to judge one, and the labels humans give.

How they are shown and which key does what is the command line's (`cli/review.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.messages.dataset import with_keys
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.storage import read_frame, transaction, upsert
from pnd_dagster.tables import LLM_EXTRACTIONS, MESSAGE_LABELS, TELEGRAM_CHANNELS, TELEGRAM_MESSAGES

GUIDE_VERSION = "1"
"""Version of the rules by which humans label (the help of `pnd review`); labels under other rules are another labeller's."""

CRITICAL_LABELS = (
    MessageLabel.PUMP_ANNOUNCEMENT,
    MessageLabel.COUNTDOWN,
    MessageLabel.TARGET_COIN_RELEASE,
    MessageLabel.DELAY_CANCELLATION,
)
"""Classes whose errors cost most: a pump is missed, or expected at the wrong time."""

UNSURE_CONFIDENCE = 0.5
_KEYS = ("channel_id", "message_id", "revision_id")
_PAGE = 50
_KEY_BATCH = 5_000


class ReviewOrder(StrEnum):
    """Which messages come first."""

    UNCERTAIN = "uncertain"
    NEWEST = "newest"
    RANDOM = "random"


class ReviewItem(NamedTuple):
    """A message revision to be judged; what nobody said is None."""

    channel_id: int
    message_id: int
    revision_id: int
    channel_title: str | None
    occurred_at: datetime
    text: str
    label: MessageLabel | None
    confidence: float | None
    llm_label: MessageLabel | None
    disagreement: str | None


class ContextMessage(NamedTuple):
    """An earlier message of the same channel."""

    occurred_at: datetime
    text: str


def review_items(
    engine: sa.Engine,
    alias: str,
    labeller: str,
    labeller_version: str,
    *,
    label: MessageLabel | None = None,
    channel_id: int | None = None,
    order: ReviewOrder = ReviewOrder.UNCERTAIN,
    overlap_ratio: float = 0.0,
) -> Iterator[ReviewItem]:
    """Messages for `alias` to label, read as they are asked for, near-duplicates once.

    Worth a look are those where the classifier abstained or saw a critical class, where a language model gave another label, and those
    whose extraction disagrees with the rules. What a human has labelled under this guide is left out, and what is nearly the same too.

    Args:
        engine: the platform's database.
        alias: who labels.
        labeller: name of the classifier whose labels are reviewed.
        labeller_version: its version.
        label: only messages that the classifier gave this label, worth a look or not.
        channel_id: only messages of this channel.
        order: which come first; in `uncertain` what is disputed, then the lowest confidence.
        overlap_ratio: share of messages that another human has labelled and this one has not, at random: agreement is measured on them.
    """
    mine, others = _labelled_by_humans(engine, alias)
    chosen = _candidates(engine, labeller, labeller_version, label, channel_id, order)
    fresh = chosen.join(pl.concat([mine, others]), on=_KEYS, how="anti", maintain_order="left")
    shared = _in_random_order(others.join(mine, on=_KEYS, how="anti").unique())
    if channel_id is not None:
        shared = shared.filter(channel_id=channel_id)
    shown = _near_duplicate_keys(engine, mine)
    of_fresh = _unlike(_items(engine, fresh, labeller, labeller_version), shown | _near_duplicate_keys(engine, others))
    of_shared = _unlike(_items(engine, shared, labeller, labeller_version), shown)
    if label is not None:
        of_shared = (item for item in of_shared if item.label == label)
    yield from _mixed(of_fresh, of_shared, overlap_ratio)


def context_of(engine: sa.Engine, item: ReviewItem, count: int = 3) -> list[ContextMessage]:
    """The channel's last `count` messages with text before `item`, oldest first, each as last edited."""
    message = TELEGRAM_MESSAGES.c
    rows = read_frame(
        engine,
        sa.select(message.occurred_at, message.text, message.message_id)
        .where(message.channel_id == item.channel_id, message.message_id < item.message_id, *_is_readable())
        .distinct(message.message_id)
        .order_by(message.message_id.desc(), message.edited_at.desc().nulls_last(), message.revision_id)
        .limit(count),
    )
    return [ContextMessage(*row) for row in rows.select("occurred_at", "text").reverse().iter_rows()]


def write_human_label(engine: sa.Engine, alias: str, item: ReviewItem, label: MessageLabel, *, is_unsure: bool = False) -> None:
    """Stores what a human says, for this very revision. An unsure label has confidence 0.5 and counts as abstained."""
    row = {
        "channel_id": item.channel_id,
        "message_id": item.message_id,
        "revision_id": item.revision_id,
        "labeller": human_labeller(alias),
        "labeller_version": GUIDE_VERSION,
        "label": int(label),
        "confidence": UNSURE_CONFIDENCE if is_unsure else None,
        "is_abstained": is_unsure,
        "labelled_at": datetime.now(UTC),
    }
    upsert(engine, MESSAGE_LABELS, pl.DataFrame([row]))


def remove_human_label(engine: sa.Engine, alias: str, item: ReviewItem) -> None:
    """Takes back what `alias` said of this revision."""
    of = MESSAGE_LABELS.c
    with transaction(engine) as connection:
        connection.execute(
            sa.delete(MESSAGE_LABELS).where(
                *(of[key] == getattr(item, key) for key in _KEYS),
                of.labeller == human_labeller(alias),
                of.labeller_version == GUIDE_VERSION,
            )
        )


def human_labeller(alias: str) -> str:
    """The labeller under which the labels of a human are stored."""
    return f"human:{alias}"


def has_labels(engine: sa.Engine, labeller: str, labeller_version: str) -> bool:
    """Whether this classifier has labelled anything."""
    of = MESSAGE_LABELS.c
    statement = sa.select(of.label).where(of.labeller == labeller, of.labeller_version == labeller_version).limit(1)
    return not read_frame(engine, statement).is_empty()


def _labelled_by_humans(engine: sa.Engine, alias: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keys of the revisions that `alias` has labelled under this guide, and of those that other humans have."""
    of = MESSAGE_LABELS.c
    statement = sa.select(*(of[key] for key in _KEYS), of.labeller).where(of.labeller.like("human:%"), of.labeller_version == GUIDE_VERSION)
    labelled = read_frame(engine, statement)
    is_mine = pl.col("labeller") == human_labeller(alias)
    return labelled.filter(is_mine).select(_KEYS), labelled.filter(~is_mine).select(_KEYS)


def _candidates(
    engine: sa.Engine, labeller: str, labeller_version: str, label: MessageLabel | None, channel_id: int | None, order: ReviewOrder
) -> pl.DataFrame:
    """Keys of what is worth a look, in order."""
    of, message = MESSAGE_LABELS.c, TELEGRAM_MESSAGES.c
    of_classifier = (
        sa.select(*(of[key] for key in _KEYS), of.confidence, message.occurred_at)
        .join_from(MESSAGE_LABELS, TELEGRAM_MESSAGES, _same_revision(MESSAGE_LABELS, TELEGRAM_MESSAGES))
        .where(of.labeller == labeller, of.labeller_version == labeller_version, *_is_readable())
    )
    if channel_id is not None:
        of_classifier = of_classifier.where(of.channel_id == channel_id)
    if label is not None:
        of_classifier = of_classifier.where(of.label == int(label))
    disputed = _disputed(labeller, labeller_version).subquery("disputed")
    # Two reads: as one condition, the disputed ones would be looked for among all labels.
    is_wanted = sa.true() if label is not None else sa.or_(of.is_abstained, of.label.in_([int(one) for one in CRITICAL_LABELS]))
    in_dispute = read_frame(engine, of_classifier.join(disputed, _same_revision(MESSAGE_LABELS, disputed))).with_columns(is_disputed=True)
    wanted = read_frame(engine, of_classifier.where(is_wanted)).with_columns(is_disputed=False)
    found = pl.concat([in_dispute, wanted]).unique(_KEYS, keep="first", maintain_order=True)
    match order:
        case ReviewOrder.UNCERTAIN:
            ordered = found.sort("is_disputed", "confidence", *_KEYS, descending=[True, False, False, False, False])
        case ReviewOrder.NEWEST:
            ordered = found.sort("occurred_at", *_KEYS, descending=[True, False, False, False])
        case ReviewOrder.RANDOM:
            ordered = _in_random_order(found)
    return ordered.select(_KEYS)


def _disputed(labeller: str, labeller_version: str) -> sa.CompoundSelect[Any]:
    """Keys of revisions that a language model labels otherwise, or whose extraction the rules do not share."""
    model, llm, extraction = MESSAGE_LABELS.alias("model"), MESSAGE_LABELS.alias("llm"), LLM_EXTRACTIONS.c
    other_label = (
        sa.select(*(llm.c[key] for key in _KEYS))
        .join_from(llm, model, _same_revision(llm, model))
        .where(llm.c.labeller.like("llm:%"), model.c.labeller == labeller, model.c.labeller_version == labeller_version)
        .where(llm.c.label != model.c.label)
    )
    return other_label.union(sa.select(*(extraction[key] for key in _KEYS)).where(extraction.disagreement.is_not(None)))


def _items(engine: sa.Engine, keys: pl.DataFrame, labeller: str, labeller_version: str) -> Iterator[ReviewItem]:
    """What a human needs to judge the revisions `keys`, in their order, page by page."""
    message, channel = TELEGRAM_MESSAGES.c, TELEGRAM_CHANNELS.c
    model, llm, extraction = MESSAGE_LABELS.alias("model"), MESSAGE_LABELS.alias("llm"), LLM_EXTRACTIONS.c
    llm_label = (
        sa.select(llm.c.label)
        .where(_same_revision(llm, TELEGRAM_MESSAGES), llm.c.labeller.like("llm:%"))
        .order_by(llm.c.labelled_at.desc(), llm.c.labeller)
        .limit(1)
        .scalar_subquery()
    )
    disagreement = (
        sa.select(sa.func.string_agg(extraction.disagreement.distinct(), "; ", type_=sa.Text))
        .where(_same_revision(LLM_EXTRACTIONS, TELEGRAM_MESSAGES))
        .scalar_subquery()
    )
    of_model = sa.and_(_same_revision(model, TELEGRAM_MESSAGES), model.c.labeller == labeller, model.c.labeller_version == labeller_version)
    statement = (
        sa.select(
            *(message[key] for key in _KEYS),
            channel.title.label("channel_title"),
            message.occurred_at,
            message.text,
            model.c.label,
            model.c.confidence,
            llm_label.label("llm_label"),
            disagreement.label("disagreement"),
        )
        .join_from(TELEGRAM_MESSAGES, TELEGRAM_CHANNELS, channel.channel_id == message.channel_id, isouter=True)
        .outerjoin(model, of_model)
    )
    for page in keys.iter_slices(_PAGE):
        rows = read_frame(engine, statement.join(*_only(page)))
        for row in page.join(rows, on=_KEYS, how="inner", maintain_order="left").iter_rows(named=True):
            labels: dict[str, Any] = {name: None if row[name] is None else MessageLabel(row[name]) for name in ("label", "llm_label")}
            yield ReviewItem(**{**row, **labels})


def _near_duplicate_keys(engine: sa.Engine, keys: pl.DataFrame) -> set[str]:
    texts: set[str] = set()
    for page in keys.iter_slices(_KEY_BATCH):
        texts.update(read_frame(engine, sa.select(TELEGRAM_MESSAGES.c.text).join_from(TELEGRAM_MESSAGES, *_only(page)))["text"])
    return set(_keys_of(list(texts)))


def _unlike(items: Iterator[ReviewItem], shown: set[str]) -> Iterator[ReviewItem]:
    """Items without those that are nearly the same as one before or as one of `shown`."""
    seen = set(shown)
    for item in items:
        (key,) = _keys_of([item.text])
        if key not in seen:
            seen.add(key)
            yield item


def _keys_of(texts: list[str]) -> list[str]:
    return with_keys(pl.DataFrame({"text": texts}, schema={"text": pl.String}))["near_duplicate_key"].to_list()


def _mixed(fresh: Iterator[ReviewItem], shared: Iterator[ReviewItem], shared_ratio: float) -> Iterator[ReviewItem]:
    """Both, so that `shared_ratio` of what was given so far is shared; the rest of one when the other is used up."""
    given = shared_count = 0
    while True:
        is_shared = shared_ratio > 0 and shared_count < shared_ratio * (given + 1)
        item = next(shared, None) if is_shared else next(fresh, None)
        if item is None and is_shared:
            yield from fresh
            return
        if item is None:
            return
        given += 1
        shared_count += is_shared
        yield item


def _in_random_order(keys: pl.DataFrame) -> pl.DataFrame:
    """The same order each time, whoever asks, but unrelated to channel and time."""
    return keys.sort(pl.struct(_KEYS).hash(seed=0), *_KEYS)


def _only(keys: pl.DataFrame) -> tuple[sa.FromClause, sa.ColumnElement[bool]]:
    """What to join to have only the messages `keys`: a long IN would be tried one by one."""
    wanted = sa.values(*(sa.column(key, sa.BigInteger) for key in _KEYS), name="wanted").data(keys.select(_KEYS).rows())
    return wanted, _same_revision(TELEGRAM_MESSAGES, wanted)


def _same_revision(a: sa.FromClause, b: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(*(a.c[key] == b.c[key] for key in _KEYS))


def _is_readable() -> tuple[sa.ColumnElement[bool], ...]:
    message = TELEGRAM_MESSAGES.c
    return (message.kind == "message", ~message.is_deleted, message.text != "")
