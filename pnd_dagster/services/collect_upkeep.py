"""What a collector does by the hour beside collecting and retention: rollups of the hours that ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from pnd_dagster.market.windows import LAYOUT
from pnd_dagster.storage import transaction
from pnd_dagster.tables import BUCKET_COMMITS, INSTRUMENTS, METRIC_ROLLUPS

# Hours that are looked at again: what the ranking reads, as far as the database can have been away.
LOOK_BACK = timedelta(hours=72)
# Buckets of an hour come up to this long after its end, unless they were spilled.
SETTLED = timedelta(seconds=30)


class RollupClerk:
    """Rolls up each ended hour of an exchange once, and again when buckets of it were written later, or when `LAYOUT` is another.

    Args:
        engine: the platform's database.
        exchange: canonical id.
        roll_up: rolls up the hour that ends then; idempotent.
    """

    def __init__(self, engine: sa.Engine, exchange: str, roll_up: Callable[[datetime], object]) -> None:
        self._engine = engine
        self._exchange = exchange
        self._roll_up = roll_up
        # Hour -> commit of its last bucket when it was rolled up.
        self._done: dict[datetime, datetime] = {}

    def work(self, now: datetime) -> list[datetime]:
        """Rolls up what is due, oldest first. Returns the ends of those hours.

        Raises:
            DatabaseError: Postgres refused or is away.
        """
        commits, rollups = BUCKET_COMMITS.c, METRIC_ROLLUPS.c
        hour_end = sa.func.date_trunc("hour", commits.bucket_end_at - timedelta(microseconds=1)) + timedelta(hours=1)
        last_commit = sa.func.max(commits.committed_at)
        since = now - LOOK_BACK
        written = (
            sa.select(hour_end, last_commit, sa.func.bool_or(commits.is_spilled))
            .where(commits.exchange == self._exchange, commits.bucket_end_at > since, commits.bucket_end_at <= now - SETTLED)
            .group_by(hour_end)
            .having(hour_end <= now - SETTLED)
        )
        rolled_up = (
            sa.select(rollups.hour_end_at)
            .distinct()
            .join(INSTRUMENTS, INSTRUMENTS.c.instrument_id == rollups.instrument_id)
            .where(INSTRUMENTS.c.exchange == self._exchange, rollups.hour_end_at > since, rollups.layout == LAYOUT)
        )
        with transaction(self._engine) as connection:
            hours = connection.execute(written).all()
            known = set(connection.execute(rolled_up).scalars()) if any(hour not in self._done for hour, *_ in hours) else set[datetime]()
        worked: list[datetime] = []
        for hour, committed_at, has_spilled in sorted(hours):
            done = self._done.get(hour)
            # An earlier process may have been killed between late buckets and their rollup.
            is_due = committed_at > done if done else hour not in known or bool(has_spilled)
            if is_due:
                self._roll_up(hour)
                worked.append(hour)
            self._done[hour] = committed_at
        self._done = {hour: at for hour, at in self._done.items() if hour > since}
        return worked
