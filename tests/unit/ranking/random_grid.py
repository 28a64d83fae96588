"""Made-up buckets for tests of rolling windows: gaps, empty books, coins that seldom trade."""

from __future__ import annotations

import numpy as np

from pnd_dagster.market.windows import EXTREMES, FLOWS, STATES, Grid


def random_grid(instruments: int, buckets: int, seed: int = 0, blind_share: float = 0.002) -> Grid:
    """Buckets with trades in a few, spans out of sight, states without value, and volumes of very different size."""
    rng = np.random.default_rng(seed)
    shape = (instruments, buckets)
    has_trades = rng.random(shape) < rng.choice([0.002, 0.1, 0.7], (instruments, 1))
    scale = 10.0 ** rng.integers(-6, 9, shape)
    price = rng.lognormal(0, 0.1, shape) * 60_000
    flows = {
        "trade_count": rng.integers(1, 50, shape).astype(np.float64),
        "volume": scale,
        "quote_volume": scale * price,
        "taker_buy_volume": scale * 0.75,
        "taker_sell_volume": scale * 0.25,
    }
    columns = {name: np.where(has_trades, values, 0.0) for name, values in flows.items()}
    columns["best_level_flow"] = np.where(rng.random(shape) < 0.001, np.nan, rng.normal(0, 1e3, shape))
    columns |= {name: np.where(has_trades, price * factor, np.nan) for name, factor in zip(EXTREMES, (1.01, 0.99), strict=True)}
    columns |= {name: np.where(rng.random(shape) < 0.3, np.nan, rng.normal(5, 1, shape)) for name in STATES}
    blind = np.zeros(shape, np.bool_)
    for row, start in np.argwhere(rng.random(shape) < blind_share):
        blind[row, start : start + rng.integers(1, 30)] = True
    for values in columns.values():
        values[blind] = np.nan
    assert {*columns} == {*FLOWS, *EXTREMES, *STATES}
    return Grid(columns, np.where(rng.random(instruments) < 0.5, np.nan, 60_000.0))


def part(grid: Grid, start: int, end: int) -> Grid:
    """Some of a grid's buckets; what was before them is left unknown."""
    return Grid({name: values[:, start:end] for name, values in grid.buckets.items()}, np.full(len(grid.last_vwaps), np.nan))
