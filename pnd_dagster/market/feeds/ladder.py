"""A book that is kept from its changes."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from pnd_dagster.market.feeds.books import Book, is_sound
from pnd_dagster.market.feeds.protocol import FrameError, Level
from pnd_dagster.tables import BOOK_LEVELS

# More levels of one side are the sign of changes that were never taken back.
_MOST_LEVELS = 5_000


class Change(msgspec.Struct, gc=False):
    """The quantity at a price from now on; 0 takes the level away."""

    price: float
    quantity: float


class Ladder:
    """One side of a book.

    Args:
        direction: 1 for asks, -1 for bids.
    """

    __slots__ = ("_direction", "_prices", "_quantities")

    def __init__(self, direction: int) -> None:
        self._direction = direction
        # Prices times direction, so that the best is always first.
        self._prices = list[float]()
        self._quantities = list[float]()

    def change(self, changes: Iterable[Change]) -> None:
        """Makes the changes in turn.

        Raises:
            FrameError: a price or quantity cannot be.
        """
        for change in changes:
            price, quantity = change.price, change.quantity
            if not is_sound(price, quantity or 1.0):
                raise FrameError(f"a level of {quantity!r} at {price!r} cannot be")
            at = price * self._direction
            place = bisect_left(self._prices, at)
            is_there = place < len(self._prices) and self._prices[place] == at
            if not quantity:
                if is_there:
                    del self._prices[place], self._quantities[place]
            elif is_there:
                self._quantities[place] = quantity
            else:
                self._prices.insert(place, at)
                self._quantities.insert(place, quantity)
        if len(self._prices) > _MOST_LEVELS:
            raise FrameError(f"more than {_MOST_LEVELS} levels")

    def best(self) -> Level:
        """The best level, NaN if there is none."""
        return (self._prices[0] * self._direction, self._quantities[0]) if self._prices else (math.nan, math.nan)

    def top(self) -> tuple[list[float], list[float]]:
        """Copies of the best prices (times direction) and their quantities."""
        return self._prices[:BOOK_LEVELS], self._quantities[:BOOK_LEVELS]


def as_book(bids: tuple[list[float], list[float]], asks: tuple[list[float], list[float]]) -> Book:
    """The book of two sides' `Ladder.top`."""
    return Book([(-price, quantity) for price, quantity in zip(*bids, strict=True)], list(zip(*asks, strict=True)))
