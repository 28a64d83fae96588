"""How liquid a simulated market is: one heavy-tailed number, the daily volume, from which sizes, spreads and activity follow."""

from __future__ import annotations

import math
from random import Random
from typing import NamedTuple

from pnd_dagster.simulator.universe import Coin

# Median daily volume of a small coin's market, USDT. KuCoin's and Poloniex's are near the medians of the paper's Tables XII-XV.
MEDIAN_DAILY_VOLUME = {"kucoin": 40_000.0, "mexc": 50_000.0, "xt": 20_000.0, "latoken": 2_000.0, "poloniex": 20.0}
_MEDIAN_CAP, _DAY = 2.7e6, 86_400.0


class Liquidity(NamedTuple):
    """What a market is like on ordinary days.

    Attributes:
        price: USDT per base unit.
        daily_volume: USDT.
        order_value: median value of a trade, USDT.
        price_decimals, quantity_decimals: how the exchange prints its numbers.
    """

    price: float
    daily_volume: float
    order_value: float
    price_decimals: int
    quantity_decimals: int
    half_spread: float
    level_size: float

    @property
    def volatility(self) -> float:
        """Deviation of the fair value per change, as a share of it."""
        return self.half_spread * 0.08

    @property
    def seconds_between_trades(self) -> float:
        """Mean time between two trades on an ordinary day."""
        return _DAY * self.order_value / self.daily_volume


def draw_liquidity(exchange: str, coin: Coin, rng: Random) -> Liquidity:
    """The liquidity of a coin's market: it grows with the coin's capitalisation and differs by exchange."""
    cap = coin.verified_cap or coin.self_reported_cap or _MEDIAN_CAP / 3
    volume = MEDIAN_DAILY_VOLUME[exchange] * (cap / _MEDIAN_CAP) ** 0.6 * math.exp(rng.gauss(0, 1.2))
    return liquidity_of(coin.price * (1 + rng.gauss(0, 0.002)), volume)


def liquidity_of(price: float, daily_volume: float, order_value: float | None = None) -> Liquidity:
    """The liquidity that goes with a price (USDT per base unit) and a daily volume (USDT)."""
    value = order_value or 25.0 * (daily_volume / 40_000.0) ** 0.3
    half_spread = min(0.03, max(0.0002, 0.0004 * (1e7 / daily_volume) ** 0.3))
    # Five digits suffice where the spread is wide; a narrow one needs a finer tick.
    digits = 5 if half_spread > 0.001 else 6
    size = value / price
    return Liquidity(
        price=price,
        daily_volume=daily_volume,
        order_value=value,
        price_decimals=min(12, max(1, digits - 1 - math.floor(math.log10(price)))),
        quantity_decimals=min(8, max(0, 2 - math.floor(math.log10(size)))),
        half_spread=half_spread,
        level_size=size,
    )
