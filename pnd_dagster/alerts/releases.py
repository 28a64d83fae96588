"""Alerts of named coins and of pumps that are over, from what the database holds."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from pnd_dagster.alerts import facts, wording
from pnd_dagster.alerts.alert import Alert
from pnd_dagster.events.fulfilment import coins_of, pump_called
from pnd_dagster.tables import SCHEDULED_PUMPS


def released_of(connection: sa.Connection, event: facts.Row, subject_id: str) -> Alert:
    """The alert that tells of an event; `subject_id` is its pump, or the event itself."""
    named = facts.releases(connection, event["event_id"])
    quoted = facts.messages(connection, [(row["channel_id"], row["message_id"]) for row in named])
    titles = facts.channel_titles(connection, event["channel_ids"])
    watch = facts.watch_of(connection, subject_id)
    stood = _stood(connection, watch, event)
    earlier = facts.prior_pumps(connection, [event["symbol"]], event["released_at"])
    there = [str(facts.iso(one["released_at"])) for one in earlier if one["exchange"] and one["exchange"] == event["exchange"]]
    return wording.released(event, subject_id, titles, quoted, stood, watch is not None, there)


def over_of(
    connection: sa.Connection,
    subject_id: str,
    revision: int | None,
    exchange: str | None,
    scheduled_at: datetime,
    detail: str | None = None,
) -> Alert:
    """The alert that ends a pump: which coins were named, and where they had stood."""
    watch = facts.watch_of(connection, subject_id)
    by_hand: facts.Row = {"pump_id": None, "exchange": exchange, "announcement_ids": [], "status": "scheduled"}
    # Of the time that is told of: the pump may have been moved since.
    events = coins_of(connection, {**(pump_called(connection, subject_id) or by_hand), "scheduled_at": scheduled_at})
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


def pumps_near(connection: sa.Connection, earliest: datetime, latest: datetime) -> list[facts.Row]:
    """Rows of core.scheduled_pumps that are announced for a span of time."""
    pump = SCHEDULED_PUMPS.c
    return facts.rows(connection, sa.select(SCHEDULED_PUMPS).where(pump.scheduled_at.between(earliest, latest)))
