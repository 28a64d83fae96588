"""One exchange of a watch: its candidates, their windows, and their ranking at a bucket."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from pnd_dagster.candidates.watch_list import watch_list
from pnd_dagster.market.book_metrics import Integers
from pnd_dagster.ranking.ranking import Ranking, rank
from pnd_dagster.ranking.rolling import Windows, load_windows
from pnd_dagster.ranking.rules import ScoreRule
from pnd_dagster.ranking.store import write_ranking
from pnd_dagster.services.watch_orders import Order
from pnd_dagster.storage.leases import Lease

log = logging.getLogger(__name__)


class RankedTick(NamedTuple):
    """A ranking as it was written.

    Attributes:
        exchange, bucket_end_at: what was ranked.
        lead_seconds: from the bucket's end to the announced start; negative after it.
        ranking: who stands where.
        symbols: pairs, in the ranking's order.
        rule: what scored.
    """

    exchange: str
    bucket_end_at: datetime
    lead_seconds: float
    ranking: Ranking
    symbols: Sequence[str]
    rule: ScoreRule


class WatchedMarket:
    """The candidates of one exchange with their windows.

    Args:
        engine: the database.
        exchange: canonical id.
        rule: what scores.
        until: end of the bucket up to which the history is loaded; candidates are those of its day.

    Raises:
        DatabaseError: Postgres refused or cannot be reached.
    """

    def __init__(self, engine: sa.Engine, exchange: str, rule: ScoreRule, until: datetime) -> None:
        candidates = watch_list(engine, exchange, until.date()).sort("instrument_id")
        self._engine, self._rule = engine, rule
        self.exchange = exchange
        self.symbols: list[str] = candidates["symbol"].to_list()
        self._ids: Integers = candidates["instrument_id"].to_numpy()
        self._windows: Windows | None = load_windows(engine, exchange, self._ids, until, rule) if len(self._ids) else None
        self._ranked_at: datetime | None = None

    def rank(self, lease: Lease, order: Order, bucket_end_at: datetime) -> RankedTick | None:
        """Reads what was committed since, ranks at that bucket, and writes the ranking; a tick that was written before stays as it was.

        Returns:
            The ranking; None where there are no candidates, or the bucket is not newer than the one that was ranked last.

        Raises:
            LeaseLostError: somebody else holds the watch now.
            DatabaseError: Postgres refused or cannot be reached; it may be called again.
        """
        windows = self._windows
        if windows is None or (self._ranked_at is not None and bucket_end_at <= self._ranked_at):
            return None
        windows.catch_up(self._engine, bucket_end_at)
        lead_seconds = (order.scheduled_at - bucket_end_at).total_seconds()
        ranking = rank(self._ids, windows.values, windows.history, self._rule)
        write_ranking(self._engine, lease, order.watch_id, self.exchange, bucket_end_at, lead_seconds, self._rule, ranking)
        self._ranked_at = bucket_end_at
        return RankedTick(self.exchange, bucket_end_at, lead_seconds, ranking, self.symbols, self._rule)
