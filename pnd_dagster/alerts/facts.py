"""What the database knows of a pump, as an alert tells it: channels, messages, the release, where the coin stood."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from pnd_dagster.alerts.text import TITLE_CHARACTERS, plain
from pnd_dagster.events.clusters import SAME_EVENT
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.tables import (
    INSTRUMENTS,
    MESSAGE_LABELS,
    PUMP_ANNOUNCEMENTS,
    PUMP_EVENTS,
    PUMP_RELEASES,
    RANKING_TICKS,
    SCHEDULED_PUMPS,
    TARGET_RANKINGS,
    TELEGRAM_CHANNELS,
    TELEGRAM_MESSAGES,
    WATCHES,
)

MOST_MESSAGES = 5
"""An alert quotes at most so many; it counts them all."""

OFFSETS = (60, 40, 20)
"""Seconds before the release at which the paper looks at the ranking."""

Row = Mapping[str, Any]


class Standing(NamedTuple):
    """Where a coin stood at the last tick of a watch that was ranked by some moment; rank None if it was not among the ranked."""

    offset_seconds: int
    bucket_end_at: datetime
    rank: float | None
    score: float | None
    candidates: int
    score_rule: str


def rows(connection: sa.Connection, statement: sa.Select[Any]) -> list[Row]:
    """All rows of a statement, by column."""
    return [dict(row) for row in connection.execute(statement).mappings()]


def announcements(connection: sa.Connection, ids: Sequence[str]) -> list[Row]:
    """Rows of core.pump_announcements, in the order they were made."""
    columns = PUMP_ANNOUNCEMENTS.c
    return rows(
        connection, sa.select(PUMP_ANNOUNCEMENTS).where(columns.announcement_id.in_(ids)).order_by(columns.announced_at, columns.message_id)
    )


def pump(connection: sa.Connection, pump_id: str | None) -> Row | None:
    """The row of core.scheduled_pumps, if there is one."""
    found = rows(connection, sa.select(SCHEDULED_PUMPS).where(SCHEDULED_PUMPS.c.pump_id == pump_id))
    return found[0] if found else None


def event(connection: sa.Connection, event_id: str) -> Row | None:
    """The row of core.pump_events, also by an id that was merged into it."""
    columns = PUMP_EVENTS.c
    found = rows(connection, sa.select(PUMP_EVENTS).where(sa.or_(columns.event_id == event_id, columns.aliases.contains([event_id]))))
    return found[0] if found else None


def releases(connection: sa.Connection, event_id: str) -> list[Row]:
    """Rows of core.pump_releases of an event, in time order."""
    columns = PUMP_RELEASES.c
    return rows(connection, sa.select(PUMP_RELEASES).where(columns.event_id == event_id).order_by(columns.released_at, columns.message_id))


def channel_titles(connection: sa.Connection, channel_ids: Sequence[int]) -> dict[int, str]:
    """Channels by id with their titles, fit to be shown; one without a title has its number."""
    columns = TELEGRAM_CHANNELS.c
    found = rows(connection, sa.select(columns.channel_id, columns.title).where(columns.channel_id.in_(channel_ids)))
    titles = {row["channel_id"]: plain(row["title"], TITLE_CHARACTERS) for row in found}
    return {channel_id: titles.get(channel_id) or f"channel {channel_id}" for channel_id in dict.fromkeys(channel_ids)}


def messages(connection: sa.Connection, keys: Sequence[tuple[int, int]], *, is_cut: bool = True) -> list[dict[str, Any]]:
    """Messages as evidence, in the order of `keys` (channel, message): their first revision's time, last text and last label.

    Args:
        connection: to the platform's database.
        keys: channel and message ids; those we do not hold are left out.
        is_cut: only the first `MOST_MESSAGES` of them.
    """
    wanted = list(dict.fromkeys(keys))[: MOST_MESSAGES if is_cut else None]
    message, label = TELEGRAM_MESSAGES.c, MESSAGE_LABELS.c
    is_same = sa.and_(*(message[name] == label[name] for name in ("channel_id", "message_id", "revision_id")))
    statement = (
        sa.select(
            message.channel_id,
            message.message_id,
            message.occurred_at,
            message.edited_at,
            message.is_deleted,
            message.text,
            label.label,
            label.confidence,
            label.labeller,
            label.labeller_version,
        )
        .distinct(message.channel_id, message.message_id)
        .join_from(TELEGRAM_MESSAGES, MESSAGE_LABELS, is_same, isouter=True)
        .where(sa.tuple_(message.channel_id, message.message_id).in_(wanted))
        # A deletion has no text; what was said is the evidence.
        .order_by(
            message.channel_id, message.message_id, message.is_deleted, message.edited_at.desc().nulls_last(), label.labelled_at.desc()
        )
    )
    found = {(row["channel_id"], row["message_id"]): row for row in rows(connection, statement)}
    titles = channel_titles(connection, [channel_id for channel_id, _ in wanted])
    return [_message(found[key], titles) for key in wanted if key in found]


def _message(row: Row, titles: Mapping[int, str]) -> dict[str, Any]:
    return {
        "channel_id": row["channel_id"],
        "channel": titles[row["channel_id"]],
        "message_id": row["message_id"],
        "posted_at": iso(row["occurred_at"]),
        "edited_at": iso(row["edited_at"]),
        "text": plain(row["text"]),
        "label": None if row["label"] is None else MessageLabel(row["label"]).display_name,
        "confidence": rounded(row["confidence"]),
        "labeller": None if row["labeller"] is None else f"{row['labeller']} {row['labeller_version']}",
    }


def watch(connection: sa.Connection, watch_id: str) -> Row | None:
    """The row of out.watches, if there is one."""
    found = rows(connection, sa.select(WATCHES).where(WATCHES.c.watch_id == watch_id))
    return found[0] if found else None


def watch_of(connection: sa.Connection, pump_id: str) -> Row | None:
    """The last watch of a pump, if there was one."""
    columns = WATCHES.c
    found = rows(
        connection,
        sa.select(WATCHES)
        .where(sa.or_(columns.pump_id == pump_id, columns.watch_id == pump_id))
        .order_by(columns.schedule_revision.desc().nulls_last(), columns.started_at.desc())
        .limit(1),
    )
    return found[0] if found else None


def instrument_ids(connection: sa.Connection, exchange: str, symbol: str, at: datetime) -> list[int]:
    """Markets of the exchange that traded a coin of that symbol then; several coins may share one."""
    listing = INSTRUMENTS.c
    return list(
        connection.execute(
            sa.select(listing.instrument_id).where(
                listing.exchange == exchange, listing.base_symbol == symbol, sa.or_(listing.valid_to.is_(None), listing.valid_to > at)
            )
        ).scalars()
    )


def standings(
    connection: sa.Connection, watch_id: str, exchange: str, symbol: str, at: datetime, offsets: Sequence[int] = OFFSETS
) -> list[Standing]:
    """Where a coin stood so many seconds before `at`, by the last tick that had been ranked then; nothing where there was no tick."""
    tick, ranked = RANKING_TICKS.c, TARGET_RANKINGS.c
    ids = instrument_ids(connection, exchange, symbol, at)
    is_coin = sa.and_(
        ranked.ranking_id == tick.ranking_id, ranked.bucket_end_at == tick.bucket_end_at, ranked.instrument_id.in_(ids or [-1])
    )
    found: list[Standing] = []
    for offset in offsets:
        row = connection.execute(
            sa.select(tick.bucket_end_at, ranked.rank, ranked.score, tick.candidates, tick.score_rule)
            .join_from(RANKING_TICKS, TARGET_RANKINGS, is_coin, isouter=True)
            .where(tick.watch_id == watch_id, tick.exchange == exchange, tick.bucket_end_at <= at - timedelta(seconds=offset))
            .order_by(tick.bucket_end_at.desc(), ranked.rank)
            .limit(1)
        ).first()
        if row:
            found.append(Standing(offset, *row))
    return found


def prior_pumps(connection: sa.Connection, symbols: Collection[str], at: datetime) -> list[Row]:
    """Pumps of these symbols before then, on any exchange, the newest first: event_id, exchange, symbol, released_at, channel_count.

    What was named within two hours before is the pump itself, and no history. A symbol is no identity: another coin's pumps count too.
    """
    columns = PUMP_EVENTS.c
    told = sa.select(columns.event_id, columns.exchange, columns.symbol, columns.released_at, columns.channel_count)
    is_earlier = sa.and_(columns.symbol.in_(symbols), columns.released_at < at - SAME_EVENT)
    return rows(connection, told.where(is_earlier).order_by(columns.released_at.desc(), columns.event_id))


def iso(at: datetime | None) -> str | None:
    """A moment as programs read it."""
    return None if at is None else at.isoformat(timespec="seconds")


def rounded(value: float | None) -> float | None:
    """Two decimals are enough; None where there is no number."""
    return round(float(value), 2) if value is not None and math.isfinite(value) else None
