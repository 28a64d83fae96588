"""Chooses the candidates of a day from the database, and counts which coins pass."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.candidates.market_cap import MAX_CAP_AGE, decide
from pnd_dagster.storage import NOTHING_WRITTEN, Written, read_frame, replace_window
from pnd_dagster.tables import CANDIDATE_COINS, COIN_LINKS, COINCODEX_DAILY, COINMARKETCAP_SNAPSHOTS, INSTRUMENTS, PUMP_EVENTS

# 4,400 instruments of a month are 140,000 rows.
DAYS_PER_COMMIT = 31
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


class Chosen(NamedTuple):
    """What a choice wrote; `counts` of instruments, candidates, and instruments by source of the capitalisation."""

    written: Written
    counts: dict[str, int]


class PassShares(NamedTuple):
    """How many instruments, and how many of those that were ever pumped, pass the filter; a share of nothing is None."""

    instruments: int
    candidates: int
    pumped: int
    pumped_candidates: int

    @property
    def share(self) -> float | None:
        """Share of all instruments that pass."""
        return self.candidates / self.instruments if self.instruments else None

    @property
    def pumped_share(self) -> float | None:
        """Share of the pumped instruments that pass; 95.7% in the paper."""
        return self.pumped_candidates / self.pumped if self.pumped else None


def choose_candidates(engine: sa.Engine, day: date, max_cap_usd: float) -> Chosen:
    """Decides on every instrument that was listed on the day (`market_cap.decide`) and makes core.candidate_coins of the day equal to that.

    No capitalisation that became known after the day's end is used; the links from instruments to coins are those of today. Run twice,
    nothing changes.
    """
    decisions = _decisions(engine, day, day, max_cap_usd)
    written = replace_window(engine, CANDIDATE_COINS, decisions, CANDIDATE_COINS.c.as_of_date == day)
    sources = dict(decisions.group_by("cap_source").len().sort("cap_source").iter_rows())
    return Chosen(written, {"instruments": decisions.height, "candidates": int(decisions["is_candidate"].sum()), **sources})


def choose_candidates_of_days(engine: sa.Engine, days: tuple[date, date], max_cap_usd: float) -> Written:
    """`choose_candidates` for all days from the first to before the second of `days`, `DAYS_PER_COMMIT` in one pass."""
    written = NOTHING_WRITTEN
    first, end = days
    while first < end:
        last = min(first + timedelta(days=DAYS_PER_COMMIT), end) - timedelta(days=1)
        decisions = _decisions(engine, first, last, max_cap_usd)
        written += replace_window(engine, CANDIDATE_COINS, decisions, CANDIDATE_COINS.c.as_of_date.between(first, last))
        first = last + timedelta(days=1)
    return written


def pass_shares(engine: sa.Engine, day: date) -> PassShares:
    """Shares of the day's instruments that pass: of all, and of those whose coin was pumped on that exchange by the day's end."""
    candidate, listing, event = CANDIDATE_COINS.c, INSTRUMENTS.c, PUMP_EVENTS.c
    was_pumped = sa.exists().where(
        event.exchange == candidate.exchange,
        event.symbol == listing.base_symbol,
        event.released_at < _midnight(day) + timedelta(days=1),
    )
    frame = read_frame(
        engine,
        sa.select(candidate.is_candidate, was_pumped.label("was_pumped"))
        .join_from(CANDIDATE_COINS, INSTRUMENTS, listing.instrument_id == candidate.instrument_id)
        .where(candidate.as_of_date == day),
    )
    pumped = frame.filter("was_pumped")
    return PassShares(frame.height, int(frame["is_candidate"].sum()), pumped.height, int(pumped["is_candidate"].sum()))


def _decisions(engine: sa.Engine, first: date, last: date, max_cap_usd: float) -> pl.DataFrame:
    return decide(
        _listed(engine, first, last), _snapshots(engine, first, last), _histories(engine, first, last), _identities(engine), max_cap_usd
    )


def _listed(engine: sa.Engine, first: date, last: date) -> pl.DataFrame:
    """Each instrument on each day on which it was listed, if only for a part of it."""
    listing, link = INSTRUMENTS.c, COIN_LINKS.c
    instruments = read_frame(
        engine,
        sa.select(
            listing.instrument_id,
            listing.exchange,
            listing.symbol,
            listing.is_derivative,
            listing.derivative_of,
            listing.valid_from,
            listing.valid_to,
            link.coin_id,
            link.reason.label("link_reason"),
        )
        .join_from(INSTRUMENTS, COIN_LINKS, link.instrument_id == listing.instrument_id, isouter=True)
        .order_by(listing.instrument_id),
    )
    starts = pl.datetime_range(_midnight(first), _midnight(last), "1d", time_zone="UTC", eager=True)
    days = pl.DataFrame({"start": starts, "as_of_date": starts.dt.date()})
    was_there = (pl.col("valid_from") < pl.col("start") + timedelta(days=1)) & (pl.col("valid_to").fill_null(FOREVER) > pl.col("start"))
    return instruments.join(days, how="cross").filter(was_there).drop("start", "valid_from", "valid_to")


def _snapshots(engine: sa.Engine, first: date, last: date) -> pl.DataFrame:
    snapshot = COINMARKETCAP_SNAPSHOTS.c
    return read_frame(
        engine,
        sa.select(snapshot.coin_id, snapshot.snapshot_at, snapshot.market_cap_usd, snapshot.self_reported_market_cap_usd).where(
            snapshot.snapshot_at.between(_midnight(first) - MAX_CAP_AGE, _midnight(last) + timedelta(days=1)),
            snapshot.coin_id.in_(sa.select(COIN_LINKS.c.coin_id)),
        ),
    )


def _histories(engine: sa.Engine, first: date, last: date) -> pl.DataFrame:
    history = COINCODEX_DAILY.c
    return read_frame(
        engine,
        sa.select(history.symbol, history.name, history.coin_id.label("codex_id"), history.day, history.market_cap_usd).where(
            history.day.between(first - MAX_CAP_AGE, last)
        ),
    )


def _identities(engine: sa.Engine) -> pl.DataFrame:
    """Symbol and name of each linked coin, as CoinMarketCap gave them first and last."""
    snapshot = COINMARKETCAP_SNAPSHOTS.c
    span = (
        sa.select(snapshot.coin_id, sa.func.min(snapshot.snapshot_at).label("first_at"), sa.func.max(snapshot.snapshot_at).label("last_at"))
        .where(snapshot.coin_id.in_(sa.select(COIN_LINKS.c.coin_id)))
        .group_by(snapshot.coin_id)
        .subquery()
    )
    is_first_or_last = sa.and_(span.c.coin_id == snapshot.coin_id, snapshot.snapshot_at.in_((span.c.first_at, span.c.last_at)))
    return read_frame(
        engine,
        sa.select(snapshot.coin_id, snapshot.symbol, snapshot.name).distinct().join_from(COINMARKETCAP_SNAPSHOTS, span, is_first_or_last),
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
