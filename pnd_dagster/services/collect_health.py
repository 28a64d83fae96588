"""How a collector is: what it says in core.heartbeats, and to a person in the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.storage import transaction, upsert
from pnd_dagster.tables import HEARTBEATS

STANDBY, LEADING, STOPPED = "standing by", "leading", "stopped"


class ShardStatus(NamedTuple):
    """How the collector of one shard is.

    Attributes:
        exchange, shard: which.
        state: "standing by", "leading", "stopped", or why it does not collect.
        connected, connections: of the feed.
        watched, seen: instruments; seen are those that were in sight through the last bucket.
        messages_per_second: books and trades of the last bucket.
        lag_p50_seconds, lag_p99_seconds: from a bucket's end to its commit, of the last 100; None before the first.
        buckets, rejected, duplicates: since it leads.
        waiting, spill_bytes: ticks that wait for the database, and what they take on disk.
        refused: listings that the exchange refuses.
        last_error: what went wrong last.
    """

    exchange: str
    shard: str
    state: str
    connected: int = 0
    connections: int = 0
    watched: int = 0
    seen: int = 0
    messages_per_second: float = 0.0
    lag_p50_seconds: float | None = None
    lag_p99_seconds: float | None = None
    buckets: int = 0
    rejected: int = 0
    duplicates: int = 0
    waiting: int = 0
    spill_bytes: int = 0
    refused: int = 0
    last_error: str | None = None

    @property
    def gaps(self) -> int:
        """Instruments that are out of sight."""
        return self.watched - self.seen


def service_name(exchange: str, shard: object) -> str:
    """Name of a shard's lease and heartbeat, e.g. `collect:kucoin:1/1`."""
    return f"collect:{exchange}:{shard}"


def percentiles(lags: Sequence[float]) -> tuple[float | None, float | None]:
    """Median and 99th percentile, None without any."""
    if not lags:
        return None, None
    p50, p99 = np.percentile(list(lags), [50, 99])
    return float(p50), float(p99)


def beat(engine: sa.Engine, status: ShardStatus, *, lag_seconds: float | None, is_healthy: bool) -> None:
    """Writes the shard's row of core.heartbeats.

    Raises:
        DatabaseError: Postgres is away.
    """
    row = {
        "name": service_name(status.exchange, status.shard),
        "beat_at": datetime.now(UTC),
        "lag_seconds": lag_seconds,
        "is_healthy": is_healthy,
        "details": json.dumps(status._asdict()),
    }
    upsert(engine, HEARTBEATS, pl.DataFrame([row], schema_overrides={"lag_seconds": pl.Float64}))


def was_stopped(engine: sa.Engine, exchange: str, shard: object) -> bool:
    """Whether the shard's last collector ended by its own will, rather than being killed.

    Raises:
        DatabaseError: Postgres is away.
    """
    state = sa.select(HEARTBEATS.c.details["state"].astext).where(HEARTBEATS.c.name == service_name(exchange, shard))
    with transaction(engine) as connection:
        return connection.execute(state).scalar_one_or_none() == STOPPED
