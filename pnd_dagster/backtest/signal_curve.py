"""TOP-k against the declared strength of a made-up signal: whether books add to trades, and what a larger pool costs.

A market of made-up coins at one moment is ranked, the pumped coin among all of them or among 50. It tells what the machinery finds when
something is there, and that it finds nothing where nothing is; it is never a measure of skill.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from pnd_dagster.backtest.figures import figures
from pnd_dagster.backtest.grids import BookStream, TradeStream
from pnd_dagster.backtest.placings import placing
from pnd_dagster.backtest.pools import Pools
from pnd_dagster.backtest.reading import Event
from pnd_dagster.backtest.windows import SPAN_SECONDS, Windows, together, windows_of
from pnd_dagster.market.book_metrics import Books
from pnd_dagster.ranking.rules import of_source, rule_by_name
from pnd_dagster.simulator.pump_history import MadeUpCoin, make_coin
from pnd_dagster.tables import BACKTEST_SOURCES

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
OFFSET_SECONDS = 20
_AT = round(datetime(2024, 1, 10, 17, tzinfo=UTC).timestamp() * 1000)
_HOURS = SPAN_SECONDS / 3600 + 0.5
# Seeds of pumped coins; those of the others follow.
_OTHERS = 1_000_000


def signal_curve(
    *,
    coins: int = 1_100,
    events: int = 40,
    draws: int = 20,
    seed: int = 0,
    strengths: tuple[float, ...] = STRENGTHS,
    on_progress: Callable[[int, int, str], None] = lambda done, all_, what: None,
) -> pl.DataFrame:
    """Ranks made-up pumps 20 s before their start with the default rule.

    Args:
        coins: in the whole market, the pumped one included; at least 51.
        events: pumps, each of a coin of its own; the same coins at every strength.
        draws: pools of 51 coins for each pump; all coins are one pool.
        seed: of everything.
        strengths: 0 to 1, see `simulator.pump_history`.
        on_progress: told how many of all coins are made.

    Returns:
        strength, source, pool, rule, offset_seconds, and the columns of `figures`.
    """
    total = coins - 1 + events * len(strengths)
    others = list[Windows]()
    for number in range(coins - 1):
        on_progress(number, total, "background")
        others.append(_windows(seed + _OTHERS + number, 0.0))
    background = together(others)
    rows = list[dict[str, Any]]()
    for step, strength in enumerate(strengths):
        on_progress(coins - 1 + step * events, total, f"strength {strength}")
        pumped = [_windows(seed * 1_000 + number, strength) for number in range(events)]
        windows = together([*pumped, background])
        for name, decoys in (("51 coins", _drawn(events, coins, draws, seed)), (f"{coins:,} coins", _all(events, coins))):
            pools = Pools(
                [Event(f"MADE{number:03}", f"MADE{number:03}", _AT) for number in range(events)],
                (OFFSET_SECONDS,),
                windows,
                np.arange(events)[:, None],
                decoys + events,
                [],
            )
            for source in BACKTEST_SOURCES:
                rule = of_source(rule_by_name("default"), source)
                found = figures(placing(pools, rule), 0, pools.size, seed)
                rows.append(
                    {"strength": strength, "source": source, "pool": name, "rule": rule.name, "offset_seconds": OFFSET_SECONDS} | found
                )
    on_progress(total, total, "done")
    return pl.DataFrame(rows)


def _windows(seed: int, strength: float) -> Windows:
    coin = make_coin(seed, _AT, hours_before=_HOURS, strength=strength)
    return windows_of(TradeStream(*coin.trades), _book_stream(coin), np.array([_AT - OFFSET_SECONDS * 1000]))


def _book_stream(coin: MadeUpCoin) -> BookStream:
    times, bid_prices, bid_amounts, ask_prices, ask_amounts = coin.books
    levels = np.full(len(times), bid_prices.shape[1], np.int64)
    return BookStream(times, Books(bid_prices, bid_amounts, ask_prices, ask_amounts, levels, levels))


def _drawn(events: int, coins: int, draws: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 3])
    return np.stack([[rng.choice(coins - 1, 50, replace=False) for _ in range(draws)] for _ in range(events)])


def _all(events: int, coins: int) -> np.ndarray:
    return np.broadcast_to(np.arange(coins - 1), (events, 1, coins - 1))
