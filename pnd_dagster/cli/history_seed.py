"""Three days of history for the demo: what the simulated exchanges would have streamed, in core.metric_rollups.

Their own markets run for some minutes of market time without a network, through the collector's code; hours are drawn from that in blocks
(a block bootstrap). So that it takes seconds, a dozen hours are drawn, and the three days repeat them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.market.bucket_grid import densify
from pnd_dagster.market.rollups import roll_up, rollup_rows
from pnd_dagster.market.state import Instrument, MarketState
from pnd_dagster.market.tick import Tick, TickComputer
from pnd_dagster.market.windows import Grid
from pnd_dagster.simulator.exchanges.market import Market
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.universe import make_universe
from pnd_dagster.storage import read_frame, transaction
from pnd_dagster.storage.bulk import copy_rows
from pnd_dagster.tables import BUCKET_SECONDS, INSTRUMENTS, METRIC_ROLLUP_BLOCKS, METRIC_ROLLUPS, conform

HOURS = 72
DRAWN_HOURS = 12
# Market time that is played, without its first minute, in which books fill; and what hours are drawn of.
MINUTES, SETTLING_MINUTES = 11, 1
BLOCK_BUCKETS = 40
# Books are looked at so often, about as often as the exchanges send them.
STEP_SECONDS = 0.25
_BUCKETS_PER_HOUR = 3600 // BUCKET_SECONDS


def draw_history(coins: int, rate: float, seed: int) -> pl.DataFrame:
    """Hours of the simulated markets: rows of core.metric_rollups with `exchange` and `base` in place of the instrument, and `hour` from 0.

    About ten seconds of one core for 250 markets at 400 changes per second.

    Args:
        coins, rate, seed: as the simulated exchanges were started with.
    """
    world = World(make_universe(seed, coins), seed=seed, rate=rate, start_at=0.0)
    markets = markets_of(world)
    grid = play(world)
    first, beyond = SETTLING_MINUTES * 60 // BUCKET_SECONDS, grid.buckets["volume"].shape[1] - BLOCK_BUCKETS + 1
    rng = np.random.default_rng(seed)
    ids = np.arange(len(markets))
    hours: list[pl.DataFrame] = []
    for hour in range(DRAWN_HOURS):
        starts = rng.integers(first, beyond, _BUCKETS_PER_HOUR // BLOCK_BUCKETS)
        columns = (starts[:, None] + np.arange(BLOCK_BUCKETS)).ravel()
        drawn = Grid({name: values[:, columns] for name, values in grid.buckets.items()}, np.full(len(ids), np.nan))
        hours.append(rollup_rows(ids, datetime.fromtimestamp(0, UTC), roll_up(drawn)).with_columns(hour=pl.lit(hour)))
    names = pl.DataFrame({"instrument_id": ids, "exchange": [it.exchange for it in markets], "base": [it.base for it in markets]})
    return pl.concat(hours).join(names, on="instrument_id").drop("instrument_id", "hour_end_at")


def seed_history(engine: sa.Engine, history: pl.DataFrame, now: datetime) -> int:
    """Writes the three days up to the last full hour; hours that have rollups of this layout keep them. Returns the number of instruments.

    Args:
        engine: the demo's database; its instruments are known.
        history: as `draw_history` gives it.
        now: the time.

    Raises:
        DatabaseError: Postgres refused.
    """
    listing = INSTRUMENTS.c
    listed = read_frame(
        engine,
        sa.select(listing.instrument_id, listing.exchange, listing.base_symbol.label("base")).where(listing.valid_to.is_(None)),
    )
    last_hour = now.replace(minute=0, second=0, microsecond=0)
    hour_end = pl.lit(last_hour) - pl.duration(hours=pl.col("hour"))
    rows = history.join(listed, on=("exchange", "base")).with_columns(hour_end_at=hour_end)
    columns = ", ".join(f'"{column.name}"' for column in METRIC_ROLLUPS.columns)
    earlier = columns.replace('"hour_end_at"', "hour_end_at - days * :span")
    arrays = ("layout", "n", "mean", "m2")
    with transaction(engine) as connection:
        connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE seeded ON COMMIT DROP AS SELECT {columns} FROM core.metric_rollups WITH NO DATA"
        )
        copy_rows(connection, '"seeded"', conform(rows.drop("exchange", "base", "hour"), METRIC_ROLLUPS))
        connection.execute(
            sa.text(
                f"INSERT INTO core.metric_rollups ({columns}) SELECT {earlier} FROM seeded, generate_series(0, :repeats - 1) AS days "
                f"ON CONFLICT (instrument_id, hour_end_at) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in arrays)} "
                "WHERE metric_rollups.layout <> excluded.layout"
            ).bindparams(sa.bindparam("span", timedelta(hours=DRAWN_HOURS), sa.Interval), repeats=HOURS // DRAWN_HOURS)
        )
        # A block would go on standing for the hours that were there before.
        connection.execute(sa.delete(METRIC_ROLLUP_BLOCKS).where(METRIC_ROLLUP_BLOCKS.c.block_end_at > last_hour - timedelta(hours=HOURS)))
    return rows["instrument_id"].n_unique()


def markets_of(world: World) -> list[Market]:
    """All markets, exchange by exchange."""
    return [market for by_base in world.markets.values() for market in by_base.values()]


def play(world: World) -> Grid:
    """Buckets of the world's markets as the collector would have made them, [markets, buckets]."""
    markets = markets_of(world)
    start = 1e-3
    state, computer = MarketState(start), TickComputer("simulated", "1/1", lambda frame: frame)  # pyright: ignore[reportArgumentType, reportUnknownLambdaType]
    # Instrument ids begin at 1: 0 is nobody.
    listings = state.assign([Instrument(place + 1, it.base, it.base, "", "") for place, it in enumerate(markets)], start)
    slots = {market.index: listing.slot for market, listing in zip(markets, listings, strict=True)}

    def show(market: Market, at: float) -> None:
        bids, asks = book = market.book()
        state.book(slots[market.index], float(bids[0][0]), float(bids[0][1]), float(asks[0][0]), float(asks[0][1]), book, at)

    for market in markets:
        show(market, start)
    state.sighted(list(slots.values()), start)
    ticks: list[Tick] = []
    for step in range(1, round(MINUTES * 60 / STEP_SECONDS) + 1):
        now = step * STEP_SECONDS
        changes = world.advance(now)
        for market in {change.market.index: change.market for change in changes}.values():
            show(market, now)
        for change in changes:
            if (trade := change.trade) is not None:
                slot = slots[change.market.index]
                state.trade(slot, float(trade.price), float(trade.quantity), 1 if trade.side == "buy" else -1, now)
        if now % BUCKET_SECONDS == 0:
            ticks.append(computer.compute(state.close(now)))
    books, trades = pl.concat([tick.books for tick in ticks]), pl.concat([tick.trades for tick in ticks])
    count = len(markets)
    is_blind = np.zeros((count, len(ticks)), np.bool_)
    begin = datetime.fromtimestamp(0, UTC)
    return densify(np.arange(count) + 1, begin, is_blind, books, trades, books.head(0), np.full(count, np.nan))
