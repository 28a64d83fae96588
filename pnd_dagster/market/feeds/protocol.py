"""What a feed takes and gives: listings in, books and trades out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

# (price, quantity): USDT per base unit, base units.
Level = tuple[float, float]
# Taker's side of a trade.
BUY, SELL, UNKNOWN = 1, -1, 0


class FrameError(Exception):
    """A frame does not say what its exchange's protocol promises. The frame is dropped and counted; the feed goes on."""


class Listing(NamedTuple):
    """An instrument as a feed needs it. `slot` is its place in the sink's arrays."""

    slot: int
    instrument_id: int
    symbol: str
    market_id: str
    base_id: str
    quote_id: str


class Sink(Protocol):
    """Where a feed puts what it receives. All methods are called in the event loop and must be quick. Times are Unix seconds."""

    def book(
        self,
        slot: int,
        bid_price: float,
        bid_quantity: float,
        ask_price: float,
        ask_quantity: float,
        frame: object,
        received_at: float,
    ) -> None:
        """A whole new book: the best level of each side (NaN where a side is empty), and what `Feed.levels` can read all levels from."""
        ...

    def trade(self, slot: int, price: float, quantity: float, side: int, received_at: float) -> None:
        """A trade; `side` is the taker's."""
        ...

    def reject(self, slot: int | None, reason: str) -> None:
        """A frame was refused as malformed or absurd; it may have been the only news of `slot`."""
        ...

    def duplicate(self, slot: int) -> None:
        """A frame or trade was dropped because it came twice, or later than a newer one."""
        ...

    def blind(self, slots: Sequence[int], since: float, reason: str) -> None:
        """The feed saw nothing of these since then."""
        ...

    def sighted(self, slots: Sequence[int], at: float) -> None:
        """The feed sees these again: their trades arrive, and their book is known."""
        ...


class FeedStatus(NamedTuple):
    """How a feed is."""

    connections: int
    connected: int
    subscribed: int
    reconnects: int
    last_frame_at: float | None
    # Listings the exchange refuses, by symbol, with its words.
    refused: dict[str, str]


class Feed(Protocol):
    """The live books and trades of one exchange's listings."""

    exchange: str

    def levels(self, frame: object) -> tuple[Sequence[Level], Sequence[Level]]:
        """Bids and asks of a frame that was put into the sink, best first, at most 20 each. May be called in another thread.

        Raises:
            FrameError: a level is malformed, not finite, negative or absurd.
        """
        ...

    def watch(self, listings: Sequence[Listing]) -> None:
        """The listings to follow from now on; may be called while it runs."""
        ...

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """Feeds `sink` until `stop` is set. Connections come and go inside; a failure of one listing touches no other."""
        ...

    def status(self) -> FeedStatus:
        """How it is now."""
        ...
