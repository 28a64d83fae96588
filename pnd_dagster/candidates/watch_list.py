"""Which markets of an exchange are watched now."""

from __future__ import annotations

import logging
from datetime import date

import polars as pl
import sqlalchemy as sa

from pnd_dagster.storage import read_frame
from pnd_dagster.tables import CANDIDATE_COINS, INSTRUMENTS

log = logging.getLogger(__name__)


def watch_list(engine: sa.Engine, exchange: str, day: date) -> pl.DataFrame:
    """The exchange's listed markets that are candidates, by symbol: instrument_id, symbol, market_id, base_id, quote_id.

    The latest decisions up to `day` count. A market listed since then is watched until it is decided on: new coins are small. Where
    nothing was ever decided, all listed markets but derivative tokens are watched, which is logged.
    """
    candidate, listing = CANDIDATE_COINS.c, INSTRUMENTS.c
    latest = (
        sa.select(sa.func.max(candidate.as_of_date)).where(candidate.exchange == exchange, candidate.as_of_date <= day).scalar_subquery()
    )
    decided = (
        sa.select(candidate.instrument_id, candidate.as_of_date, candidate.is_candidate)
        .where(candidate.exchange == exchange, candidate.as_of_date == latest)
        .subquery()
    )
    frame = read_frame(
        engine,
        sa.select(listing.instrument_id, listing.symbol, listing.market_id, listing.base_id, listing.quote_id, decided.c.as_of_date)
        .join_from(INSTRUMENTS, decided, decided.c.instrument_id == listing.instrument_id, isouter=True)
        .where(
            listing.exchange == exchange,
            listing.valid_to.is_(None),
            sa.func.coalesce(decided.c.is_candidate, ~listing.is_derivative),
        )
        .order_by(listing.symbol, listing.instrument_id),
    )
    as_of = frame["as_of_date"].max()
    if as_of is None:
        log.warning("%s: no candidates were chosen up to %s; watching all %d listed markets", exchange, day, frame.height)
    elif as_of != day:
        log.info("%s: watching the candidates of %s", exchange, as_of)
    return frame.drop("as_of_date")
