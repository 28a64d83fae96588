"""Daily candles of a simulated market: any day can be asked for, the answer is always the same, and past pumps are in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.simulator.exchanges.liquidity import Liquidity
from pnd_dagster.simulator.exchanges.pump_tables import PumpRow

WEEK = 7
_EPOCH = date(1970, 1, 1).toordinal()
# Prices and volumes swing slowly around their mean: amplitude and period in days.
_PRICE_WAVES = ((0.10, 97.0), (0.05, 23.0), (0.03, 7.3))


class Candle(NamedTuple):
    """A day of a market: prices in USDT per base unit, `volume` and `taker_buy_volume` in base units, `quote_volume` in USDT."""

    day: date
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trade_count: int
    taker_buy_volume: float


class PumpDay(NamedTuple):
    """A day on which a market is pumped: like which row of the paper's tables, and how high the price peaks over the day's before."""

    row: PumpRow
    peak: float


def make_candles(liquidity: Liquidity, pump_days: Mapping[date, PumpDay], key: int, first_day: date, last_day: date) -> list[Candle]:
    """The market's candles from `first_day` to `last_day`, both included; a day on which nothing traded has the last price throughout.

    On a pump day the volume over the mean of the seven days before, the mean price (quote volume / volume) over the mean of theirs, and the
    mean order size (volume / trades) over theirs are those of the row; numbers of trades are whole, which rounds the last one. Prices count
    on days that traded, and days with another pump do not belong to the week.

    Args:
        liquidity: what the market is like on ordinary days.
        pump_days: the days with a pump.
        key: tells markets apart; any whole number.
    """
    # The days beside are needed for opens and closes, those of the week before a pump for its level.
    before = first_day.toordinal() - _EPOCH - 1
    days = np.arange(before, last_day.toordinal() - _EPOCH + 2)
    ordinary = _Ordinary(liquidity, key, frozenset(day.toordinal() - _EPOCH for day in pump_days))
    calm = ordinary.mean_prices(days)
    volumes, counts = ordinary.volumes(days), ordinary.trade_counts(days)
    uniforms = _uniform(key, days, 3)
    opens = np.sqrt(calm[:-1] * calm[1:])
    candles: list[Candle] = []
    for place in range(1, len(days) - 1):
        day = date.fromordinal(int(days[place]) + _EPOCH)
        opened, closed = float(opens[place - 1]), float(opens[place])
        quote_volume, count, mean, buys = float(volumes[place]), int(counts[place]), float(calm[place]), 0.4 + 0.2 * float(uniforms[place])
        high, low = max(opened, closed, mean), min(opened, closed, mean)
        wick = 1 + liquidity.half_spread * (1 + 2 * float(uniforms[place]))
        high, low = high * wick, low / wick
        pump = pump_days.get(day)
        if pump is not None:
            quote_volume, mean, count = ordinary.pumped(int(days[place]), pump.row)
            high, low, buys = max(high, opened * pump.peak, mean * 1.05), min(low, mean * 0.98), 0.55 + 0.1 * float(uniforms[place])
        if not count:
            candles.append(Candle(day, opened, opened, opened, opened, 0.0, 0.0, 0, 0.0))
            continue
        volume = quote_volume / mean
        candles.append(Candle(day, opened, high, low, closed, volume, quote_volume, count, volume * buys))
    return candles


class _Ordinary:
    """What days without a pump are like: functions of the day alone, so that any span can be computed by itself."""

    def __init__(self, liquidity: Liquidity, key: int, pumped_days: frozenset[int]) -> None:
        self._liquidity, self._key, self._pumped = liquidity, key, sorted(pumped_days)

    def mean_prices(self, days: NDArray[np.int64]) -> NDArray[np.float64]:
        phases = _uniform(self._key, np.arange(len(_PRICE_WAVES)), 0) * 2 * np.pi
        waves = sum(
            height * np.sin(2 * np.pi * days / period + phase) for (height, period), phase in zip(_PRICE_WAVES, phases, strict=True)
        )
        return self._liquidity.price * np.exp(waves + 0.04 * (_uniform(self._key, days, 1) - 0.5))

    def volumes(self, days: NDArray[np.int64]) -> NDArray[np.float64]:
        """USDT. The mean over the seven days before a pump is exactly the market's daily volume."""
        volumes = self._raw_volumes(days)
        volumes[self.trade_counts(days) == 0] = 0.0
        for pumped in self._pumped:
            week = self._week(pumped)
            inside = np.isin(days, week)
            if inside.any():
                counts = self._week_counts(week)
                weights = np.where(counts > 0, self._raw_volumes(week), 0.0)
                weights *= self._liquidity.daily_volume * WEEK / weights.sum()
                volumes[inside] = weights[np.searchsorted(week, days[inside])]
        return volumes

    def trade_counts(self, days: NDArray[np.int64]) -> NDArray[np.int64]:
        expected = self._raw_volumes(days) / self._liquidity.order_value
        counts = np.floor(expected + _uniform(self._key, days, 4)).astype(np.int64)
        for pumped in self._pumped:
            week = self._week(pumped)
            inside = np.isin(days, week)
            if inside.any():
                counts[inside] = self._week_counts(week)[np.searchsorted(week, days[inside])]
        return counts

    def pumped(self, day: int, row: PumpRow) -> tuple[float, float, int]:
        """Quote volume, mean price and number of trades of a pump day like `row`."""
        week = self._week(day)
        volumes, prices, counts = self.volumes(week), self.mean_prices(week), self.trade_counts(week)
        order_size = float((volumes / prices).sum() / counts.sum()) * row.order_size_ratio
        quote_volume = float(volumes.mean()) * row.volume_ratio
        price = float(prices[counts > 0].mean()) * row.price_ratio
        return quote_volume, price, max(1, round(quote_volume / price / order_size))

    def _week(self, pumped: int) -> NDArray[np.int64]:
        """The seven days before, without those of other pumps, rising."""
        others = set(self._pumped)
        days: list[int] = []
        day = pumped - 1
        while len(days) < WEEK:
            if day not in others:
                days.append(day)
            day -= 1
        return np.array(days[::-1])

    def _week_counts(self, week: NDArray[np.int64]) -> NDArray[np.int64]:
        """Trades by day that give the week the market's mean order size, by largest remainder; at least one in all."""
        weights = self._raw_volumes(week)
        total = max(1, round(self._liquidity.daily_volume * WEEK / self._liquidity.order_value))
        exact = weights / weights.sum() * total
        counts = np.floor(exact).astype(np.int64)
        counts[np.argsort(counts - exact)[: total - int(counts.sum())]] += 1
        return counts

    def _raw_volumes(self, days: NDArray[np.int64]) -> NDArray[np.float64]:
        return self._liquidity.daily_volume * np.exp(0.9 * (_uniform(self._key, days, 2) - 0.5))


def _uniform(key: int, numbers: NDArray[np.int64], stream: int) -> NDArray[np.float64]:
    """One draw in [0, 1) for each number, by splitmix64 of (key, stream, number): no state, so no order of asking."""
    state = numbers.astype(np.uint64) + np.uint64((key * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) % 2**64)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53
