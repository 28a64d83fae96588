"""The simulated exchanges' markets together: time passes, books and trades change, scripted pumps play."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

import numpy as np

from pnd_dagster.simulator.exchanges.candles import Candle, PumpDay, make_candles
from pnd_dagster.simulator.exchanges.liquidity import Liquidity, draw_liquidity, liquidity_of
from pnd_dagster.simulator.exchanges.market import Change, Market
from pnd_dagster.simulator.exchanges.noise import Noise
from pnd_dagster.simulator.exchanges.pumps import LivePump, PastPump, PumpOrder, PumpScript, plan_orders, row_for, shape_of
from pnd_dagster.simulator.universe import Coin, Universe

# Changes that one call of `advance` makes at most; after a longer pause the same number is spread over all of it.
MAX_CHANGES = 50_000
# However quiet a market is, it changes at least this often, as far as half the rate suffices.
QUIET_SECONDS = 20.0
# Share of the changes that are trades: over all markets, and in one at least and at most.
TRADE_SHARE, FEWEST_TRADES, MOST_TRADES = 0.10, 0.01, 0.40


class World:
    """The USDT markets of a universe, and what happens in them. The same arguments and calls give the same changes.

    Activity is heavy-tailed over markets, but each has a change in turn, so that none is silent for long.

    Attributes:
        markets: listed markets, by exchange and base.

    Args:
        universe: coins and listings.
        seed: of all that is random.
        rate: changes per second over all markets.
        start_at: Unix seconds at which the first change can happen; now by default.
        past_pumps: pumps that the daily candles show. A market that was pumped has the ordinary days of its row, too.
    """

    def __init__(
        self, universe: Universe, *, seed: int, rate: float, start_at: float | None = None, past_pumps: Sequence[PastPump] = ()
    ) -> None:
        self._seed, self._rate = seed, rate
        self._now = time.time() if start_at is None else start_at
        self._rng, self._noise = np.random.default_rng(seed), Noise(seed)
        self._pumps: list[LivePump] = []
        self._pump_days: dict[tuple[str, str], dict[date, PumpDay]] = {}
        self._pumped_rows = {(pump.exchange, pump.base): pump.row for pump in past_pumps}
        for pump in past_pumps:
            self._remember(
                pump.exchange, pump.base, pump.released_at.astimezone(UTC).date(), PumpDay(pump.row, shape_of(pump.exchange).peak)
            )
        listings = [listing for listed in universe.listings.values() for listing in listed]
        liquidities = [self._draw_liquidity(listing.exchange, listing.coin) for listing in listings]
        self._share_out(liquidities)
        self._all = [
            self._make(index, listing.exchange, listing.coin, liquidity)
            for index, (listing, liquidity) in enumerate(zip(listings, liquidities, strict=True))
        ]
        self.markets: dict[str, dict[str, Market]] = {exchange: {} for exchange in universe.listings}
        for market in self._all:
            self.markets[market.exchange][market.base] = market
        self._rotation = self._rng.permutation(len(self._all))
        self._turn = 0

    def advance(self, now: float) -> list[Change]:
        """Everything that happened since the last call, in time order. A time that is not later gives nothing."""
        elapsed = now - self._now
        if elapsed <= 0:
            return []
        rng, noise, markets = self._rng, self._noise, self._all
        count = int(min(MAX_CHANGES, rng.poisson(self._rate * elapsed)))
        times = np.sort(rng.random(count)) * elapsed + self._now
        picks = np.searchsorted(self._cumulative, rng.random(count))
        in_turn = np.flatnonzero(rng.random(count) < self._turn_share)
        picks[in_turn] = self._rotation[(self._turn + np.arange(len(in_turn))) % len(markets)]
        self._turn += len(in_turn)
        self._now = now
        changes: list[Change] = []
        if not self._pumps:
            for at, index in zip(times.tolist(), picks.tolist(), strict=True):
                market = markets[index]
                if market.is_listed:
                    changes.append(market.step(at, noise))
            return changes
        happenings: list[tuple[float, int, LivePump | None, PumpOrder | None]]
        happenings = [(at, index, None, None) for at, index in zip(times.tolist(), picks.tolist(), strict=True)]
        happenings += [(order.at, pump.market.index, pump, order) for pump in self._pumps for order in pump.due(now)]
        happenings.sort(key=lambda happening: happening[0])
        for at, index, pump, order in happenings:
            market = markets[index]
            if not market.is_listed:
                continue
            if pump is not None and order is not None:
                changes += pump.play(order, noise)
            else:
                changes.append(market.step(at, noise))
        self._pumps = [pump for pump in self._pumps if not pump.is_over and pump.market.is_listed]
        return changes

    def candles(self, exchange: str, base: str, first_day: date, last_day: date) -> list[Candle]:
        """Daily candles of a market, days in UTC, both ends included; none before the coin existed.

        They show past pumps and scheduled ones, not the single trades of `advance`: the day that lasts is given whole.

        Raises:
            KeyError: the market is not listed.
        """
        market = self.markets[exchange][base]
        pump_days = self._pump_days.get((exchange, base), {})
        born = min([market.coin.added_at.date(), *(day - timedelta(days=30) for day in pump_days)])
        first_day = max(first_day, born)
        return (
            make_candles(market.liquidity, pump_days, market.index + self._seed * 1_000_003, first_day, last_day)
            if first_day <= last_day
            else []
        )

    def schedule(self, pump: PumpScript) -> None:
        """Plays a pump: from an hour before its release, or from now on if that is later. Its candle is known from now on.

        Raises:
            KeyError: the market is not listed.
            ValueError: the release is in the past.
        """
        market = self.markets[pump.exchange][pump.base]
        orders = plan_orders(pump, market.liquidity, start_at=self._now, seed=self._seed + market.index)
        self._pumps.append(LivePump(market, orders))
        day = datetime.fromtimestamp(pump.release_at, UTC).date()
        self._remember(pump.exchange, pump.base, day, PumpDay(pump.row, pump.played_shape.peak))

    def delist(self, exchange: str, base: str) -> None:
        """Takes a market off its exchange's list; nothing happens in it any more.

        Raises:
            KeyError: the market is not listed.
        """
        self.markets[exchange].pop(base).is_listed = False

    def relist(self, exchange: str, base: str, coin: Coin | None = None) -> None:
        """Puts a market back as it was, or, with another `coin` of that symbol, a new market under the old name.

        Raises:
            KeyError: the exchange never listed the symbol.
        """
        index = next((market.index for market in self._all if (market.exchange, market.base) == (exchange, base)), None)
        if index is None:
            raise KeyError(base)
        if coin is not None:
            self._all[index].is_listed = False
            self._all[index] = self._make(index, exchange, coin._replace(symbol=base), self._draw_liquidity(exchange, coin))
        self._all[index].is_listed = True
        self.markets[exchange][base] = self._all[index]

    def _draw_liquidity(self, exchange: str, coin: Coin) -> Liquidity:
        """Majors' markets by their size, all others like the ordinary days of a row of the paper's tables."""
        rng = Random(f"{self._seed} {exchange} {coin.symbol}")
        if coin.is_major or coin.is_leveraged:
            return draw_liquidity(exchange, coin, rng)
        row = self._pumped_rows.get((exchange, coin.symbol)) or row_for(exchange, coin.symbol)
        return liquidity_of(coin.price * (1 + rng.gauss(0, 0.002)), row.avg_volume_7_days, row.order_value_7_days)

    def _share_out(self, liquidities: Sequence[Liquidity]) -> None:
        """Which share of the changes each market has, and how many of its changes are trades."""
        trades = np.array([1 / liquidity.seconds_between_trades for liquidity in liquidities])
        busy = trades**0.6 / (trades**0.6).sum()
        self._cumulative = np.minimum(busy.cumsum(), np.nextafter(1.0, 0.0))
        self._turn_share = float(np.clip(len(trades) / QUIET_SECONDS / self._rate, 0.2, 0.5))
        share = self._turn_share / len(trades) + (1 - self._turn_share) * busy
        per_change = trades / share
        low, high = 0.0, 1 / per_change.min()
        for _ in range(60):
            scale = (low + high) / 2
            self._trade_shares = np.clip(per_change * scale, FEWEST_TRADES, MOST_TRADES)
            low, high = (scale, high) if (self._trade_shares * share).sum() < TRADE_SHARE else (low, scale)

    def _make(self, index: int, exchange: str, coin: Coin, liquidity: Liquidity) -> Market:
        return Market(index, exchange, coin, liquidity, trade_share=float(self._trade_shares[index]), at=self._now, noise=self._noise)

    def _remember(self, exchange: str, base: str, day: date, pump_day: PumpDay) -> None:
        self._pump_days.setdefault((exchange, base), {})[day] = pump_day
