"""Scripted pumps: quiet buying beforehand, the release, the spike, the dump.

The day's volume, mean price and order size follow a row of the paper's Tables XII-XV, the peak its section V-A2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.simulator.exchanges.liquidity import Liquidity
from pnd_dagster.simulator.exchanges.market import Change, Market
from pnd_dagster.simulator.exchanges.noise import Noise
from pnd_dagster.simulator.exchanges.pump_tables import PumpRow, load_pump_tables

# Orders of one pump at most; where a row asks for more they are larger instead.
MAX_ORDERS = 50_000
# By phase (accumulation, spike, dump): share of the volume, share of the orders, share of the orders that buy.
VOLUME_SHARES, ORDER_SHARES, BUY_SHARES = (0.06, 0.34, 0.60), (0.15, 0.30, 0.55), (0.92, 0.85, 0.25)
# Price just before the release, over the one ten minutes earlier.
_PRICE_AT_RELEASE = 1.04
# Exchanges whose pumps look like Poloniex's: little volume, so a higher peak that comes sooner.
_THIN = frozenset({"latoken", "poloniex", "xt"})


class PumpShape(NamedTuple):
    """How a pump goes. `peak` is the highest price over the one ten minutes before the release, the rest is in seconds."""

    seconds_to_peak: float
    peak: float
    accumulation_seconds: float = 3600.0
    dump_seconds: float = 1800.0

    def compressed(self, factor: float) -> PumpShape:
        """The same pump `factor` times as fast; its ten minutes before the release are shortened too."""
        return PumpShape(self.seconds_to_peak / factor, self.peak, self.accumulation_seconds / factor, self.dump_seconds / factor)


KUCOIN_SHAPE = PumpShape(seconds_to_peak=1.49 * 60, peak=4.57)
POLONIEX_SHAPE = PumpShape(seconds_to_peak=0.12 * 60, peak=10.85)


class PumpScript(NamedTuple):
    """A pump to be played live.

    Attributes:
        exchange, base: the market.
        release_at: when the coin is named, Unix seconds.
        row: what its day is like.
        shape: how it goes; by default KuCoin's on KuCoin and MEXC, Poloniex's on the thinner exchanges.
    """

    exchange: str
    base: str
    release_at: float
    row: PumpRow
    shape: PumpShape | None = None

    @property
    def played_shape(self) -> PumpShape:
        """`shape`, or that of the exchange."""
        return self.shape or shape_of(self.exchange)


class PastPump(NamedTuple):
    """A pump that was, which only daily candles remember."""

    exchange: str
    base: str
    released_at: datetime
    row: PumpRow


class PumpOrder(NamedTuple):
    """A taker's order of a script: Unix seconds, "buy" or "sell", USDT, and the coin's price over the one before the pump.

    One of no value is none: only the quotes follow the price.
    """

    at: float
    side: str
    value: float
    multiple: float


def shape_of(exchange: str) -> PumpShape:
    """How pumps go on an exchange. The paper measured KuCoin and Poloniex; the others are given the one whose liquidity is nearer."""
    return POLONIEX_SHAPE if exchange in _THIN else KUCOIN_SHAPE


def row_for(exchange: str, base: str) -> PumpRow:
    """The row that pumps of a market follow, always the same: one of its kind of exchange in which the price rose, and not above the peak.

    A market has one row, because the row says too what its ordinary days are like.
    """
    rows = _playable_rows("poloniex" if exchange in _THIN else "kucoin", shape_of(exchange).peak)
    digest = hashlib.blake2b(f"{exchange} {base}".encode(), digest_size=8).digest()
    return rows[int.from_bytes(digest, "big") % len(rows)]


@cache
def _playable_rows(exchange: str, peak: float) -> list[PumpRow]:
    rows = load_pump_tables().rows
    return [row for row in rows if row.exchange == exchange and row.volume_ratio > 2 and 1 < row.price_ratio < peak]


def deal_rows(events: Iterable[tuple[str, str, datetime]]) -> list[PastPump]:
    """Past pumps for events (exchange, base, released_at), each with its market's row: the same events get the same rows."""
    return [PastPump(exchange, base, released_at, row_for(exchange, base)) for exchange, base, released_at in events]


def price_multiple(shape: PumpShape, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The fair value over the one ten minutes before the release, at times relative to the release (seconds)."""
    before = shape.accumulation_seconds / 6
    creep = 1 + (_PRICE_AT_RELEASE - 1) * np.clip(1 + seconds / before, 0, 1)
    spike = (shape.peak - _PRICE_AT_RELEASE) * np.clip(seconds / shape.seconds_to_peak, 0, 1) ** 0.7
    fall = np.exp(-12 * np.clip(seconds - shape.seconds_to_peak, 0, None) / shape.dump_seconds)
    return 1 + (creep + spike - 1) * fall


def plan_orders(script: PumpScript, liquidity: Liquidity, *, start_at: float, seed: int) -> list[PumpOrder]:
    """The takers' orders of a pump from `start_at` on, in time order. Their values add up to the volume of the pump day.

    Volume and order size stand to those of the market's ordinary days as in the row. Sizes lean towards higher or lower prices so that
    the mean price comes as near to the row's as the shape allows. Where less time is left than the accumulation takes it is played in what
    is left.

    Raises:
        ValueError: the release is not after `start_at`.
    """
    if script.release_at <= start_at:
        raise ValueError(f"the pump of {script.base} on {script.exchange} would be released in the past")
    row, rng = script.row, np.random.default_rng(seed)
    shape = script.played_shape
    shape = shape._replace(accumulation_seconds=min(shape.accumulation_seconds, script.release_at - start_at))
    volume = liquidity.daily_volume * row.volume_ratio
    wanted = volume / (row.price_ratio * liquidity.order_value * row.order_size_ratio)
    count = int(min(MAX_ORDERS, max(12, round(wanted))))
    counts = np.diff(np.round(np.cumsum((0.0, *ORDER_SHARES)) * count).astype(int))
    phases = np.repeat(np.arange(3), counts)
    seconds = np.concatenate(
        (
            -shape.accumulation_seconds * rng.random(counts[0]) ** 2,
            # Someone buys at the very top.
            np.append(shape.seconds_to_peak * rng.random(counts[1] - 1), shape.seconds_to_peak),
            shape.seconds_to_peak + np.minimum(rng.exponential(shape.dump_seconds / 5, counts[2]), shape.dump_seconds),
        )
    )
    multiples = price_multiple(shape, seconds)
    weights = rng.lognormal(0.0, 0.8, count) * (np.array(VOLUME_SHARES) / np.array(ORDER_SHARES))[phases]
    values = _lean(weights, multiples, phases == 0, row.price_ratio)
    values *= volume / values.sum()
    is_buy = rng.random(count) < np.array(BUY_SHARES)[phases]
    quotes = _quote_times(shape)
    seconds, multiples = np.append(seconds, quotes), np.append(multiples, price_multiple(shape, quotes))
    values, is_buy = np.append(values, np.zeros(len(quotes))), np.append(is_buy, np.zeros(len(quotes), bool))
    order = np.argsort(seconds, kind="stable")
    columns = (script.release_at + seconds[order], is_buy[order], values[order], multiples[order])
    return [
        PumpOrder(at, "buy" if buys else "sell", value, multiple)
        for at, buys, value, multiple in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _quote_times(shape: PumpShape) -> NDArray[np.float64]:
    """When quotes follow the price though nobody trades: the closer to the peak the more often, and at the end."""
    creep = -shape.accumulation_seconds / 6 * np.linspace(1, 0, 30)
    spike = shape.seconds_to_peak * np.linspace(0, 1, 30)
    fall = shape.seconds_to_peak + shape.dump_seconds * np.linspace(0, 1, 200) ** 2
    return np.concatenate((creep, spike, fall))


def _lean(
    weights: NDArray[np.float64], multiples: NDArray[np.float64], is_early: NDArray[np.bool_], mean_price: float
) -> NDArray[np.float64]:
    """`weights` times a power of the price, so that the mean price comes near to `mean_price`; what is early keeps its share."""
    early_share = weights[is_early].sum() / weights.sum()
    low, high, values = -2.0, 2.0, weights
    for _ in range(40):
        power = (low + high) / 2
        values = weights * multiples**power
        values[is_early] *= early_share / (1 - early_share) * values[~is_early].sum() / values[is_early].sum()
        low, high = (power, high) if values.sum() / (values / multiples).sum() < mean_price else (low, power)
    return values


class LivePump:
    """A pump that plays in a market."""

    def __init__(self, market: Market, orders: Sequence[PumpOrder]) -> None:
        self.market = market
        self._orders = orders
        self._next = 0
        self._price: float | None = None

    @property
    def is_over(self) -> bool:
        """True when every order was played."""
        return self._next == len(self._orders)

    def due(self, until: float) -> Sequence[PumpOrder]:
        """The orders up to `until` that were not given before."""
        first = self._next
        while self._next < len(self._orders) and self._orders[self._next].at <= until:
            self._next += 1
        return self._orders[first : self._next]

    def play(self, order: PumpOrder, noise: Noise) -> list[Change]:
        """Puts an order into the market; after the last one its price finds back to where it was."""
        market = self.market
        if self._price is None:
            self._price = market.fair
        fair = self._price * order.multiple
        changes = market.execute(order.at, order.side, order.value, fair, noise) if order.value else market.follow(order.at, fair, noise)
        if order is self._orders[-1]:
            market.anchor = market.liquidity.price
        return changes
