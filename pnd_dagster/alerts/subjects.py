"""What an id stands for: a pump's event, its schedule, its watch, what was detected of it; whichever of them is named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from pnd_dagster.alerts import facts
from pnd_dagster.errors import SourceError
from pnd_dagster.events.fulfilment import coins_of, pump_called, pump_of, pumps_about
from pnd_dagster.tables import DETECTED_PUMPS, PUMP_ANNOUNCEMENTS, PUMP_EVENTS, SCHEDULED_PUMPS, WATCHES

NAMED_IDS = 5

DETECTED_WITHIN = timedelta(minutes=15)
"""A detection of a coin so long before or after it was named is of that pump."""


class Subject(NamedTuple):
    """What an id stands for: some of these."""

    event: facts.Row | None
    pump: facts.Row | None
    watch: facts.Row | None
    detections: list[facts.Row]
    announcement_ids: list[str]


def find(connection: sa.Connection, identity: str) -> Subject:
    """What an id, or the beginning of one, stands for.

    Raises:
        SourceError: there is none, or several; names ids that there are.
    """
    kinds = (
        ("event", PUMP_EVENTS.c.event_id, PUMP_EVENTS.c.released_at),
        ("pump", SCHEDULED_PUMPS.c.pump_id, SCHEDULED_PUMPS.c.scheduled_at),
        ("watch", WATCHES.c.watch_id, WATCHES.c.scheduled_at),
        ("detection", DETECTED_PUMPS.c.detection_id, DETECTED_PUMPS.c.detected_at),
        ("announcement", PUMP_ANNOUNCEMENTS.c.announcement_id, PUMP_ANNOUNCEMENTS.c.announced_at),
    )
    found = {
        (kind, value): value == identity
        for kind, column, _ in kinds
        for value in connection.execute(sa.select(column).where(column.startswith(identity, autoescape=True)).limit(NAMED_IDS)).scalars()
        if identity
    }
    if alias := facts.event(connection, identity):
        found[("event", alias["event_id"])] = True
    exact = [key for key, is_exact in found.items() if is_exact]
    # A pump's watch is named after it: the pump is meant.
    chosen = exact or [key for key in found if key[0] != "watch"] or list(found)
    if len(chosen) > 1:
        raise SourceError(f"{identity} is the beginning of several: {', '.join(f'{kind} {value}' for kind, value in chosen)}")
    if chosen:
        return _subject(connection, *chosen[0])
    newest: list[str] = []
    for kind, column, at in kinds[:4]:
        ids = connection.execute(sa.select(column).order_by(at.desc()).limit(NAMED_IDS)).scalars().all()
        newest += [f"{kind}s {', '.join(ids)}"] if ids else []
    known = f"the newest: {'; '.join(newest)}" if newest else "there are none yet"
    raise SourceError(f"{identity or 'an empty id'} is no event, pump, watch or detection; {known}")


def _subject(connection: sa.Connection, kind: str, value: str) -> Subject:
    event = facts.event(connection, value) if kind == "event" else None
    pump = facts.pump(connection, value) if kind == "pump" else None
    watch = facts.watch(connection, value) if kind == "watch" else None
    detection = _first(connection, DETECTED_PUMPS, DETECTED_PUMPS.c.detection_id == value) if kind == "detection" else None
    if kind == "announcement":
        pump = _first(connection, SCHEDULED_PUMPS, SCHEDULED_PUMPS.c.announcement_ids.contains([value]))
    if watch or detection:
        pump = facts.pump(connection, (watch or detection or {})["pump_id"])
        event = facts.event(connection, watch["event_id"]) if watch and watch["event_id"] else None
    event = event or _event(connection, pump, watch, detection)
    if event and pump is None:
        at = event["released_at"]
        fulfilled = pump_of(event, pumps_about(connection, at - timedelta(days=2), at + timedelta(days=2)))
        pump = facts.pump(connection, fulfilled["pump_id"]) if fulfilled else None
    named = [*(pump or {}).get("announcement_ids", ()), *(event or {}).get("announcement_ids", ())]
    named = list(dict.fromkeys([*named, value] if kind == "announcement" else named))
    for subject_id in ((pump or {}).get("pump_id"), *named):
        watch = watch or (facts.watch_of(connection, subject_id) if subject_id else None)
    return Subject(event, pump, watch, [detection] if detection else _detections(connection, event), named)


def _event(connection: sa.Connection, pump: facts.Row | None, watch: facts.Row | None, detection: facts.Row | None) -> facts.Row | None:
    """The coin that was detected, or that the pump or the watch was for."""
    if detection:
        event, at = PUMP_EVENTS.c, detection["detected_at"]
        is_coin = sa.and_(event.exchange == detection["exchange"], event.symbol == detection["symbol"])
        is_then = event.released_at.between(at - DETECTED_WITHIN, at + DETECTED_WITHIN)
        return _first(connection, PUMP_EVENTS, sa.and_(is_coin, is_then))
    if watch and not pump:
        one = watch["exchanges"]
        by_hand: dict[str, Any] = {"pump_id": None, "exchange": one[0] if len(one) == 1 else None, "announcement_ids": []}
        known = (pump_called(connection, watch["pump_id"]) if watch["pump_id"] else None) or by_hand
        pump = {**known, "scheduled_at": watch["scheduled_at"]}
    return next(iter(coins_of(connection, pump)), None) if pump else None


def _detections(connection: sa.Connection, event: facts.Row | None) -> list[facts.Row]:
    """What was detected of the coin about the time it was named."""
    if event is None:
        return []
    seen, at = DETECTED_PUMPS.c, event["released_at"]
    is_coin = sa.and_(seen.exchange == event["exchange"], seen.symbol == event["symbol"])
    is_then = seen.detected_at.between(at - DETECTED_WITHIN, at + DETECTED_WITHIN)
    return facts.rows(connection, sa.select(DETECTED_PUMPS).where(is_coin, is_then).order_by(seen.detected_at))


def _first(connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> facts.Row | None:
    return next(iter(facts.rows(connection, sa.select(table).where(condition).limit(1))), None)
