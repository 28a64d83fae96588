"""Which instruments a feed does not see, since when and why: rows of core.feed_gaps."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl

from pnd_dagster.tables import FEED_GAPS, polars_schema


class Gap(NamedTuple):
    """A span out of sight that lasts: its start in Unix seconds, and why."""

    since: float
    reason: str


class GapBook:
    """The gaps of one shard. Instruments that share start and reason are one row; when some come back the row splits.

    Args:
        exchange: canonical id.
        shard: i/n.
    """

    def __init__(self, exchange: str, shard: str) -> None:
        self._exchange = exchange
        self._shard = shard
        self._gaps: dict[int, Gap] = {}
        self._members: defaultdict[Gap, set[int]] = defaultdict(set)
        self._ended_at: dict[int, float] = {}
        self._changed: set[Gap] = set()
        self._ended: defaultdict[Gap, dict[int, float]] = defaultdict(dict)

    def open_ids(self) -> set[int]:
        """Instruments that are out of sight now."""
        return set(self._gaps)

    def open(self, instrument_ids: Iterable[int], since: float, reason: str) -> None:
        """These are out of sight since then; who is so already stays with what was said first."""
        for instrument_id in instrument_ids:
            if instrument_id in self._gaps:
                continue
            # No two gaps of an instrument overlap.
            gap = Gap(max(since, self._ended_at.get(instrument_id, since)), reason)
            self._gaps[instrument_id] = gap
            self._members[gap].add(instrument_id)
            self._changed.add(gap)

    def end(self, instrument_ids: Iterable[int], at: float) -> None:
        """These are seen again; who was never out of sight is passed over."""
        for instrument_id in instrument_ids:
            gap = self._gaps.pop(instrument_id, None)
            if gap is None:
                continue
            self._members[gap].discard(instrument_id)
            self._ended_at[instrument_id] = self._ended[gap][instrument_id] = max(at, gap.since)
            self._changed.add(gap)

    def rows(self) -> pl.DataFrame:
        """Rows of core.feed_gaps that changed since the last call, to be upserted.

        Instruments of a gap that came back between two calls share a row, which ends when the last of them was seen.
        """
        rows = [self._row(gap, list(ended), max(ended.values())) for gap, ended in self._ended.items()]
        rows += [self._row(gap, list(self._members[gap]), None) for gap in self._changed if self._members[gap]]
        for gap in self._changed:
            if not self._members[gap]:
                del self._members[gap]
        self._changed.clear()
        self._ended.clear()
        return pl.DataFrame(rows, schema=polars_schema(FEED_GAPS), orient="row")

    def _row(self, gap: Gap, instrument_ids: list[int], ended_at: float | None) -> tuple[object, ...]:
        # The first instrument names the row: of the parts a row splits into, one overwrites it.
        instrument_ids.sort()
        key = f"{self._exchange} {self._shard} {instrument_ids[0]} {gap.since:.6f}"
        gap_id = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        ended = None if ended_at is None else datetime.fromtimestamp(ended_at, UTC)
        return gap_id, self._exchange, self._shard, instrument_ids, datetime.fromtimestamp(gap.since, UTC), ended, gap.reason
