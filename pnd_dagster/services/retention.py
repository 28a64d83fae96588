"""What is removed after a while, and the day partitions that are made ahead: by every collector each hour, and by Dagster each day.

Metrics, rankings of every candidate, commits and gaps are kept for PND_METRICS_RETENTION_DAYS. What a watch was worth stays for ever:
out.watches, out.ranking_ticks, out.watch_results and out.alerts, which hold the leaders with the reasons that were given; so do rollups.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from pnd_dagster.market.metric_store import METRIC_TABLES
from pnd_dagster.services.watch_orders import lease_name
from pnd_dagster.storage import transaction
from pnd_dagster.storage.partitions import drop_before, make_ahead
from pnd_dagster.tables import BUCKET_COMMITS, FEED_GAPS, LEASES, TARGET_RANKINGS

DAY_TABLES = (*METRIC_TABLES, TARGET_RANKINGS)
LEASES_KEPT = timedelta(days=1)
"""A watch whose lease expired so long ago is over; its name is never leased again."""


class Kept(NamedTuple):
    """Names of the partitions that were made and dropped, and how many leases of watches were removed."""

    made: list[str]
    dropped: list[str]
    leases: int


def keep_retention(engine: sa.Engine, retention_days: int) -> Kept:
    """Makes day partitions ahead, and removes what is past its time. Several processes may do so at once; run twice, nothing changes.

    Args:
        engine: the platform's database.
        retention_days: days before today that are kept.

    Raises:
        DatabaseError: Postgres refused or is away.
    """
    made = make_ahead(engine, DAY_TABLES)
    first_kept = datetime.now(UTC).date() - timedelta(days=retention_days)
    dropped = drop_before(engine, DAY_TABLES, first_kept)
    midnight = datetime.combine(first_kept, datetime.min.time(), UTC)
    lease = LEASES.c
    is_over = sa.and_(lease.name.startswith(lease_name("")), lease.expires_at < sa.func.clock_timestamp() - LEASES_KEPT)
    with transaction(engine) as connection:
        connection.execute(sa.delete(BUCKET_COMMITS).where(BUCKET_COMMITS.c.bucket_end_at <= midnight))
        connection.execute(sa.delete(FEED_GAPS).where(FEED_GAPS.c.ended_at <= midnight))
        leases = connection.execute(sa.delete(LEASES).where(is_over)).rowcount
    return Kept(made, dropped, leases)
