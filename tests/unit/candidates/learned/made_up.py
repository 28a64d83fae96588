"""A made-up panel: random walks, of which some carry a planted sign before their pump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from pnd_dagster.candidates.learned.panels import DAY, Panel, Pump

START = datetime(2024, 1, 1, tzinfo=UTC)


def made_up(
    *, coins: int = 60, days: int = 150, pumps: int = 50, pumpable: int = 20, sign: float = 0.0, habit: float = 0.0, seed: int = 0
) -> tuple[Panel, list[Pump]]:
    """Coins of one market, Bitcoin first, and pumps after the fortieth day.

    Args:
        coins: how many, Bitcoin included.
        days: length.
        pumps: how many, each of a coin and day drawn by chance.
        pumpable: of how many coins, Bitcoin included, which is never pumped.
        sign: how much more is traded in the five days before a pump; 0 for nothing to find.
        habit: how much more interactions the coins that are ever pumped have, always.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    close = np.exp(rng.normal(0, 1, (coins, 1)) + np.cumsum(rng.normal(0, 0.03, (coins, days)), axis=1))
    volume = np.exp(rng.normal(5, 0.3, (coins, days)))
    interactions = np.exp(rng.normal(4, 0.3, (coins, days)))
    found: list[Pump] = []
    for _ in range(pumps):
        coin, day = int(rng.integers(1, pumpable)), int(rng.integers(40, days))
        found.append(Pump(coin, START + day * DAY + timedelta(hours=17)))
        volume[coin, day - 5 : day] *= 1 + sign
    interactions[sorted({pump.coin for pump in found})] *= 1 + habit
    observed = {
        "open": close,
        "high": close * 1.02,
        "low": close * 0.98,
        "close": close,
        "volume": volume,
        "quote_volume": volume * close,
        "market_cap": close * 1e6,
        "interactions": interactions,
    }
    names = ["BTC", *(f"C{number:02}" for number in range(1, coins))]
    return Panel([f"made {name}" for name in names], names, ["made"] * coins, START, DAY, observed, 0), found
