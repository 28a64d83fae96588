"""The outbox of alerts: which is next, and what became of it.

An alert is claimed by locking its row for as long as its delivery lasts: two deliverers never send the same at once, and one that is killed
leaves it to the next. If the other side accepted it and the row could not be written any more, it is sent again under the same key.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.storage import read_frame
from pnd_dagster.tables import ALERT_MUTES, ALERTS

REPLACED_STAGES = ("announced", "candidates", "target suspected")
"""A later alert of these stages, of one subject and exchange, takes the place of an earlier one; of the others each is a fact of its own.

They alone have a cool-down: while one was sent within `alert_cooldown_seconds` on a channel, the next waits. Of several that wait there,
the newest is sent and the others are muted as superseded.
"""

SUPERSEDED = "superseded by a newer alert of the same stage and subject"
SWITCHED_OFF = "channel is switched off"
SWITCHED_OFF_AFTER = timedelta(days=1)
"""Until then a channel may be switched on again, and gets what was queued meanwhile."""


class Queued(NamedTuple):
    """A row of out.alerts that is being delivered."""

    alert_id: str
    channel: str
    stage: str
    subject_id: str
    exchange: str | None
    symbol: str | None
    body: dict[str, Any]
    attempts: int
    created_at: datetime


def supersede(connection: sa.Connection, channel: str) -> int:
    """Mutes what waits on a channel and has a newer one behind it; returns how many."""
    old, new = ALERTS.alias("old"), ALERTS.alias("new")
    is_newer = sa.tuple_(new.c.created_at, new.c.alert_id) > sa.tuple_(old.c.created_at, old.c.alert_id)
    late = (
        sa.select(old.c.alert_id)
        .where(_is_waiting(old, channel), old.c.stage.in_(REPLACED_STAGES))
        .where(sa.exists().where(_is_waiting(new, channel), _is_same(old, new), is_newer))
        .with_for_update(skip_locked=True, of=old)
    )
    muted = sa.update(ALERTS).where(ALERTS.c.channel == channel, ALERTS.c.alert_id.in_(late)).values(state="muted", last_error=SUPERSEDED)
    return connection.execute(muted).rowcount


def mute_switched_off(connection: sa.Connection, channels: Collection[str]) -> int:
    """Mutes what has waited for a day on channels other than these, which nobody delivers; returns how many alerts those are."""
    alert = ALERTS.c
    is_left = sa.and_(
        alert.state == "pending", alert.channel.notin_(channels), alert.created_at < sa.func.clock_timestamp() - SWITCHED_OFF_AFTER
    )
    return connection.execute(sa.update(ALERTS).where(is_left).values(state="muted", last_error=SWITCHED_OFF)).rowcount


def claim(connection: sa.Connection, channel: str, cooldown_seconds: float) -> Queued | None:
    """Locks the oldest alert of a channel that is due until the transaction ends; None if none is, or others have them."""
    alert, other = ALERTS.alias("alert"), ALERTS.alias("other")
    now = sa.func.clock_timestamp()
    is_recent = sa.and_(other.c.state == "sent", other.c.sent_at > now - timedelta(seconds=cooldown_seconds))
    # One that waits and is older is being sent by somebody else now: superseding would have muted it.
    is_ahead = sa.and_(other.c.state == "pending", other.c.created_at < alert.c.created_at)
    is_held_back = sa.exists().where(other.c.channel == channel, _is_same(alert, other), sa.or_(is_recent, is_ahead))
    row = connection.execute(
        sa.select(*(alert.c[name] for name in Queued._fields))
        .where(_is_waiting(alert, channel), alert.c.next_attempt_at <= now)
        .where(sa.or_(alert.c.stage.notin_(REPLACED_STAGES), ~is_held_back))
        .order_by(alert.c.created_at, alert.c.alert_id)
        .limit(1)
        .with_for_update(skip_locked=True, of=alert)
    ).first()
    return None if row is None else Queued(*row)


def mute_of(connection: sa.Connection, queued: Queued) -> str | None:
    """The mute that holds for an alert now, in words; None if none does."""
    scopes = [
        "all",
        f"stage:{queued.stage}",
        f"exchange:{queued.exchange}",
        f"symbol:{queued.symbol}",
        f"channel:{queued.channel}",
        f"pump:{queued.subject_id}",
    ]
    mute = ALERT_MUTES.c
    row = connection.execute(
        sa.select(mute.scope, mute.until, mute.reason)
        .where(mute.scope.in_(scopes), mute.until > sa.func.clock_timestamp())
        .order_by(mute.until.desc())
        .limit(1)
    ).first()
    return None if row is None else f"muted: {row[0]} until {row[1]:%Y-%m-%d %H:%M} UTC" + (f" ({row[2]})" if row[2] else "")


def mark_sent(connection: sa.Connection, queued: Queued, note: str | None) -> None:
    """It was accepted; `note` is what else there is to say of it."""
    _mark(connection, queued, state="sent", sent_at=sa.func.clock_timestamp(), last_error=note, attempts=queued.attempts + 1)


def mark_muted(connection: sa.Connection, queued: Queued, reason: str) -> None:
    """It is not to be sent."""
    _mark(connection, queued, state="muted", last_error=reason)


def mark_failed(connection: sa.Connection, queued: Queued, reason: str) -> None:
    """It was refused, or tried too often."""
    _mark(connection, queued, state="failed", last_error=reason, attempts=queued.attempts + 1)


def mark_later(connection: sa.Connection, queued: Queued, reason: str, seconds: float) -> None:
    """It is to be tried again after so many seconds."""
    later = sa.func.clock_timestamp() + timedelta(seconds=seconds)
    _mark(connection, queued, next_attempt_at=later, last_error=reason, attempts=queued.attempts + 1)


def hold_back(connection: sa.Connection, channel: str, seconds: float) -> None:
    """What else waits on the channel is not tried before so many seconds: the receiver asked for it."""
    alert = ALERTS.c
    until = sa.func.clock_timestamp() + timedelta(seconds=seconds)
    waiting = sa.select(alert.alert_id).where(_is_waiting(ALERTS, channel)).with_for_update(skip_locked=True)
    connection.execute(
        sa.update(ALERTS)
        .where(alert.channel == channel, alert.alert_id.in_(waiting))
        .values(next_attempt_at=sa.func.greatest(alert.next_attempt_at, until))
    )


def waiting(engine: sa.Engine) -> pl.DataFrame:
    """What waits by channel: channel, alerts, and oldest_seconds since the oldest was queued.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    alert = ALERTS.c
    age = sa.extract("epoch", sa.func.clock_timestamp() - sa.func.min(alert.created_at))
    return read_frame(
        engine,
        sa.select(alert.channel, sa.func.count().label("alerts"), sa.cast(age, sa.Double).label("oldest_seconds"))
        .where(alert.state == "pending")
        .group_by(alert.channel)
        .order_by(alert.channel),
    )


def _is_waiting(alert: sa.FromClause, channel: str) -> sa.ColumnElement[bool]:
    return sa.and_(alert.c.state == "pending", alert.c.channel == channel)


def _is_same(one: sa.FromClause, other: sa.FromClause) -> sa.ColumnElement[bool]:
    """Of one stage, subject and exchange: a watch of several exchanges tells of each."""
    return sa.and_(
        one.c.stage == other.c.stage,
        one.c.subject_id == other.c.subject_id,
        one.c.exchange.is_not_distinct_from(other.c.exchange),
    )


def _mark(connection: sa.Connection, queued: Queued, **values: Any) -> None:
    alert = ALERTS.c
    connection.execute(sa.update(ALERTS).where(alert.alert_id == queued.alert_id, alert.channel == queued.channel).values(**values))
