"""Rankings in Postgres: out.ranking_ticks and out.target_rankings, written under the lease of their watch.

A tick that has its row in out.ranking_ticks is there whole and is not written again; one without was never written.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import numpy as np
import polars as pl
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from pnd_dagster.errors import DatabaseError
from pnd_dagster.ranking.ranking import Ranking
from pnd_dagster.ranking.rules import ScoreRule
from pnd_dagster.storage import read_frame
from pnd_dagster.storage.binary_copy import copy_binary
from pnd_dagster.storage.leases import Lease, check
from pnd_dagster.storage.partitions import make_days, partition_name
from pnd_dagster.tables import BUCKET_SECONDS, INSTRUMENTS, RANKING_TICKS, TARGET_RANKINGS, conform

REPORTED_LEADS = (60, 40, 20)
"""Seconds before the start at which every candidate's z is kept; the paper reports its results at these."""

KEEP_Z_OF = 50
"""So many of the best keep their z at every tick."""


def ranking_id(watch_id: str, exchange: str, bucket_end_at: datetime) -> int:
    """Hash of 63 bits by which a tick is known."""
    key = f"{watch_id} {exchange} {int(bucket_end_at.timestamp())}"
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) >> 1


def write_ranking(
    engine: sa.Engine,
    lease: Lease,
    watch_id: str,
    exchange: str,
    bucket_end_at: datetime,
    lead_seconds: float,
    rule: ScoreRule,
    ranking: Ranking,
    keep_z_of: int = KEEP_Z_OF,
) -> bool:
    """Writes a tick and the rank of each candidate in one transaction.

    Args:
        engine: the database.
        lease: of the watch.
        watch_id: the watch.
        exchange: canonical id.
        bucket_end_at: end of the last bucket that was ranked.
        lead_seconds: from there to the announced start; negative after it.
        rule: what scored.
        ranking: what `rank` found.
        keep_z_of: z is kept for so many of the best, and for all within half a bucket of `REPORTED_LEADS`.

    Returns:
        False if the tick was there already; then nothing is written.

    Raises:
        LeaseLostError: somebody else holds the watch now; nothing is written.
        DatabaseError: Postgres refused or cannot be reached.
    """
    own_id = ranking_id(watch_id, exchange, bucket_end_at)
    tick: dict[str, object] = {
        "ranking_id": own_id,
        "watch_id": watch_id,
        "exchange": exchange,
        "bucket_end_at": bucket_end_at,
        "lead_seconds": lead_seconds,
        "score_rule": rule.name,
        "candidates": len(ranking.instrument_ids),
        "active": int(ranking.is_active.sum()),
        "lease_epoch": lease.epoch,
    }
    is_reported = any(abs(lead_seconds - lead) <= BUCKET_SECONDS / 2 for lead in REPORTED_LEADS)
    rows = _rows(own_id, bucket_end_at, ranking, len(ranking.rank) if is_reported else keep_z_of)
    try:
        try:
            return _write(engine, lease, tick, rows, bucket_end_at)
        except psycopg.errors.UndefinedTable:
            make_days(engine, [TARGET_RANKINGS], [bucket_end_at.date()])
            return _write(engine, lease, tick, rows, bucket_end_at)
        except psycopg.errors.UniqueViolation:
            return False  # another attempt of this watch was faster
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DatabaseError(f"cannot write the ranking of {exchange} at {bucket_end_at}: {reason}") from error


def read_ticks(engine: sa.Engine, watch_id: str) -> pl.DataFrame:
    """The ticks of a watch: columns of out.ranking_ticks, by exchange and time.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    tick = RANKING_TICKS.c
    return read_frame(engine, sa.select(RANKING_TICKS).where(tick.watch_id == watch_id).order_by(tick.exchange, tick.bucket_end_at))


def read_ranking(engine: sa.Engine, ranking_id: int, top: int | None = None) -> pl.DataFrame:
    """Who stood where at a tick: instrument_id, symbol (pair), base_symbol, rank, score, is_active, z; the most suspected first.

    Args:
        engine: the database.
        ranking_id: of the tick, see `read_ticks`.
        top: so many of the best; all where it is left out.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    ranked, listed, tick = TARGET_RANKINGS.c, INSTRUMENTS.c, RANKING_TICKS.c
    # Names the partition that holds the rows.
    bucket = sa.select(tick.bucket_end_at).where(tick.ranking_id == ranking_id).scalar_subquery()
    statement = (
        sa.select(ranked.instrument_id, listed.symbol, listed.base_symbol, ranked.rank, ranked.score, ranked.is_active, ranked.z)
        .select_from(TARGET_RANKINGS.outerjoin(INSTRUMENTS, listed.instrument_id == ranked.instrument_id))
        .where(ranked.ranking_id == ranking_id, ranked.bucket_end_at == bucket)
        .order_by(ranked.rank, ranked.instrument_id)
    )
    return read_frame(engine, statement if top is None else statement.limit(top))


def _rows(ranking_id: int, bucket_end_at: datetime, ranking: Ranking, keep_z_of: int) -> pl.DataFrame:
    """Rows of out.target_rankings; z as arrays of one length, which have a binary form."""
    width = ranking.z.shape[1]
    is_kept = np.argsort(np.argsort(ranking.rank, kind="stable")) < keep_z_of
    kept = pl.Series("z", ranking.z.astype(np.float32), dtype=pl.Array(pl.Float32, width))
    rows = pl.DataFrame(
        {
            "instrument_id": ranking.instrument_ids,
            "rank": ranking.rank,
            "score": ranking.score,
            "is_active": ranking.is_active,
        }
    ).with_columns(pl.lit(ranking_id).alias("ranking_id"), pl.lit(bucket_end_at).alias("bucket_end_at"))
    ready = conform(rows, TARGET_RANKINGS)
    return ready.with_columns(pl.when(pl.Series(is_kept)).then(kept).alias("z"))


def _write(engine: sa.Engine, lease: Lease, tick: dict[str, object], rows: pl.DataFrame, bucket_end_at: datetime) -> bool:
    partition = f'"{TARGET_RANKINGS.schema}"."{partition_name(TARGET_RANKINGS, bucket_end_at.date())}"'
    try:
        with engine.begin() as connection:
            check(connection, lease)
            is_there = sa.select(sa.literal(1)).where(RANKING_TICKS.c.ranking_id == tick["ranking_id"])
            if connection.execute(is_there).first() is not None:
                return False
            copy_binary(connection, partition, rows)
            # Last, so that lag_seconds holds the whole write.
            lag = sa.extract("epoch", sa.func.clock_timestamp() - sa.literal(bucket_end_at, sa.TIMESTAMP(timezone=True)))
            connection.execute(sa.insert(RANKING_TICKS).values(**tick, lag_seconds=lag))
    except DBAPIError as error:
        raise error.orig if isinstance(error.orig, psycopg.Error) else error from error
    return True
