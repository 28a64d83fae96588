"""What the market and the ranking said of a coin before it was named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from pnd_dagster.alerts import facts, wording
from pnd_dagster.alerts.text import plain
from pnd_dagster.ranking.rules import RULES
from pnd_dagster.tables import CANDIDATE_COINS, INSTRUMENTS, ORDER_BOOK_METRICS, RANKING_TICKS, TARGET_RANKINGS, TRADE_METRICS

FIRST, AROUND = 5, 3
"""Of a ranking the first so many are shown, and so many before and after the coin."""

AROUND_RELEASE = timedelta(seconds=60)
LONGEST_SINCE = timedelta(seconds=15)
"""A ranking that is older says nothing of the moment that is asked for."""

Rows = list[dict[str, Any]]


def metrics(connection: sa.Connection, ids: Sequence[int], at: datetime) -> Rows:
    """Buckets of the coin's markets around its release."""
    book, trade = ORDER_BOOK_METRICS.c, TRADE_METRICS.c
    span = (at - AROUND_RELEASE, at + AROUND_RELEASE)
    books = sa.select(
        book.instrument_id, book.bucket_end_at, book.mid_price, book.relative_spread, book.order_book_pressure, book.best_level_flow
    ).where(book.instrument_id.in_(ids), book.bucket_end_at.between(*span))
    trades = sa.select(
        trade.instrument_id, trade.bucket_end_at, trade.trade_count, trade.quote_volume, trade.taker_buy_volume, trade.vwap
    ).where(trade.instrument_id.in_(ids), trade.bucket_end_at.between(*span))
    merged: dict[tuple[datetime, int], dict[str, Any]] = {}
    for row in (*facts.rows(connection, books), *facts.rows(connection, trades)):
        merged.setdefault((row["bucket_end_at"], row["instrument_id"]), {}).update(row)
    names = (
        "mid_price",
        "relative_spread",
        "order_book_pressure",
        "best_level_flow",
        "trade_count",
        "quote_volume",
        "taker_buy_volume",
        "vwap",
    )
    return [
        {
            "instrument_id": instrument_id,
            "bucket_end_at": facts.iso(bucket),
            "seconds_to_release": round((bucket - at).total_seconds()),
            **{name: _number(row.get(name)) for name in names},
        }
        for (bucket, instrument_id), row in sorted(merged.items())
    ]


def ticks(connection: sa.Connection, watch: facts.Row, exchange: str, at: datetime) -> dict[int, facts.Row]:
    """The last tick that was ranked so many seconds before `at`, by offset; 0 is the last before it."""
    tick = RANKING_TICKS.c
    found: dict[int, facts.Row] = {}
    for offset in (*facts.OFFSETS, 0):
        until = at - timedelta(seconds=offset)
        statement = (
            sa.select(RANKING_TICKS)
            .where(tick.watch_id == watch["watch_id"], tick.exchange == exchange)
            .where(tick.bucket_end_at.between(until - LONGEST_SINCE, until))
            .order_by(tick.bucket_end_at.desc())
            .limit(1)
        )
        if last := facts.rows(connection, statement):
            found[offset] = last[0]
    return found


def z(connection: sa.Connection, ticks: Mapping[int, facts.Row], ids: Sequence[int]) -> tuple[Rows, str | None]:
    """z of the coin by metric and horizon, the furthest at the last offset first; and why some are left out."""
    ranked = TARGET_RANKINGS.c
    table: dict[tuple[str, int], dict[str, Any]] = {}
    note = None
    for offset in (offset for offset in facts.OFFSETS if offset in ticks):
        tick = ticks[offset]
        row = connection.execute(
            sa.select(ranked.z)
            .where(ranked.ranking_id == tick["ranking_id"], ranked.bucket_end_at == tick["bucket_end_at"], ranked.instrument_id.in_(ids))
            .where(ranked.z.is_not(None))
            .order_by(ranked.rank)
        ).first()
        if row is None:
            continue
        rule = RULES.get(tick["score_rule"])
        if rule is None or len(row[0]) != len(rule.columns):
            note = f"z-scores of {offset} s before: they were made by another version of rule {tick['score_rule']}"
            continue
        places = [(metric, horizon) for metric in rule.metrics for horizon in rule.horizons]
        for (metric, horizon), value in zip(places, row[0], strict=True):
            cell = table.setdefault(
                (metric, horizon), {"metric": metric, "horizon_seconds": horizon, **{f"z_{one}s": None for one in facts.OFFSETS}}
            )
            cell[f"z_{offset}s"] = facts.rounded(value)
    nearest = f"z_{facts.OFFSETS[-1]}s"
    return sorted(table.values(), key=lambda row: -abs(row[nearest] or 0)), note


def ranking(connection: sa.Connection, ticks: Mapping[int, facts.Row], ids: Sequence[int]) -> Rows:
    """The first of the last ranking before the release, and those around the coin."""
    if not ticks:
        return []
    tick = ticks.get(0) or ticks[min(ticks)]
    ranked, listing = TARGET_RANKINGS.c, INSTRUMENTS.c
    statement = (
        sa.select(ranked.rank, ranked.score, ranked.is_active, ranked.instrument_id, listing.symbol)
        .join_from(TARGET_RANKINGS, INSTRUMENTS, listing.instrument_id == ranked.instrument_id, isouter=True)
        .where(ranked.ranking_id == tick["ranking_id"], ranked.bucket_end_at == tick["bucket_end_at"])
        .order_by(ranked.rank, ranked.instrument_id)
    )
    everyone = facts.rows(connection, statement)
    own = [place for place, row in enumerate(everyone) if row["instrument_id"] in ids]
    shown = {place for place in range(len(everyone)) if place < FIRST or any(abs(place - one) <= AROUND for one in own)}
    return [
        {
            "rank": facts.rounded(row["rank"]),
            "symbol": plain(row["symbol"], wording.SYMBOL_CHARACTERS),
            "score": facts.rounded(row["score"]),
            "is_active": row["is_active"],
            "is_target": place in own,
            "bucket_end_at": facts.iso(tick["bucket_end_at"]),
        }
        for place, row in enumerate(everyone)
        if place in shown
    ]


def filter_decisions(connection: sa.Connection, ids: Sequence[int], at: datetime) -> Rows:
    """The last decision of the market-cap filter by then, of each of the coin\'s markets."""
    candidate = CANDIDATE_COINS.c
    statement = (
        sa.select(CANDIDATE_COINS)
        .distinct(candidate.instrument_id)
        .where(candidate.instrument_id.in_(ids), candidate.as_of_date <= at.date())
        .order_by(candidate.instrument_id, candidate.as_of_date.desc())
    )
    names = ("instrument_id", "symbol", "is_candidate", "reason", "market_cap_usd", "cap_source")
    return [{"as_of_date": str(row["as_of_date"]), **{name: row[name] for name in names}} for row in facts.rows(connection, statement)]


def _number(value: Any) -> float | int | None:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, int) else float(f"{value:.6g}")
