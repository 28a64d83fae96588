"""When there is something new to rank: buckets that all shards of an exchange committed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa

from pnd_dagster.market.metric_store import CHANNEL
from pnd_dagster.storage import transaction
from pnd_dagster.tables import BUCKET_COMMITS, LEASES

LATEST = timedelta(minutes=5)
log = logging.getLogger(__name__)


class Newest(NamedTuple):
    """The newest bucket of an exchange that can be ranked, and whether a newer one waits for a shard."""

    bucket_end_at: datetime | None
    is_waiting: bool


def newest_buckets(engine: sa.Engine, exchanges: Iterable[str], now: datetime, straggler_seconds: float) -> dict[str, Newest]:
    """Per exchange the newest bucket that every shard with a living collector committed, or that has waited for the others for so long.

    Buckets of longer than `LATEST` before `now` are no news: their collector stands still.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """
    commit, lease, clock = BUCKET_COMMITS.c, LEASES.c, sa.func.clock_timestamp()
    names = list(exchanges)
    buckets = (
        sa.select(
            commit.exchange,
            commit.bucket_end_at,
            sa.func.array_agg(commit.shard).label("shards"),
            sa.extract("epoch", clock - sa.func.min(commit.committed_at)).label("age_seconds"),
        )
        .where(commit.exchange.in_(names), commit.bucket_end_at > now - LATEST)
        .group_by(commit.exchange, commit.bucket_end_at)
        .order_by(commit.bucket_end_at)
    )
    leading = sa.select(lease.name).where(lease.name.startswith("collect:"), lease.expires_at > clock)
    with transaction(engine) as connection:
        rows = connection.execute(buckets).all()
        led = [str(name).split(":") for (name,) in connection.execute(leading)]
    found = {name: Newest(None, False) for name in names}
    for exchange, bucket_end_at, shards, age_seconds in rows:
        alive = {parts[2] for parts in led if parts[1] == exchange}
        is_complete = alive.issubset(shards) or age_seconds >= straggler_seconds
        found[exchange] = Newest(bucket_end_at, False) if is_complete else found[exchange]._replace(is_waiting=True)
    return found


class CommitBell:
    """Rings when a collector has committed a bucket; without a connection it is a clock.

    Args:
        engine: the database that is listened to, on a connection of its own.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, seconds: float) -> None:
        """Returns at the next commit of any exchange, at the latest after `seconds`."""
        until = time.monotonic() + seconds
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5, application_name="pnd watch")
                self._connection.execute(f"LISTEN {CHANNEL}".encode())
                # Something may have been committed before we listened.
                return
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                return
        except psycopg.Error as error:
            log.warning("commits are polled: %s", str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
            self.close()
            time.sleep(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
