"""Alerts of named coins and of pumps that are over, from what the database holds."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from pnd_dagster.alerts import facts, wording
from pnd_dagster.alerts.alert import Alert
from pnd_dagster.tables import PUMP_EVENTS, SCHEDULED_PUMPS

ABOUT_THE_START = timedelta(minutes=15)
"""A coin that is named on the exchange so long before or after the announced start belongs to the pump, as a watch sees it too."""


def belongs_to(event: facts.Row, pump: facts.Row) -> bool:
    """Whether an event fulfils a pump: by the channels' announcements, or named on its exchange about its time."""
    if set(event["announcement_ids"]) & set(pump["announcement_ids"]):
        return True
    is_then = abs(event["released_at"] - pump["scheduled_at"]) <= ABOUT_THE_START
    return is_then and event["exchange"] is not None and pump["exchange"] in (event["exchange"], None)


def released_of(connection: sa.Connection, event: facts.Row, subject_id: str) -> Alert:
    """The alert that tells of an event; `subject_id` is its pump, or the event itself."""
    named = facts.releases(connection, event["event_id"])
    quoted = facts.messages(connection, [(row["channel_id"], row["message_id"]) for row in named])
    titles = facts.channel_titles(connection, event["channel_ids"])
    watch = facts.watch_of(connection, subject_id)
    stood = _stood(connection, watch, event)
    return wording.released(event, subject_id, titles, quoted, stood, is_watched=watch is not None)


def over_of(
    connection: sa.Connection,
    subject_id: str,
    revision: int | None,
    exchange: str | None,
    scheduled_at: datetime,
    detail: str | None = None,
) -> Alert:
    """The alert that ends a pump: which coins were named, and where they had stood."""
    pump, watch = facts.pump(connection, subject_id), facts.watch_of(connection, subject_id)
    events = _events_of(connection, pump, exchange, scheduled_at)
    lines: list[str] = []
    for event in events:
        stood = _stood(connection, watch, event)
        named = f"{wording.symbol_text(event['symbol'])} was named at {wording.clock(event['released_at'])}."
        lines.append(" ".join([named, *wording.standing_lines(stood, watch is not None)]))
    if watch:
        lines.append(f"Rankings: {watch['tick_count']:,}, in {watch['attempt']} attempt{'s' if watch['attempt'] != 1 else ''}.")
    else:
        lines.append("It was not watched.")
    return wording.over(subject_id, revision, exchange, scheduled_at, events, [*lines, *([detail] if detail else [])])


def _stood(connection: sa.Connection, watch: facts.Row | None, event: facts.Row) -> list[facts.Standing]:
    if watch is None or event["exchange"] is None:
        return []
    return facts.standings(connection, watch["watch_id"], event["exchange"], event["symbol"], event["released_at"])


def _events_of(connection: sa.Connection, pump: facts.Row | None, exchange: str | None, scheduled_at: datetime) -> list[facts.Row]:
    event = PUMP_EVENTS.c
    # Announcements may lie days before; the coin is named about the time that is known now.
    near = facts.rows(
        connection,
        sa.select(PUMP_EVENTS)
        .where(event.released_at.between(scheduled_at - timedelta(hours=6), scheduled_at + timedelta(hours=6)))
        .order_by(event.released_at),
    )
    by_hand = {"announcement_ids": [], "scheduled_at": scheduled_at, "exchange": exchange}
    return [row for row in near if belongs_to(row, pump or by_hand)]


def pump_of(event: facts.Row, pumps: list[facts.Row]) -> facts.Row | None:
    """The pump that an event fulfils; of several the one that was announced so, then of its exchange, then the nearest in time."""

    def distance(pump: facts.Row) -> tuple[bool, bool, timedelta]:
        is_announced = bool(set(event["announcement_ids"]) & set(pump["announcement_ids"]))
        return not is_announced, pump["exchange"] != event["exchange"], abs(pump["scheduled_at"] - event["released_at"])

    return min((pump for pump in pumps if belongs_to(event, pump)), key=distance, default=None)


def pumps_near(connection: sa.Connection, earliest: datetime, latest: datetime) -> list[facts.Row]:
    """Rows of core.scheduled_pumps that are announced for a span of time."""
    pump = SCHEDULED_PUMPS.c
    return facts.rows(connection, sa.select(SCHEDULED_PUMPS).where(pump.scheduled_at.between(earliest, latest)))
