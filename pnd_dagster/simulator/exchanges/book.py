"""An order book in whole ticks and lots, kept sorted and printed, so that a top of it is a slice."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

# Price and quantity as the exchange prints them, USDT per base unit and base units; quantity "0" means that the level is gone.
Level = tuple[str, str]


class BookSummary(NamedTuple):
    """What a ledger keeps of a book: USDT, base units (sums over the levels sent), counts of levels, and `book_hash` of them."""

    mid_price: float
    bid_quantity: float
    ask_quantity: float
    bid_levels: int
    ask_levels: int
    hash: int


class Side:
    """One side of a book, best first.

    Attributes:
        sign: 1 for asks, -1 for bids.
        keys: prices in ticks times `sign`, so that the best is the smallest on both sides.
        lots: whole quantities.
        levels: both as printed.
    """

    __slots__ = ("_price_format", "_price_scale", "_quantity_format", "_quantity_scale", "keys", "levels", "lots", "sign")

    def __init__(self, sign: int, price_decimals: int, quantity_decimals: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.lots: list[int] = []
        self.levels: list[Level] = []
        self._price_scale, self._quantity_scale = 10**price_decimals, 10**quantity_decimals
        self._price_format, self._quantity_format = f"%.{price_decimals}f", f"%.{quantity_decimals}f"

    def put(self, key: int, lots: int) -> Level:
        """Sets the quantity at a price, 0 to remove the level. Returns the level as printed."""
        keys = self.keys
        place = bisect_left(keys, key)
        is_there = place < len(keys) and keys[place] == key
        price = self.levels[place][0] if is_there else self._price_format % (key * self.sign / self._price_scale)
        if lots <= 0:
            if is_there:
                del keys[place], self.lots[place], self.levels[place]
            return price, "0"
        level = (price, self._quantity_format % (lots / self._quantity_scale))
        if is_there:
            self.lots[place], self.levels[place] = lots, level
        else:
            keys.insert(place, key)
            self.lots.insert(place, lots)
            self.levels.insert(place, level)
        return level

    def drop(self, first: int, end: int) -> None:
        """Removes the levels from the place `first`, counted from the best, up to `end`."""
        del self.keys[first:end], self.lots[first:end], self.levels[first:end]


class Book:
    """Both sides. Whoever changes one calls `forget`, so that tops and summaries are made once per change."""

    def __init__(self, price_decimals: int, quantity_decimals: int) -> None:
        self.bids = Side(-1, price_decimals, quantity_decimals)
        self.asks = Side(1, price_decimals, quantity_decimals)
        self._quantity_scale = 10**quantity_decimals
        self._tops: dict[int, tuple[list[Level], list[Level]]] = {}
        self._summaries: dict[int, BookSummary] = {}

    def forget(self) -> None:
        """Lets go of what was made of the book before a change."""
        if self._tops:
            self._tops = {}
        if self._summaries:
            self._summaries = {}

    def top(self, depth: int) -> tuple[list[Level], list[Level]]:
        """Bids and asks, best first, at most `depth` each."""
        top = self._tops.get(depth)
        if top is None:
            top = self._tops[depth] = self.bids.levels[:depth], self.asks.levels[:depth]
        return top

    def summary(self, depth: int) -> BookSummary:
        """The summary of `top(depth)`."""
        summary = self._summaries.get(depth)
        if summary is None:
            bids, asks = self.bids, self.asks
            bid_lots, ask_lots = bids.lots[:depth], asks.lots[:depth]
            summary = self._summaries[depth] = BookSummary(
                (float(bids.levels[0][0]) + float(asks.levels[0][0])) / 2,
                sum(bid_lots) / self._quantity_scale,
                sum(ask_lots) / self._quantity_scale,
                len(bid_lots),
                len(ask_lots),
                hash((*bids.keys[:depth], *bid_lots, *asks.keys[:depth], *ask_lots)),
            )
        return summary


def book_hash(bids: Iterable[Level], asks: Iterable[Level]) -> int:
    """A hash of a book from its levels as printed: equal books, equal hashes, in every process of a 64-bit machine."""
    bids, asks = list(bids), list(asks)
    bid_ticks, bid_lots = [-_digits(price) for price, _ in bids], [_digits(quantity) for _, quantity in bids]
    # Python salts the hashes of strings but not those of numbers.
    return hash((*bid_ticks, *bid_lots, *(_digits(price) for price, _ in asks), *(_digits(quantity) for _, quantity in asks)))


def _digits(printed: str) -> int:
    return int(printed.replace(".", ""))
