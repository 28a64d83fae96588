"""A coin as a connection knows it."""

from __future__ import annotations

from typing import Any

from pnd_dagster.market.feeds.protocol import Listing

# How many ids of a coin's last trades are remembered, to know those that come twice.
REMEMBERED_TRADES = 128


class Coin:
    """One listing on one connection.

    Attributes:
        listing: what it is.
        key: how its exchange's frames name it.
        slot: its place in the sink.
        version: of the last book, as the exchange counts; 0 for none.
        book_at: when that came, Unix seconds.
        late: frames in a row that were older than `version`.
        has_trades, has_books: the exchange said that it sends them.
        has_book: a book came since the subscription or the last loss.
        is_sighted: as the sink was told.
        waits_since: since when a book is awaited, monotonic seconds.
        attempts: how often in a row asking for something failed.
        state: what its codec keeps of it.
    """

    __slots__ = (
        "attempts",
        "book_at",
        "has_book",
        "has_books",
        "has_trades",
        "is_sighted",
        "key",
        "late",
        "listing",
        "recent_trades",
        "slot",
        "state",
        "version",
        "waits_since",
    )

    def __init__(self, listing: Listing, key: str) -> None:
        self.listing = listing
        self.key = key
        self.slot = listing.slot
        self.recent_trades = dict[str | int, None]()
        self.is_sighted = False
        self.attempts = 0
        self.forget()

    def forget(self) -> None:
        """It is on no connection now. The trades it had are remembered, so that none counts twice."""
        self.version = self.late = 0
        self.book_at = 0.0
        self.has_trades = self.has_books = self.has_book = False
        self.waits_since = 0.0
        self.state: Any = None

    def is_new_trade(self, trade_id: str | int) -> bool:
        """Whether the trade did not come before; it is remembered."""
        recent = self.recent_trades
        if trade_id in recent:
            return False
        recent[trade_id] = None
        if len(recent) > REMEMBERED_TRADES:
            del recent[next(iter(recent))]
        return True
