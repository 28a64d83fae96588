"""Ticks into Postgres: one bucket's metric rows, gaps and commit row are one transaction, under the lease of the shard.

A bucket that has a commit row is there whole and is not written again; one without was never written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import cast

import polars as pl
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from pnd_dagster.errors import DatabaseError, PndError
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.tick import Tick
from pnd_dagster.storage import transaction, upsert
from pnd_dagster.storage.binary_copy import copy_binary
from pnd_dagster.storage.leases import Lease, check
from pnd_dagster.storage.partitions import make_days, partition_name
from pnd_dagster.tables import BUCKET_COMMITS, FEED_GAPS, LEASES, ORDER_BOOK_METRICS, TRADE_METRICS, conform, polars_schema

METRIC_TABLES = (ORDER_BOOK_METRICS, TRADE_METRICS)
CHANNEL = "bucket_commits"
# A write that takes longer than this is given up and tried again from disk.
LONGEST_WRITE = "20s"
# What Postgres says while it restarts, recovers, is full or is somebody's standby.
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)


class TickRefusedError(PndError):
    """Postgres can be reached and refuses the tick; writing it again cannot help."""


def write_tick(
    engine: sa.Engine,
    lease: Lease,
    exchange: str,
    shard: Shard,
    tick: Tick,
    *,
    clock_offset_seconds: float | None = None,
    is_spilled: bool = False,
) -> bool:
    """Writes a tick in one transaction and notifies `bucket_commits` with "exchange shard bucket_end".

    Returns:
        False if the bucket was there already; then nothing is written.

    Raises:
        LeaseLostError: somebody else holds the shard now.
        DatabaseError: Postgres is away, too slow or out of space: a later attempt may succeed.
        TickRefusedError: it never will.
    """
    facts = {
        "exchange": exchange,
        "shard": str(shard),
        "bucket_end_at": tick.bucket_end_at,
        "is_spilled": is_spilled,
        "clock_offset_seconds": clock_offset_seconds,
        "lease_epoch": lease.epoch,
    }
    try:
        try:
            return _write(engine, lease, tick, facts, _copy_to_partition)
        except (psycopg.errors.UndefinedTable, psycopg.errors.CheckViolation):
            make_days(engine, METRIC_TABLES, [tick.bucket_end_at.date()])
            return _write(engine, lease, tick, facts, _copy_to_partition)
        except psycopg.errors.UniqueViolation:
            # Instruments moved between shards: the other shard wrote some of these rows, or this very bucket.
            return _write(engine, lease, tick, facts, _copy_missing)
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if isinstance(error, AWAY):
            raise DatabaseError(f"cannot write to Postgres: {reason}") from error
        raise TickRefusedError(f"{exchange} {shard}: Postgres refused the bucket of {tick.bucket_end_at}: {reason}") from error


def write_gaps(engine: sa.Engine, lease: Lease, gaps: pl.DataFrame) -> None:
    """Writes rows of core.feed_gaps that belong to no bucket.

    Raises:
        LeaseLostError: somebody else holds the shard now.
        DatabaseError: Postgres refused or is away.
    """
    with transaction(engine) as connection:
        check(connection, lease)
        upsert(connection, FEED_GAPS, gaps)


def end_abandoned_gaps(engine: sa.Engine, lease: Lease, exchange: str, shard: Shard, until: datetime) -> int:
    """Ends the gaps that an earlier collector of this shard, or of one that is no longer led, left open. Returns their number.

    Raises:
        LeaseLostError: somebody else holds the shard now.
        DatabaseError: Postgres refused or is away.
    """
    gaps, leases = FEED_GAPS.c, LEASES.c
    is_led = sa.exists().where(leases.name == sa.func.concat("collect:", exchange, ":", gaps.shard), leases.expires_at > sa.func.now())
    abandoned = sa.and_(gaps.exchange == exchange, gaps.ended_at.is_(None), sa.or_(gaps.shard == str(shard), ~is_led))
    with transaction(engine) as connection:
        check(connection, lease)
        ended = sa.update(FEED_GAPS).where(abandoned).values(ended_at=sa.func.greatest(gaps.started_at, until))
        return connection.execute(ended).rowcount


def gap_row(
    exchange: str, shard: Shard, instrument_ids: Iterable[int], started_at: datetime, ended_at: datetime, reason: str
) -> pl.DataFrame:
    """A row of core.feed_gaps for a span in which the collector itself saw nothing of these; no row without instruments."""
    ids = sorted(set(instrument_ids))
    key = f"{exchange} {shard} {reason} {started_at.isoformat()}"
    gap_id = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    rows = [(gap_id, exchange, str(shard), ids, started_at, ended_at, reason)] if ids else []
    return pl.DataFrame(rows, schema=polars_schema(FEED_GAPS), orient="row")


def last_commit(engine: sa.Engine, exchange: str, shard: Shard) -> datetime | None:
    """End of the last bucket of a shard that was written, None if there is none."""
    commits = BUCKET_COMMITS.c
    newest = sa.select(sa.func.max(commits.bucket_end_at)).where(commits.exchange == exchange, commits.shard == str(shard))
    with transaction(engine) as connection:
        return connection.execute(newest).scalar_one()


_Copy = Callable[[sa.Connection, sa.Table, pl.DataFrame, datetime], int]


def _write(engine: sa.Engine, lease: Lease, tick: Tick, facts: Mapping[str, object], copy: _Copy) -> bool:
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{LONGEST_WRITE}'")
            check(connection, lease)
            if _is_committed(connection, facts):
                return False
            written = {
                "book_rows": copy(connection, ORDER_BOOK_METRICS, tick.books, tick.bucket_end_at),
                "trade_rows": copy(connection, TRADE_METRICS, tick.trades, tick.bucket_end_at),
            }
            if not tick.gaps.is_empty():
                upsert(connection, FEED_GAPS, tick.gaps)
            # Last, so that lag_seconds holds the whole write.
            _commit(connection, {**tick.counts, **facts, **written})
    except DBAPIError as error:
        raise error.orig if isinstance(error.orig, psycopg.Error) else error from error
    return True


def _is_committed(connection: sa.Connection, facts: Mapping[str, object]) -> bool:
    is_this = (BUCKET_COMMITS.c[name] == facts[name] for name in ("exchange", "shard", "bucket_end_at"))
    return connection.execute(sa.select(sa.literal(1)).select_from(BUCKET_COMMITS).where(*is_this)).first() is not None


def _commit(connection: sa.Connection, row: Mapping[str, object]) -> None:
    now = sa.func.clock_timestamp()
    lag = sa.extract("epoch", now - sa.literal(row["bucket_end_at"], sa.TIMESTAMP(timezone=True)))
    connection.execute(sa.insert(BUCKET_COMMITS).values(**row, committed_at=now, lag_seconds=lag))
    bucket_end_at = cast(datetime, row["bucket_end_at"])
    connection.execute(sa.select(sa.func.pg_notify(CHANNEL, f"{row['exchange']} {row['shard']} {bucket_end_at.isoformat()}")))


def _copy_to_partition(connection: sa.Connection, table: sa.Table, rows: pl.DataFrame, bucket_end_at: datetime) -> int:
    """Straight into the day's partition: all rows are of one bucket, so there is nothing to route."""
    if not rows.is_empty():
        copy_binary(connection, f'"{table.schema}"."{partition_name(table, bucket_end_at.date())}"', conform(rows, table))
    return rows.height


def _copy_missing(connection: sa.Connection, table: sa.Table, rows: pl.DataFrame, bucket_end_at: datetime) -> int:
    if rows.is_empty():
        return 0
    incoming = f"incoming_{table.name}"
    target = f'"{table.schema}"."{table.name}"'
    connection.exec_driver_sql(f'CREATE TEMPORARY TABLE "{incoming}" ON COMMIT DROP AS SELECT * FROM {target} WITH NO DATA')
    copy_binary(connection, f'"{incoming}"', conform(rows, table))
    return connection.exec_driver_sql(f'INSERT INTO {target} SELECT * FROM "{incoming}" ON CONFLICT DO NOTHING').rowcount
