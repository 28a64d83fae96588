"""False alarms of the detector on quiet made-up markets, per 1,000 coin-days, and whether it sees pumps that are made up there.

Trades of the made-up coins come in clusters, with heavy-tailed sizes and a price that wanders little. Few alarms say that the detector
does not cry at noise of that kind, not how often it would on a real exchange: `backtest_detection` of real trades says that.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import polars as pl

from benchmarks.rows import row
from pnd_dagster.backtest.detection import BEFORE
from pnd_dagster.backtest.detection import backtest_detection as detect
from pnd_dagster.ranking.detection import THRESHOLDS, Thresholds
from pnd_dagster.simulator.pump_history import FIRST_EVENT_AT, make_coin

COINS = 660
"""Of 46 hours each, of which the first six have no baseline: 1,100 coin-days."""

PUMPED_COINS = 100
TRIED = {
    "thresholds that ship": THRESHOLDS,
    "lowest tried on real trades": Thresholds(volume_z=8.0, trades_z=8.0, price_change=0.02, trades=10),
    "those, whatever the price does": Thresholds(volume_z=8.0, trades_z=8.0, price_change=-1.0, trades=10),
}


def run() -> list[dict[str, Any]]:
    """Prints the false alarms; the row is the detector's speed against the market's own: a bucket of every coin each 5 s."""
    quiet, pumped = _market(COINS, is_pumped=False), _market(PUMPED_COINS, is_pumped=True)
    started = time.perf_counter()
    for name, thresholds in TRIED.items():
        whole = detect(*quiet, [thresholds]).table.row(2, named=True)
        print(
            f"{name}: {whole['false_alarms']} false alarms in {whole['coin_days']:,.0f} quiet made-up coin-days, "
            f"{whole['per_1000_coin_days']:.2f} [{whole['per_1000_low']:.2f}, {whole['per_1000_high']:.2f}] per 1,000"
        )
    rate = len(TRIED) * COINS * (BEFORE / timedelta(seconds=5)) / (time.perf_counter() - started)
    seen = detect(*pumped, [THRESHOLDS]).table.row(2, named=True)
    print(f"made-up pumps seen within 60 s by the thresholds that ship: {seen['seen']} of {seen['pumps']}")
    return [row("detector, coin-buckets replayed", "4,400 coins live, a bucket each 5 s", quiet[0].height, rate, 4_400 / 5)]


def _market(coins: int, *, is_pumped: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades of coins, and the moment of each at which it is pumped, or nothing happens."""
    at = round(FIRST_EVENT_AT.timestamp() * 1000)
    frames: list[pl.DataFrame] = []
    for number in range(coins):
        made = make_coin(number, at, hours_before=BEFORE / timedelta(hours=1), is_pumped=is_pumped, book_seconds=3600).trades
        side = pl.Series("side", made.sides).replace_strict({1: "buy", -1: "sell"}, return_dtype=pl.String)
        columns = {"event_id": f"MADE{number:04}", "timestamp_ms": made.times, "side": side, "price": made.prices, "amount": made.amounts}
        frames.append(pl.DataFrame(columns))
    ids = [f"MADE{number:04}" for number in range(coins)]
    return pl.concat(frames), pl.DataFrame({"event_id": ids, "event_coin": ids, "event_time": [FIRST_EVENT_AT] * coins})
