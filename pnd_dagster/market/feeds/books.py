"""Levels of order books as exchanges print them: the best of each side at once, all of them when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from pnd_dagster.market.feeds.protocol import FrameError, Level
from pnd_dagster.tables import BOOK_LEVELS

# What no market trades at: a number beyond is a fault of the exchange, or of its decoding.
ABSURD_PRICE = 1e15
ABSURD_QUANTITY = 1e18
NOTHING = msgspec.Raw(b"")

_levels = msgspec.json.Decoder(list[tuple[float, float]], strict=False).decode
_two_levels = msgspec.json.Decoder(tuple[Level, Level], strict=False).decode


class Book(NamedTuple):
    """A book whose levels are read already: from an exchange's REST API, or kept by us where it sends changes only. Best first."""

    bids: Sequence[Level]
    asks: Sequence[Level]


def best(bids: msgspec.Raw, asks: msgspec.Raw) -> tuple[float, float, float, float]:
    """Price and quantity of the first bid and of the first ask; NaN for an empty side. The sides are JSON arrays of [price, quantity].

    Only the first levels are read, which is all that a frame is worth until its bucket ends.

    Raises:
        FrameError: a side is missing, or not an array of such pairs.
    """
    bid, ask = bytes(bids), bytes(asks)
    try:
        first, other = _two_levels(b"[" + bid[1 : bid.find(b"]") + 1] + b"," + ask[1 : ask.find(b"]") + 1] + b"]")
    except msgspec.MsgspecError:
        first, other = _first(bids), _first(asks)
    return first[0], first[1], other[0], other[1]


def _first(side: msgspec.Raw) -> Level:
    levels = _read(side)
    return levels[0] if levels else (math.nan, math.nan)


def _read(side: msgspec.Raw) -> list[Level]:
    try:
        return _levels(side)
    except msgspec.MsgspecError as error:
        raise FrameError(f"levels cannot be read: {error}") from None


def read_levels(bids: msgspec.Raw, asks: msgspec.Raw) -> tuple[list[Level], list[Level]]:
    """All levels of both sides, checked, see `checked`.

    Raises:
        FrameError: a side is missing, is no array of pairs, or holds a level that cannot be.
    """
    return checked(_read(bids), -1), checked(_read(asks), 1)


def checked(levels: Iterable[Level], direction: int) -> list[Level]:
    """The best `BOOK_LEVELS` of the levels of one side.

    Args:
        levels: price and quantity, best first.
        direction: 1 for asks, whose prices rise; -1 for bids.

    Raises:
        FrameError: a number is not finite, not positive or absurd, or the best is not first.
    """
    best_levels = list(levels)[:BOOK_LEVELS]
    last = -math.inf
    for price, quantity in best_levels:
        if not (0 < price < ABSURD_PRICE and 0 < quantity < ABSURD_QUANTITY):
            raise FrameError(f"a level of {quantity!r} at {price!r} cannot be")
        if price * direction < last:
            raise FrameError("the levels are not in order")
        last = price * direction
    return best_levels


def is_sound(price: float, quantity: float) -> bool:
    """Whether a market can have them: finite, positive and not absurd."""
    return 0 < price < ABSURD_PRICE and 0 < quantity < ABSURD_QUANTITY
