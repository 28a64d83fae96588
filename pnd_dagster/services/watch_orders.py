"""What is to be watched: the pumps that are due, whether a pump that is watched still stands, and orders given by hand.

A pump is due from `watch_lead_seconds` before its announced start until `AFTER_START` past it. An announcement without a time is due as
soon as it is posted: its start is the moment it was posted, and its id stands for the pump's, which it has only once a time is known.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.errors import SettingError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import transaction
from pnd_dagster.tables import LEASES, PUMP_ANNOUNCEMENTS, SCHEDULED_PUMPS, WATCHES

AFTER_START = timedelta(minutes=2)
# A watch that failed, for want of candidates or by an error, is not tried again before.
RETRY_FAILED_AFTER = timedelta(seconds=30)
OPEN = ("scheduled", "postponed")


class Pump(NamedTuple):
    """A pump as its row says now; `scheduled_at` is when it was posted where no time is known."""

    pump_id: str
    exchange: str | None
    scheduled_at: datetime
    schedule_revision: int
    status: str
    announcement_ids: tuple[str, ...]


class Order(NamedTuple):
    """What one watch ranks.

    Attributes:
        watch_id: pump_id:schedule_revision, or manual:exchange:time of one ordered by hand.
        pump_id, schedule_revision: None of one ordered by hand.
        exchanges: whose candidates are ranked, each exchange's among themselves.
        scheduled_at: announced start.
        attempts: how often it was started before.
    """

    watch_id: str
    pump_id: str | None
    schedule_revision: int | None
    exchanges: tuple[str, ...]
    scheduled_at: datetime
    attempts: int = 0


class Due(NamedTuple):
    """Orders to be carried out now, and why other pumps that are due are not watched."""

    orders: list[Order]
    skipped: list[str]


def lease_name(watch_id: str) -> str:
    """Name of a watch's lease."""
    return f"watch:{watch_id}"


def due_pumps(engine: sa.Engine, settings: Settings, now: datetime) -> Due:
    """Pumps that are due, that nobody is watching, and whose watch did not end; those announced first come first.

    A watch whose process died is due again once its lease has expired, also when the coin was released meanwhile. One that ended because
    of a postponement or cancellation is due again if its pump is scheduled after all, one that is over only for another time.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    with transaction(engine) as connection:
        dated = connection.execute(_due(_dated(), now, timedelta(seconds=settings.watch_lead_seconds))).all()
        undated = connection.execute(_due(_undated(), now, timedelta(0))).all()
        running = sa.select(WATCHES.c.exchanges).where(WATCHES.c.state == "running", WATCHES.c.scheduled_at > now - AFTER_START)
        # A bare "pump soon" adds nothing where a watch of the same markets is on, or about to be.
        covered = {exchange for (exchanges,) in connection.execute(running) for exchange in exchanges}
    orders: list[Order] = []
    skipped: list[str] = []
    for row in (*dated, *undated):
        pump, is_resumed = _pump(row), row.state == "running"
        exchanges = exchanges_of(pump, settings)
        if not exchanges:
            skipped.append(f"{pump.pump_id}: {pump.exchange} is not collected")
        elif row.is_undated and not is_resumed and covered.issuperset(exchanges):
            skipped.append(f"{pump.pump_id}: its markets are watched already")
        else:
            orders.append(_order(pump, exchanges, row.attempt or 0))
            covered.update(exchanges)
    return Due(orders, skipped)


def exchanges_of(pump: Pump, settings: Settings) -> tuple[str, ...]:
    """Exchanges whose candidates are ranked: the pump's, all that are collected where it names none, none if its own is not collected."""
    if pump.exchange is None:
        return tuple(settings.exchanges)
    return (pump.exchange,) if pump.exchange in settings.exchanges else ()


def read_pump(engine: sa.Engine, pump_id: str) -> Pump | None:
    """A pump as it is now, of core.scheduled_pumps or an announcement without a time; None if there is none of that id.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    with transaction(engine) as connection:
        for pumps in (_dated(), _undated()):
            row = connection.execute(sa.select(pumps).where(pumps.c.pump_id == pump_id)).first()
            if row is not None:
                return _pump(row)
    return None


def order_for_pump(engine: sa.Engine, settings: Settings, pump_id: str, now: datetime) -> Order:
    """The order to watch a pump now, also before it is due.

    Raises:
        SettingError: there is no such pump, it is past, cancelled or released, or its exchange is not collected.
        DatabaseError: Postgres refused or cannot be reached.
    """
    pump = read_pump(engine, pump_id)
    if pump is None:
        raise SettingError(f"pump {pump_id}: core.scheduled_pumps has no such pump")
    if pump.status not in (*OPEN, "released") or now > pump.scheduled_at + AFTER_START:
        raise SettingError(f"pump {pump_id}: it is {pump.status}, its start was {pump.scheduled_at:%Y-%m-%d %H:%M} UTC")
    if not (exchanges := exchanges_of(pump, settings)):
        raise SettingError(f"PND_EXCHANGES: {pump.exchange} is not among {', '.join(settings.exchanges)}")
    return _order(pump, exchanges, 0)


def order_by_hand(settings: Settings, exchange: str, scheduled_at: datetime) -> Order:
    """The order to watch an exchange towards a time that somebody names.

    Raises:
        SettingError: the exchange is not collected.
    """
    if exchange not in settings.exchanges:
        raise SettingError(f"PND_EXCHANGES: {exchange} is not among {', '.join(settings.exchanges)}")
    at = scheduled_at.astimezone(UTC)
    return Order(f"manual:{exchange}:{at:%Y-%m-%dT%H:%M:%SZ}", None, None, (exchange,), at)


def _order(pump: Pump, exchanges: tuple[str, ...], attempts: int) -> Order:
    watch_id = f"{pump.pump_id}:{pump.schedule_revision}"
    return Order(watch_id, pump.pump_id, pump.schedule_revision, exchanges, pump.scheduled_at, attempts)


def _pump(row: sa.Row[Any]) -> Pump:
    return Pump(row.pump_id, row.exchange, row.scheduled_at, row.schedule_revision, row.status, tuple(row.announcement_ids))


def _dated() -> sa.Subquery:
    pump = SCHEDULED_PUMPS.c
    columns = (pump.pump_id, pump.exchange, pump.scheduled_at, pump.schedule_revision, pump.status, pump.announcement_ids)
    return sa.select(*columns, pump.first_announced_at, sa.false().label("is_undated")).subquery("pumps")


def _undated() -> sa.Subquery:
    announcement = PUMP_ANNOUNCEMENTS.c
    return (
        sa.select(
            announcement.announcement_id.label("pump_id"),
            announcement.exchange,
            announcement.announced_at.label("scheduled_at"),
            announcement.schedule_revision,
            announcement.status,
            pg.array([announcement.announcement_id]).label("announcement_ids"),
            announcement.announced_at.label("first_announced_at"),
            sa.true().label("is_undated"),
        )
        # A pump whose new time is not known yet was announced before: it is watched when the time is.
        .where(announcement.scheduled_at.is_(None), announcement.previous_scheduled_at.is_(None))
        .subquery("pumps")
    )


def _due(pumps: sa.Subquery, now: datetime, lead: timedelta) -> sa.Select[Any]:
    pump, watch, lease = pumps.c, WATCHES.c, LEASES.c
    watch_id = sa.func.concat(pump.pump_id, ":", pump.schedule_revision)
    is_unwatched = sa.or_(
        watch.state.is_(None),
        watch.state.in_(("running", "postponed", "cancelled")),
        watch.scheduled_at != pump.scheduled_at,
        sa.and_(watch.state == "failed", watch.ended_at < now - RETRY_FAILED_AFTER),
    )
    return (
        sa.select(pumps, watch.attempt, watch.state)
        .outerjoin(WATCHES, watch.watch_id == watch_id)
        .outerjoin(LEASES, lease.name == sa.func.concat("watch:", watch_id))
        .where(
            pump.scheduled_at > now - AFTER_START,
            pump.scheduled_at <= now + lead,
            sa.or_(pump.status.in_(OPEN), sa.and_(pump.status == "released", watch.state == "running")),
            sa.or_(lease.expires_at.is_(None), lease.expires_at <= sa.func.clock_timestamp()),
            is_unwatched,
        )
        .order_by(pump.first_announced_at, pump.pump_id)
    )
