"""The row of out.watches: begun, followed and ended under the watch's lease."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from pnd_dagster.services.watch_orders import Order, lease_name
from pnd_dagster.storage import transaction
from pnd_dagster.storage.leases import Lease, check
from pnd_dagster.tables import LEASES, RANKING_TICKS, WATCHES

State = Literal["postponed", "cancelled", "released", "over", "failed"]


class WatchEnd(NamedTuple):
    """How a watch ended for its process.

    Attributes:
        state: as in out.watches; None where the pump is left to another process, so that the row says what that one makes of it.
        detail: why.
        tick_count: ticks that are ranked, by all attempts.
    """

    state: State | None
    detail: str
    tick_count: int = 0


def begin(engine: sa.Engine, lease: Lease, order: Order, now: datetime) -> int | None:
    """Notes that the watch runs. Returns the number of this attempt, None if the pump's watch for that time is over already.

    Raises:
        LeaseLostError: somebody else holds the watch now.
        DatabaseError: Postgres refused or cannot be reached.
    """
    row = {
        "watch_id": order.watch_id,
        "pump_id": order.pump_id,
        "schedule_revision": order.schedule_revision,
        "exchanges": list(order.exchanges),
        "scheduled_at": order.scheduled_at,
        "started_at": now,
        "attempt": 1,
        "state": "running",
        "tick_count": 0,
    }
    statement = pg.insert(WATCHES).values(row)
    renewed = {"exchanges": statement.excluded.exchanges, "scheduled_at": statement.excluded.scheduled_at, "state": "running"}
    is_over = sa.and_(
        WATCHES.c.pump_id.is_not(None),
        WATCHES.c.state.in_(("released", "over")),
        WATCHES.c.scheduled_at == statement.excluded.scheduled_at,
    )
    again = statement.on_conflict_do_update(
        index_elements=["watch_id"], set_={**renewed, "attempt": WATCHES.c.attempt + 1, "ended_at": None, "detail": None}, where=~is_over
    )
    with transaction(engine) as connection:
        check(connection, lease)
        return connection.execute(again.returning(WATCHES.c.attempt)).scalar_one_or_none()


def follow(engine: sa.Engine, lease: Lease, order: Order) -> None:
    """Notes another time or other exchanges of a watch that goes on.

    Raises:
        LeaseLostError: somebody else holds the watch now.
        DatabaseError: Postgres refused or cannot be reached.
    """
    with transaction(engine) as connection:
        check(connection, lease)
        row = sa.update(WATCHES).where(WATCHES.c.watch_id == order.watch_id)
        connection.execute(row.values(exchanges=list(order.exchanges), scheduled_at=order.scheduled_at))


def end(engine: sa.Engine, lease: Lease, watch_id: str, state: State, detail: str, now: datetime) -> WatchEnd:
    """Notes how the watch ended, and how many ticks were ranked.

    Raises:
        LeaseLostError: somebody else holds the watch now.
        DatabaseError: Postgres refused or cannot be reached.
    """
    with transaction(engine) as connection:
        check(connection, lease)
        connection.execute(_ended(watch_id).values(state=state, detail=detail, ended_at=now))
        ticks = connection.execute(sa.select(WATCHES.c.tick_count).where(WATCHES.c.watch_id == watch_id)).scalar_one()
    return WatchEnd(state, detail, ticks)


def abandoned(engine: sa.Engine, before: datetime) -> list[str]:
    """Watches that say they run, though nobody holds their lease and their time was over before then.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    watch, lease = WATCHES.c, LEASES.c
    is_held = sa.exists().where(lease.name == sa.func.concat(lease_name(""), watch.watch_id), lease.expires_at > sa.func.clock_timestamp())
    statement = sa.select(watch.watch_id).where(watch.state == "running", watch.scheduled_at < before, ~is_held)
    with transaction(engine) as connection:
        return list(connection.execute(statement.order_by(watch.scheduled_at)).scalars())


def close(engine: sa.Engine, watch_id: str, now: datetime) -> bool:
    """Ends a watch whose process died and that is due no more; False if somebody else did, or it runs again.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    detail = "its process ended before the watch was over"
    with transaction(engine) as connection:
        statement = _ended(watch_id).where(WATCHES.c.state == "running").values(state="failed", detail=detail, ended_at=now)
        return connection.execute(statement).rowcount == 1


def _ended(watch_id: str) -> sa.Update:
    ticks = sa.select(sa.func.count()).where(RANKING_TICKS.c.watch_id == watch_id).scalar_subquery()
    return sa.update(WATCHES).where(WATCHES.c.watch_id == watch_id).values(tick_count=ticks)
