"""Alerts that follow from the messages alone: announced, postponed, cancelled, released, over.

Level-triggered: what the database calls for and nobody was told of is queued, whoever wrote it and whenever. Called after every batch of
messages, so it first asks what is new, in indexed queries, and reads evidence only for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from pnd_dagster.alerts import facts, wording
from pnd_dagster.alerts.alert import Alert, Stage, alert_id, channels, queue_alert
from pnd_dagster.alerts.releases import over_of, pumps_near, released_of
from pnd_dagster.events.fulfilment import pump_of, pumps_about
from pnd_dagster.events.identity import stable_id
from pnd_dagster.settings import Settings
from pnd_dagster.storage import transaction
from pnd_dagster.tables import ALERTS, PUMP_ANNOUNCEMENTS, PUMP_EVENTS

FRESH = timedelta(minutes=30)
"""What happened longer ago is history: importing an archive alerts nobody."""

OVER_AFTER = timedelta(minutes=3)
"""A watch ends 2 minutes after the start and tells more; this is for pumps that nobody watched to their end."""

_LONGEST_AHEAD = timedelta(days=366)


class _Due(NamedTuple):
    """An alert that is called for; `make` reads its evidence."""

    stage: Stage
    subject_id: str
    occasion: str
    make: Callable[[sa.Connection], Alert]
    is_sequel: bool = False


def announced_alerts(engine: sa.Engine, settings: Settings) -> int:
    """Queues what announcements and releases call for and was not queued yet. Returns how many alerts are new.

    A pump is announced as long as its time is to come, and again for each revision of its schedule. One without a time is announced while
    it is fresh. A cancellation, and that a pump is over, is told only where the pump was.

    Args:
        engine: the platform's database.
        settings: which channels there are, which exchanges are collected.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    now = datetime.now(UTC)
    with transaction(engine) as connection:
        due = [*_scheduled(connection, settings, now), *_undated(connection, settings, now), *_released(connection, now)]
        return sum(queue_alert(connection, settings, one.make(connection)) for one in _untold(connection, settings, due))


def _scheduled(connection: sa.Connection, settings: Settings, now: datetime) -> list[_Due]:
    due: list[_Due] = []
    for pump in pumps_near(connection, now - 2 * FRESH, now + _LONGEST_AHEAD):
        occasion, at = str(pump["schedule_revision"]), pump["scheduled_at"]

        def announce(connection: sa.Connection, pump: facts.Row = pump) -> Alert:
            row = {**pump, "subject_id": pump["pump_id"]}
            return _announced(connection, row, pump["announcement_ids"], pump["channel_ids"], settings, now)

        def cancel(connection: sa.Connection, pump: facts.Row = pump) -> Alert:
            return wording.cancelled(pump["pump_id"], pump["schedule_revision"], pump["exchange"], pump["scheduled_at"])

        def end(connection: sa.Connection, pump: facts.Row = pump) -> Alert:
            return over_of(connection, pump["pump_id"], pump["schedule_revision"], pump["exchange"], pump["scheduled_at"])

        if pump["status"] == "cancelled":
            due.append(_Due("cancelled", pump["pump_id"], occasion, cancel, is_sequel=True))
        elif at > now:
            due.append(_Due("announced", pump["pump_id"], occasion, announce))
        elif at < now - OVER_AFTER:
            due.append(_Due("over", pump["pump_id"], occasion, end, is_sequel=True))
    return due


def _undated(connection: sa.Connection, settings: Settings, now: datetime) -> list[_Due]:
    """Announcements without a time, and those that were postponed without a new one."""
    column = PUMP_ANNOUNCEMENTS.c
    fresh = facts.rows(
        connection,
        sa.select(PUMP_ANNOUNCEMENTS).where(
            column.scheduled_at.is_(None), column.status.in_(("scheduled", "postponed")), column.status_at.between(now - FRESH, now + FRESH)
        ),
    )
    due: list[_Due] = []
    for row in fresh:
        # The pump keeps its id when it loses its time, if this was its first announcement.
        is_moved = row["previous_scheduled_at"] is not None
        subject_id = stable_id("pump", row["announcement_id"]) if is_moved else row["announcement_id"]

        def announce(connection: sa.Connection, row: facts.Row = row, subject_id: str = subject_id) -> Alert:
            return _announced(connection, {**row, "subject_id": subject_id}, [row["announcement_id"]], [row["channel_id"]], settings, now)

        due.append(_Due("announced", subject_id, str(row["schedule_revision"]), announce))
    return due


def _released(connection: sa.Connection, now: datetime) -> list[_Due]:
    event = PUMP_EVENTS.c
    fresh = facts.rows(connection, sa.select(PUMP_EVENTS).where(event.released_at.between(now - FRESH, now + FRESH)))
    if not fresh:
        return []
    pumps = pumps_about(connection, now - timedelta(days=2), now + timedelta(days=2))
    due: list[_Due] = []
    for row in fresh:
        pump = pump_of(row, pumps)
        # A pump without a time is known by its announcement.
        subject_id = pump["pump_id"] if pump else (*row["announcement_ids"], row["event_id"])[0]

        def tell(connection: sa.Connection, row: facts.Row = row, subject_id: str = subject_id) -> Alert:
            return released_of(connection, row, subject_id)

        due.append(_Due("released", subject_id, row["event_id"], tell))
    return due


def _announced(
    connection: sa.Connection,
    row: facts.Row,
    announcement_ids: Sequence[str],
    channel_ids: Sequence[int],
    settings: Settings,
    now: datetime,
) -> Alert:
    named = facts.announcements(connection, announcement_ids)
    # Of each announcement what made it and what changed it last.
    keys = [
        (one["channel_id"], message_id)
        for one in named
        for message_id in dict.fromkeys([one["message_id"], *one["evidence_message_ids"][-1:]])
    ]
    quoted = facts.messages(connection, keys)
    titles = facts.channel_titles(connection, channel_ids)
    return wording.announced(row, named, titles, quoted, settings.exchanges, now)


def _untold(connection: sa.Connection, settings: Settings, due: Sequence[_Due]) -> list[_Due]:
    """Those that some channel has not got; a sequel only where the pump was announced."""
    if not due:
        return []
    alert = ALERTS.c
    told = connection.execute(
        sa.select(alert.alert_id, alert.channel, alert.stage, alert.subject_id).where(alert.subject_id.in_({one.subject_id for one in due}))
    ).all()
    queued = {(row[0], row[1]) for row in told}
    announced = {row[3] for row in told if row[2] == "announced"}
    everywhere = channels(settings)
    return [
        one
        for one in due
        if (not one.is_sequel or one.subject_id in announced)
        and any((alert_id(one.stage, one.subject_id, one.occasion), channel) not in queued for channel in everywhere)
    ]
