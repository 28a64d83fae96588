"""One simulated USDT market: what changes its order book, and its recent trades."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import NamedTuple

from pnd_dagster.simulator.exchanges.book import Book, BookSummary, Level, Side
from pnd_dagster.simulator.exchanges.liquidity import Liquidity
from pnd_dagster.simulator.exchanges.noise import Noise
from pnd_dagster.simulator.universe import Coin

# Quotes are added below, and withdrawn above, this many levels of a side.
FEWEST_LEVELS, MOST_LEVELS = 26, 36
RECENT_TRADES = 1000
# Pull of the fair value towards the market's anchor, per change.
REVERSION = 0.002


class Trade(NamedTuple):
    """An execution. `at` is in Unix seconds, `side` the taker's: "buy" or "sell"."""

    trade_id: int
    at: float
    price: str
    quantity: str
    side: str


class Change(NamedTuple):
    """One thing that happened in a market: the levels it changed, and the trade that did it, if one did.

    Attributes:
        market: where.
        at: Unix seconds.
        sequence: the market's sequence after it; it grows by one per change.
        bids: changed bid levels, quantity "0" where a level is gone; may be empty.
        asks: the same of the asks.
        trade: the trade, or None.
    """

    market: Market
    at: float
    sequence: int
    bids: list[Level]
    asks: list[Level]
    trade: Trade | None


class Market:
    """A USDT market of one exchange.

    Attributes:
        exchange: canonical lower-case id.
        coin: what it trades; `base` is its symbol.
        index: place among the world's markets.
        sequence: counts its changes.
        price_decimals, quantity_decimals: how its numbers are printed.
        anchor: where the fair value is drawn to, USDT per base unit.
        trades: the last ones, newest last.
        is_listed: False once it was delisted.
    """

    def __init__(self, index: int, exchange: str, coin: Coin, liquidity: Liquidity, *, trade_share: float, at: float, noise: Noise) -> None:
        self.index, self.exchange, self.coin, self.base = index, exchange, coin, coin.symbol
        self.liquidity, self.trade_share = liquidity, trade_share
        self.price_decimals, self.quantity_decimals = liquidity.price_decimals, liquidity.quantity_decimals
        self._price_scale, self._quantity_scale = 10**self.price_decimals, 10**self.quantity_decimals
        self._price_format, self._quantity_format = f"%.{self.price_decimals}f", f"%.{self.quantity_decimals}f"
        self.sequence = int(noise.uniform() * 9e6) + 1_000_000
        self._last_trade_id = int(noise.uniform() * 9e6) + 1_000_000
        self.is_listed = True
        self.anchor = liquidity.price
        self._tick_fair = liquidity.price * self._price_scale
        self._book = Book(self.price_decimals, self.quantity_decimals)
        self._bids, self._asks = self._book.bids, self._book.asks
        self.trades: deque[Trade] = deque(maxlen=RECENT_TRADES)
        self._requote(noise)
        self._trade_before(at, noise)

    @property
    def fair(self) -> float:
        """What the coin is worth now, USDT per base unit."""
        return self._tick_fair / self._price_scale

    def book(self, depth: int = 20) -> tuple[list[Level], list[Level]]:
        """Bids and asks, best first, at most `depth` each. The lists are shared until the next change: do not write into them."""
        return self._book.top(depth)

    def summary(self, depth: int = 20) -> BookSummary:
        """The summary of `book(depth)`."""
        return self._book.summary(depth)

    def step(self, at: float, noise: Noise) -> Change:
        """One ordinary change: a quote comes, goes or is resized, or a taker trades. The book is never crossed or empty after it."""
        fair = self._tick_fair
        fair += fair * self.liquidity.volatility * noise.normal() + (self.anchor * self._price_scale - fair) * REVERSION
        self._tick_fair = fair
        bids, asks = self._bids, self._asks
        draw = noise.uniform()
        if draw < self.trade_share:
            return self._trade_ordinarily(at, noise)
        # A quote that the fair value has passed is withdrawn.
        if len(asks.keys) > 1 and asks.keys[0] < fair:
            return self._changed(at, asks, asks.keys[0], 0)
        if len(bids.keys) > 1 and -bids.keys[0] > fair:
            return self._changed(at, bids, bids.keys[0], 0)
        side = bids if noise.uniform() < 0.5 else asks
        count = len(side.keys)
        draw = noise.uniform()
        if count < FEWEST_LEVELS or (draw < 0.2 and count < MOST_LEVELS):
            return self._changed(at, side, self._draw_key(side, noise), self._draw_lots(noise))
        if count >= MOST_LEVELS or draw < 0.4:
            return self._changed(at, side, side.keys[int(count * noise.uniform())], 0)
        draw = noise.uniform()
        return self._changed(at, side, side.keys[int(count * draw * draw)], self._draw_lots(noise))

    def follow(self, at: float, fair: float, noise: Noise) -> list[Change]:
        """Brings the quotes to a new fair value (USDT per base unit), in one change or none: those it has passed go, new ones come near."""
        before = dict(self._bids.levels), dict(self._asks.levels)
        self._requote_at(fair, noise)
        return self._quoted(at, *before)

    def execute(self, at: float, side: str, value: float, fair: float, noise: Noise) -> list[Change]:
        """A taker's order of a script: quotes follow to the fair value, then one trade of exactly the value happens at the best of them.

        Args:
            at: Unix seconds.
            side: "buy" or "sell".
            value: USDT, rounded to whole lots, at least one.
            fair: USDT per base unit.
        """
        before = dict(self._bids.levels), dict(self._asks.levels)
        self._requote_at(fair, noise)
        eaten = self._asks if side == "buy" else self._bids
        key = eaten.keys[0]
        lots = max(1, round(value / (abs(key) / self._price_scale) * self._quantity_scale))
        if eaten.lots[0] < lots or len(eaten.keys) < 2:
            eaten.put(key, lots + self._draw_lots(noise))
        return [*self._quoted(at, *before), self._trade(at, side, lots)]

    def _quoted(self, at: float, bids_before: dict[str, str], asks_before: dict[str, str]) -> list[Change]:
        """What the quotes since then amount to: one change or none."""
        bids, asks = _difference(bids_before, self._bids.levels), _difference(asks_before, self._asks.levels)
        if not bids and not asks:
            return []
        self.sequence += 1
        self._book.forget()
        return [Change(self, at, self.sequence, bids, asks, None)]

    def _trade_ordinarily(self, at: float, noise: Noise) -> Change:
        fair = self._tick_fair
        middle = (self._asks.keys[0] - self._bids.keys[0]) / 2
        lean = max(-0.4, min(0.4, (fair - middle) / (fair * self.liquidity.half_spread) / 4))
        side, eaten = ("buy", self._asks) if noise.uniform() < 0.5 + lean else ("sell", self._bids)
        lots = min(self._draw_lots(noise), eaten.lots[0])
        if lots == eaten.lots[0] and len(eaten.keys) < 2:
            # The last level of a side is not taken but renewed.
            return self._changed(at, eaten, eaten.keys[0], self._draw_lots(noise))
        # Takers move the price their way.
        self._tick_fair += eaten.sign * fair * self.liquidity.half_spread * 0.1
        return self._trade(at, side, lots)

    def _trade(self, at: float, side: str, lots: int) -> Change:
        """Takes `lots`, which the best level has, from it."""
        eaten = self._asks if side == "buy" else self._bids
        key = eaten.keys[0]
        self._last_trade_id += 1
        trade = Trade(self._last_trade_id, at, eaten.levels[0][0], self._quantity_format % (lots / self._quantity_scale), side)
        self.trades.append(trade)
        return self._changed(at, eaten, key, eaten.lots[0] - lots, trade)

    def _changed(self, at: float, side: Side, key: int, lots: int, trade: Trade | None = None) -> Change:
        level = side.put(key, lots)
        self.sequence += 1
        self._book.forget()
        return Change(self, at, self.sequence, [], [level], trade) if side.sign > 0 else Change(self, at, self.sequence, [level], [], trade)

    def _requote_at(self, fair: float, noise: Noise) -> None:
        self.anchor, self._tick_fair = fair, max(2.0, fair * self._price_scale)
        self._requote(noise)

    def _requote(self, noise: Noise) -> None:
        """Brings the quotes of both sides to the fair value."""
        fair, half = self._tick_fair, self._tick_fair * self.liquidity.half_spread
        for side in (self._bids, self._asks):
            side.drop(0, bisect_left(side.keys, fair * side.sign))
        for side in (self._bids, self._asks):
            is_far = not side.keys or side.keys[0] - fair * side.sign > 4 * half + 2
            for _ in range(max(FEWEST_LEVELS - len(side.keys), 6 if is_far else 0)):
                side.put(self._draw_key(side, noise), self._draw_lots(noise))
            if is_far:
                # Someone is always ready to quote next to the fair value.
                best = round(fair * side.sign + half) if side.sign > 0 else -max(1, round(fair - half))
                side.put(self._uncrossed(side, best), self._draw_lots(noise))
            side.drop(MOST_LEVELS, len(side.keys))

    def _draw_key(self, side: Side, noise: Noise) -> int:
        """The price of a new quote: half a spread from the fair value or further, thinning out with the distance."""
        distance = self._tick_fair * self.liquidity.half_spread * (0.6 + 5.0 * noise.exponential())
        # No bid falls below a twentieth of the fair value.
        tick = self._tick_fair + distance if side.sign > 0 else max(self._tick_fair * 0.05, self._tick_fair - distance)
        return self._uncrossed(side, side.sign * max(1, round(tick)))

    def _uncrossed(self, side: Side, key: int) -> int:
        other = self._asks if side.sign < 0 else self._bids
        return max(key, 1 - other.keys[0]) if other.keys else key

    def _draw_lots(self, noise: Noise) -> int:
        return max(1, int(self.liquidity.level_size * noise.size() * self._quantity_scale))

    def _trade_before(self, at: float, noise: Noise) -> None:
        """Trades that happened before the world began, so that histories are not empty; rare where the market is quiet."""
        count = 3 + int(47 * min(1.0, self.trade_share * 4))
        spacing = self.liquidity.seconds_between_trades
        times = sorted(at - spacing * noise.exponential() * (number + 1) for number in range(count))
        for time in times:
            side = "buy" if noise.uniform() < 0.5 else "sell"
            price = self._price_format % (
                max(1, round(self._tick_fair * (1 + self.liquidity.half_spread * noise.normal()))) / self._price_scale
            )
            self._last_trade_id += 1
            quantity = self._quantity_format % (self._draw_lots(noise) / self._quantity_scale)
            self.trades.append(Trade(self._last_trade_id, time, price, quantity, side))


def _difference(before: dict[str, str], after: list[Level]) -> list[Level]:
    """The levels that changed between two states of a side."""
    now = dict(after)
    return [level for level in after if before.get(level[0]) != level[1]] + [(price, "0") for price in before if price not in now]
