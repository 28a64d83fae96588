"""The backtest of this installation: of its files of real pumps, else of a few made-up ones; stored, and in frames to be shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.backtest.backtest import Backtest, Plan, backtest, sources_of
from pnd_dagster.backtest.market_data import read_market
from pnd_dagster.backtest.placings import relative_scores
from pnd_dagster.backtest.signal_curve import signal_curve
from pnd_dagster.backtest.store import Origin, hash_of, write_backtest
from pnd_dagster.errors import SettingError
from pnd_dagster.ranking.rules import of_source, rule_by_name
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.pump_history import write_pump_history
from pnd_dagster.storage import Written

FILES = Plan(has_ablations=True)
MADE_UP = Plan(offsets=(20, 40, 60), draws=10)
MADE_UP_EVENTS = 8
MADE_UP_STRENGTH = 0.3
_RANKS_PER_BAR = 5

Log = Callable[[str], None]


class Report(NamedTuple):
    """A stored backtest.

    Attributes:
        data: its name.
        is_synthetic: True for made-up markets.
        written: rows of out.ranking_backtest.
        found: offsets counted from the announced start.
        from_onset: offsets counted from the market's own start; None for made-up markets, whose announcements are exact.
        notes: what a reader should know, a line each.
    """

    data: str
    is_synthetic: bool
    written: Written
    found: Backtest
    from_onset: Backtest | None
    notes: list[str]


def store_backtest(engine: sa.Engine, settings: Settings, now: datetime, on_progress: Log = lambda what: None) -> Report:
    """Runs the backtest on PND_BACKTEST_TRADES and PND_BACKTEST_EVENTS, without them on made-up pumps, and stores it.

    Args:
        engine: the database.
        settings: names the files.
        now: when it is computed.
        on_progress: told what is done now.

    Raises:
        SettingError: only one of the two files is set.
        SourceError: a file cannot be read or does not fit.
        DatabaseError: Postgres refused.
    """
    if (settings.backtest_trades is None) != (settings.backtest_events is None):
        raise SettingError("PND_BACKTEST_TRADES and PND_BACKTEST_EVENTS belong together; set both or none")
    if settings.backtest_trades and settings.backtest_events:
        return _of_files(engine, settings.backtest_events, settings.backtest_trades, now, on_progress)
    with TemporaryDirectory() as folder:
        trades, books, events = write_pump_history(Path(folder), events=MADE_UP_EVENTS, strength=MADE_UP_STRENGTH)
        data = read_market(events, trades, books)
    plan = MADE_UP._replace(sources=tuple(sources_of(data)))
    found = backtest(data, plan, _by_what(on_progress))
    name = f"made-up pumps, strength {MADE_UP_STRENGTH}"
    origin = Origin(name, is_synthetic=True, data_hash=hash_of((plan, name, MADE_UP_EVENTS)), computed_at=now)
    return Report(name, True, write_backtest(engine, origin, found.results, found.events), found, None, data.notes)


def store_signal_curve(engine: sa.Engine, now: datetime, coins: int, events: int, on_progress: Log = lambda what: None) -> pl.DataFrame:
    """Measures TOP-k against the declared strength of a made-up signal, and stores it; see `signal_curve`."""
    curve = signal_curve(coins=coins, events=events, on_progress=_by_what(on_progress))
    for (strength,), rows in curve.group_by("strength", maintain_order=True):
        name = f"made-up market, strength {strength}"
        origin = Origin(name, is_synthetic=True, data_hash=hash_of((name, coins, events)), computed_at=now)
        write_backtest(engine, origin, rows.drop("strength"), None)
    return curve


def rank_distribution(found: Backtest, source: str) -> pl.DataFrame:
    """How many pumped coins stood at which mean rank by the default rule (paper, Figure 7): offset, rank (first of five), events."""
    return (
        found.events.filter(pl.col("source") == source, pl.col("rule") == "default")
        .group_by(
            pl.format("{} s", "offset_seconds").alias("offset"),
            rank=((pl.col("mean_rank") - 1) // _RANKS_PER_BAR * _RANKS_PER_BAR + 1).cast(pl.Int64),
        )
        .agg(events=pl.len())
        .sort("offset", "rank")
    )


def scores_around_pumps(found: Backtest, source: str) -> pl.DataFrame:
    """Scores of all coins of one pool per event at the smallest offset (paper, Figure 2): event_id, score, is_pumped."""
    smallest = found.pools.offsets.index(min(found.pools.offsets))
    return relative_scores(found.pools, of_source(rule_by_name("default"), source), smallest)


def _of_files(engine: sa.Engine, events: Path, trades: Path, now: datetime, on_progress: Log) -> Report:
    plan, name = FILES, trades.stem
    data_hash = hash_of(plan, (events, trades))
    data, moved = read_market(events, trades, None), read_market(events, trades, None, is_onset=True)
    found = backtest(data, plan, _by_what(on_progress))
    from_onset = backtest(moved, plan._replace(has_ablations=False), _by_what(on_progress))
    written = write_backtest(engine, Origin(name, False, data_hash, now), found.results, found.events)
    written += write_backtest(engine, Origin(f"{name}, from onset", False, data_hash, now), from_onset.results, from_onset.events)
    return Report(name, False, written, found, from_onset, list(dict.fromkeys((*data.notes, *moved.notes))))


def _by_what(on_progress: Log) -> Callable[[int, int, str], None]:
    """Tells each thing that is done once."""
    told = set[str]()

    def tell(_done: int, _all: int, what: str) -> None:
        if what not in told:
            told.add(what)
            on_progress(what)

    return tell
