"""Stored trades and books as the buckets that a collector would have written, for windows that end at given instants.

The metrics of a bucket are those of `market.trade_metrics`, `market.book_metrics` and `market.order_flow`: what live computes. What is not
in the data is unknown (NaN): everything of trades before the first of them, everything of books before the first of these.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pnd_dagster.market.book_metrics import Books, Floats, Integers, book_metrics, empty_books, usable_books
from pnd_dagster.market.order_flow import best_level_flow
from pnd_dagster.market.trade_metrics import Trades, trade_metrics
from pnd_dagster.market.windows import EXTREMES, FLOWS, STATES, Grid, bucket_count
from pnd_dagster.tables import BUCKET_SECONDS

_BUCKET_MS = BUCKET_SECONDS * 1000
_TRADE_FLOWS = tuple(name for name in FLOWS if name != "best_level_flow")


class TradeStream(NamedTuple):
    """Trades of one coin, ascending in time, [trades] each.

    Attributes:
        times: milliseconds since 1970.
        prices: quote units.
        quantities: base units.
        sides: the takers': 1 buys, -1 sells, 0 unknown.
    """

    times: Integers
    prices: Floats
    quantities: Floats
    sides: Integers


class BookStream(NamedTuple):
    """Books of one coin, ascending in time.

    Attributes:
        times: [books], milliseconds since 1970.
        books: [books], each row the book as it stood from then on.
    """

    times: Integers
    books: Books


def grid_of(trades: TradeStream | None, books: BookStream | None, cutoffs: Integers, seconds: int) -> Grid:
    """One coin's buckets that end in (cutoff - `seconds`, cutoff], aligned at each cut-off; nothing later is read.

    Args:
        trades: its trades; None leaves their metrics unknown.
        books: its books; None leaves their metrics unknown.
        cutoffs: [cutoffs], milliseconds since 1970; they are the grid's rows.
        seconds: length, a multiple of a bucket.
    """
    width = bucket_count(seconds)
    unknown = np.broadcast_to(np.nan, (len(cutoffs), width))
    names: tuple[str, ...] = (*STATES, *FLOWS, *EXTREMES)
    buckets: dict[str, Floats] = dict.fromkeys(names, unknown)
    if trades is not None and len(trades.times):
        buckets |= _trade_buckets(trades, cutoffs, width)
    if books is not None and len(books.times):
        buckets |= _book_buckets(books, cutoffs, width)
    return Grid(buckets, np.full(len(cutoffs), np.nan))


def _trade_buckets(stream: TradeStream, cutoffs: Integers, width: int) -> dict[str, Floats]:
    rows, places, columns = _places(stream.times, cutoffs, width)
    slots, dense = np.unique(rows * width + columns, return_inverse=True)
    trades = Trades(dense, stream.prices[places], stream.quantities[places], stream.sides[places])
    _, metrics = trade_metrics(trades, np.full(len(slots), np.nan), empty_books(len(slots), 1))
    is_known = _ends(cutoffs, width) >= stream.times[0]
    buckets: dict[str, Floats] = {}
    for name in (*_TRADE_FLOWS, *EXTREMES):
        values = np.full(is_known.size, np.nan if name in EXTREMES else 0.0)
        values[slots] = metrics[name]
        buckets[name] = np.where(is_known, values.reshape(is_known.shape), np.nan)
    return buckets


def _book_buckets(stream: BookStream, cutoffs: Integers, width: int) -> dict[str, Floats]:
    ends = _ends(cutoffs, width)
    before, last = (np.searchsorted(stream.times, at, side="right") - 1 for at in (ends - _BUCKET_MS, ends))
    has_book = last >= 0
    states = book_metrics(stream.books)
    buckets = {name: np.where(has_book, states[name][last], np.nan) for name in STATES}

    books, is_usable = stream.books, usable_books(stream.books)
    best = np.column_stack([side[:, 0] for side in books[:4]])
    quotes = np.where(((books.bid_levels > 0) & (books.ask_levels > 0))[:, None], best, np.nan)
    rows, places, columns = _places(stream.times, cutoffs, width)
    earlier = before.ravel()
    last_quotes = np.where(earlier[:, None] >= 0, quotes[earlier], np.nan)
    flow = best_level_flow(rows * width + columns, quotes[places], last_quotes).reshape(ends.shape)
    flow = np.where(last > before, np.where(is_usable[last], flow, np.nan), 0.0)
    return buckets | {"best_level_flow": np.where(has_book, flow, np.nan)}


def _places(times: Integers, cutoffs: Integers, width: int) -> tuple[Integers, Integers, Integers]:
    """Of all that lies within the grid: its row, its place in the stream, its bucket; a bucket holds (end - 5 s, end]."""
    starts = cutoffs - width * _BUCKET_MS
    first, beyond = np.searchsorted(times, starts, side="right"), np.searchsorted(times, cutoffs, side="right")
    counts = beyond - first
    rows = np.repeat(np.arange(len(cutoffs)), counts)
    places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[rows]
    return rows, places, -((starts[rows] - times[places]) // _BUCKET_MS) - 1


def _ends(cutoffs: Integers, width: int) -> Integers:
    """End of each bucket, [cutoffs, buckets]."""
    return cutoffs[:, None] - _BUCKET_MS * np.arange(width - 1, -1, -1)
