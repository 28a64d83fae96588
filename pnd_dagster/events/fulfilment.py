"""Which pump a named coin fulfils, and which coins a pump was for: one rule for alerts, watches and explanations.

A coin that announcements led to fulfils the pumps of those announcements and no others. One that no announcement led to fulfils the pump
that was announced for about then: on its exchange before one whose exchange is not known, of several the nearest in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.tables import PUMP_ANNOUNCEMENTS, PUMP_EVENTS, SCHEDULED_PUMPS

EARLY, LATE = timedelta(minutes=2), timedelta(minutes=10)
"""A coin that no announcement led to is named at most so long before, or after, the announced start."""

SEARCHED = timedelta(hours=6)
"""So far from the announced start the coins of a pump are looked for."""

Row = Mapping[str, Any]


def pump_of(event: Row, pumps: Iterable[Row]) -> Row | None:
    """The pump that an event is told under; of several the one of its exchange, then the nearest in time.

    Args:
        event: columns of core.pump_events.
        pumps: see `pumps_about`.
    """
    known = list(pumps)
    fulfilled = [pump for pump in known if _is_linked(event, pump)]
    if not fulfilled and not event["announcement_ids"]:
        fulfilled = [pump for pump in known if pump["status"] != "cancelled" and _is_then(event, pump)]

    def distance(pump: Row) -> tuple[bool, timedelta, str]:
        return pump["exchange"] != event["exchange"], abs(pump["scheduled_at"] - event["released_at"]), pump["pump_id"]

    return min(fulfilled, key=distance, default=None)


def coins_of(connection: sa.Connection, pump: Row) -> list[Row]:
    """Rows of core.pump_events that fulfil a pump; the first is the coin it was for.

    Those that its announcements led to come before the others, of either kind the earliest first.

    Args:
        connection: in a `transaction`.
        pump: pump_id, exchange, scheduled_at, announcement_ids and status; what nobody announced, as a watch ordered by hand, has no
            pump_id and takes whatever was named about then on its exchange.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    event, at = PUMP_EVENTS.c, pump["scheduled_at"]
    statement = sa.select(PUMP_EVENTS).where(event.released_at.between(at - SEARCHED, at + SEARCHED))
    near = _rows(connection, statement.order_by(event.released_at, event.event_id))
    if not near:
        return []
    others = [other for other in pumps_about(connection, at - EARLY - LATE, at + EARLY + LATE) if other["pump_id"] != pump["pump_id"]]

    def fulfils(row: Row) -> bool:
        if _is_linked(row, pump):
            return True
        if pump["pump_id"] is None:
            return _is_then(row, pump)
        return not row["announcement_ids"] and pump_of(row, [pump, *others]) is pump

    return sorted(filter(fulfils, near), key=lambda row: not _is_linked(row, pump))


def pumps_about(connection: sa.Connection, earliest: datetime, latest: datetime) -> list[Row]:
    """Pumps that were announced for a span of time: pump_id, exchange, scheduled_at, announcement_ids, status.

    An announcement that never had a time stands for a pump of its own, under its own id, for when it was posted.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    return _rows(connection, *(pumps.where(at.between(earliest, latest)) for pumps, _, at in _pumps()))


def pump_called(connection: sa.Connection, pump_id: str) -> Row | None:
    """The pump of an id as in `pumps_about`, None if there is none.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    return next(iter(_rows(connection, *(pumps.where(own_id == pump_id) for pumps, own_id, _ in _pumps()))), None)


def _pumps() -> list[tuple[sa.Select[Any], sa.ColumnElement[str], sa.ColumnElement[datetime]]]:
    """Pumps with a time and without one, each with what holds their id and their start."""
    pump, announcement = SCHEDULED_PUMPS.c, PUMP_ANNOUNCEMENTS.c
    dated = sa.select(pump.pump_id, pump.exchange, pump.scheduled_at, pump.announcement_ids, pump.status)
    undated = sa.select(
        announcement.announcement_id.label("pump_id"),
        announcement.exchange,
        announcement.announced_at.label("scheduled_at"),
        pg.array([announcement.announcement_id]).label("announcement_ids"),
        announcement.status,
    ).where(announcement.scheduled_at.is_(None), announcement.previous_scheduled_at.is_(None))
    return [(dated, pump.pump_id, pump.scheduled_at), (undated, announcement.announcement_id, announcement.announced_at)]


def _is_linked(event: Row, pump: Row) -> bool:
    return not set(event["announcement_ids"]).isdisjoint(pump["announcement_ids"])


def _is_then(event: Row, pump: Row) -> bool:
    """Whether a coin was named on the pump's exchange about its start."""
    is_there = event["exchange"] is not None and pump["exchange"] in (event["exchange"], None)
    return is_there and pump["scheduled_at"] - EARLY <= event["released_at"] <= pump["scheduled_at"] + LATE


def _rows(connection: sa.Connection, *statements: sa.Select[Any]) -> list[Row]:
    return [dict(row) for statement in statements for row in connection.execute(statement).mappings()]
