"""Counts of links and decisions, for metadata."""

from __future__ import annotations

from datetime import date

import polars as pl
import sqlalchemy as sa

from pnd_dagster.storage import read_frame
from pnd_dagster.tables import CANDIDATE_COINS, COIN_LINKS, INSTRUMENTS


def link_methods(engine: sa.Engine) -> pl.DataFrame:
    """Listed instruments by exchange and how they were linked: exchange, method, instruments."""
    link, listing = COIN_LINKS.c, INSTRUMENTS.c
    return read_frame(
        engine,
        sa.select(listing.exchange, link.method, sa.func.count().label("instruments"))
        .join_from(COIN_LINKS, INSTRUMENTS, listing.instrument_id == link.instrument_id)
        .where(listing.valid_to.is_(None))
        .group_by(listing.exchange, link.method)
        .order_by(listing.exchange, link.method),
    )


def not_linked(engine: sa.Engine, rows: int = 50) -> pl.DataFrame:
    """Listed instruments that no coin was found for: exchange, symbol, reason."""
    link, listing = COIN_LINKS.c, INSTRUMENTS.c
    return read_frame(
        engine,
        sa.select(listing.exchange, listing.symbol, link.reason)
        .join_from(COIN_LINKS, INSTRUMENTS, listing.instrument_id == link.instrument_id)
        .where(link.coin_id.is_(None), listing.valid_to.is_(None), ~listing.is_derivative)
        .order_by(listing.exchange, listing.symbol)
        .limit(rows),
    )


def decisions_per_day(engine: sa.Engine, days: tuple[date, date]) -> pl.DataFrame:
    """Instruments decided on by day, from the first to before the second of `days`: day, row_count."""
    candidate = CANDIDATE_COINS.c
    return read_frame(
        engine,
        sa.select(candidate.as_of_date.label("day"), sa.func.count().label("row_count"))
        .where(candidate.as_of_date >= days[0], candidate.as_of_date < days[1])
        .group_by(candidate.as_of_date),
    )


def decisions(engine: sa.Engine, day: date) -> pl.DataFrame:
    """A day's decisions: exchange, cap_source, instruments, candidates."""
    candidate = CANDIDATE_COINS.c
    return read_frame(
        engine,
        sa.select(
            candidate.exchange,
            candidate.cap_source,
            sa.func.count().label("instruments"),
            sa.func.count().filter(candidate.is_candidate).label("candidates"),
        )
        .where(candidate.as_of_date == day)
        .group_by(candidate.exchange, candidate.cap_source)
        .order_by(candidate.exchange, candidate.cap_source),
    )
