"""What a watch was worth: where the coin stood 20, 40, 60 and 300 s before it was released.

Evaluated when the watch ends, and again by a sweep for coins that were released, or became known, later, and for watches that were killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.events.fulfilment import coins_of
from pnd_dagster.events.schedule import SAME_START
from pnd_dagster.services.watch_orders import AFTER_START, Pump, read_pump
from pnd_dagster.services.watch_rows import abandoned, close
from pnd_dagster.storage import read_frame, transaction, upsert
from pnd_dagster.tables import INSTRUMENTS, RANKING_TICKS, TARGET_RANKINGS, WATCH_RESULTS, WATCHES, polars_schema

OFFSETS = (20, 40, 60, 300)
# A ranking that is older than that says nothing of the moment it is asked for.
LONGEST_SINCE = timedelta(seconds=15)
# Releases of longer ago are looked for no more.
SWEPT = timedelta(hours=6)


class Released(NamedTuple):
    """A coin that was released during a watch, or about."""

    event_id: str
    exchange: str | None
    symbol: str
    released_at: datetime


def released_coin(engine: sa.Engine, exchanges: Sequence[str], scheduled_at: datetime, pump: Pump | None) -> Released | None:
    """The coin that a watch was for, by the rule of `events.fulfilment`.

    Args:
        engine: the platform's database.
        exchanges: that are watched.
        scheduled_at: announced start.
        pump: that is watched; None for a watch that was ordered by hand, which takes any coin named on its exchange about that time.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    by_hand = {"pump_id": None, "exchange": exchanges[0], "announcement_ids": [], "status": "scheduled"}
    watched = {**(pump._asdict() if pump else by_hand), "scheduled_at": scheduled_at}
    with transaction(engine) as connection:
        coin = next(iter(coins_of(connection, watched)), None)
    return None if coin is None else Released(*(coin[name] for name in Released._fields))


def evaluate(engine: sa.Engine, watch_id: str, *, now: datetime | None = None) -> Released | None:
    """Writes where the released coin stood into out.watch_results, and the coin into out.watches; None while nothing is released.

    A ranking counts for a moment if it was written by then and is not older than `LONGEST_SINCE`. Run twice, nothing changes.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    watch = WATCHES.c
    with transaction(engine) as connection:
        row = connection.execute(
            sa.select(watch.pump_id, watch.exchanges, watch.scheduled_at).where(watch.watch_id == watch_id)
        ).one_or_none()
    if row is None:
        return None
    pump = read_pump(engine, row.pump_id) if row.pump_id else None
    if row.pump_id and (pump is None or abs(pump.scheduled_at - row.scheduled_at) > SAME_START):
        return None  # it was moved, or joined with another: the coin is that of another watch
    released = released_coin(engine, row.exchanges, row.scheduled_at, pump)
    if released is None:
        return None
    exchange, instrument_id = _instrument(engine, row.exchanges, released)
    if exchange is not None:
        stood = [_standing(engine, watch_id, exchange, instrument_id, released.released_at, offset) for offset in OFFSETS]
        facts = {
            "watch_id": watch_id,
            "event_id": released.event_id,
            "exchange": exchange,
            "symbol": released.symbol,
            "instrument_id": instrument_id,
            "evaluated_at": now or datetime.now(UTC),
        }
        upsert(engine, WATCH_RESULTS, pl.DataFrame([{**facts, **each} for each in stood], schema=polars_schema(WATCH_RESULTS)))
    with transaction(engine) as connection:
        found = sa.update(WATCHES).where(watch.watch_id == watch_id, watch.event_id.is_distinct_from(released.event_id))
        connection.execute(found.values(event_id=released.event_id, symbol=released.symbol))
    return released


def sweep(engine: sa.Engine, now: datetime) -> list[str]:
    """Ends watches whose process died for good, and evaluates those of the last hours whose coin was not known. Returns the former.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    watch = WATCHES.c
    closed = [watch_id for watch_id in abandoned(engine, now - AFTER_START) if close(engine, watch_id, now)]
    unknown = sa.select(watch.watch_id).where(
        watch.scheduled_at.between(now - SWEPT, now), watch.event_id.is_(None), watch.state.in_(("released", "over", "failed"))
    )
    with transaction(engine) as connection:
        waiting = list(connection.execute(unknown.order_by(watch.scheduled_at)).scalars())
    for watch_id in waiting:
        evaluate(engine, watch_id, now=now)
    return closed


def results(engine: sa.Engine, watch_id: str) -> dict[str, float | None]:
    """Rank of the released coin by the time before its release, e.g. "20 s"; empty while nothing was released.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    result = WATCH_RESULTS.c
    with transaction(engine) as connection:
        rows = connection.execute(
            sa.select(result.offset_seconds, result.rank).where(result.watch_id == watch_id).order_by(result.offset_seconds)
        ).all()
    return {f"{offset} s": rank for offset, rank in rows}


def lags(engine: sa.Engine, watch_id: str) -> pl.DataFrame:
    """From each ranked bucket's end to its row, in seconds: exchange, bucket_end_at, lag_seconds; in the order of time.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    tick = RANKING_TICKS.c
    columns = sa.select(tick.exchange, tick.bucket_end_at, tick.lag_seconds)
    return read_frame(engine, columns.where(tick.watch_id == watch_id).order_by(tick.bucket_end_at, tick.exchange))


def _instrument(engine: sa.Engine, exchanges: list[str], released: Released) -> tuple[str | None, int | None]:
    """Exchange and instrument of the released coin; where no exchange is known, the only one of the watch that lists it.

    The instrument is NULL where it is not listed, or several markets bear its name: a symbol alone is no identity.
    """
    listing = INSTRUMENTS.c
    at = released.released_at
    listed = (
        sa.select(listing.exchange, sa.func.min(listing.instrument_id), sa.func.count())
        .where(
            listing.exchange.in_([released.exchange] if released.exchange else exchanges),
            listing.base_symbol == released.symbol,
            listing.valid_from <= at,
            sa.or_(listing.valid_to.is_(None), listing.valid_to > at),
        )
        .group_by(listing.exchange)
    )
    with transaction(engine) as connection:
        found = connection.execute(listed).all()
    if len(found) == 1:
        exchange, instrument_id, count = found[0]
        return exchange, instrument_id if count == 1 else None
    return released.exchange or (exchanges[0] if len(exchanges) == 1 else None), None


def _standing(
    engine: sa.Engine, watch_id: str, exchange: str, instrument_id: int | None, released_at: datetime, offset_seconds: int
) -> dict[str, Any]:
    tick, ranking = RANKING_TICKS.c, TARGET_RANKINGS.c
    at = released_at - timedelta(seconds=offset_seconds)
    was_written_at = tick.bucket_end_at + tick.lag_seconds * sa.literal(timedelta(seconds=1), sa.Interval)
    last = (
        sa.select(tick.bucket_end_at, tick.candidates, ranking.rank, ranking.score)
        .outerjoin(
            TARGET_RANKINGS,
            sa.and_(
                ranking.ranking_id == tick.ranking_id,
                ranking.bucket_end_at == tick.bucket_end_at,
                ranking.instrument_id == instrument_id,
            ),
        )
        .where(
            tick.watch_id == watch_id,
            tick.exchange == exchange,
            tick.bucket_end_at > at - LONGEST_SINCE,
            tick.bucket_end_at <= at,
            was_written_at <= at,
        )
        .order_by(tick.bucket_end_at.desc())
        .limit(1)
    )
    with transaction(engine) as connection:
        found = connection.execute(last).mappings().one_or_none()
    return {"offset_seconds": offset_seconds, **(found or {})}
