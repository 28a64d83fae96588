"""The feed of an exchange for which there is a codec."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pnd_dagster.errors import PndError
from pnd_dagster.market.feeds.books import Book, checked
from pnd_dagster.market.feeds.codec import Codec
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.connection import Connection, pause_seconds
from pnd_dagster.market.feeds.protocol import FeedStatus, FrameError, Level, Listing, Sink
from pnd_dagster.market.feeds.sharding import place

FirstBook = Callable[[str], Awaitable[tuple[Sequence[Level], Sequence[Level]]]]
"""Bids and asks of a symbol, best first, from the exchange's REST API. Raises PndError where there is none to be had."""

# Connections that are opened at the same time.
OPENING = 8
# A coin without a book so long after its subscription is asked for one.
QUIET_SECONDS = 3.0
FIRST_BOOK_SECONDS = 20.0
FIRST_BOOKS_AT_ONCE = 8

_log = logging.getLogger(__name__)


class StreamingFeed:
    """See `Feed`. Listings that are not sighted yet count as out of sight from the start: `Sink.blind` is called of sighted ones only.

    Args:
        codec: the exchange's wire.
        first_book: how to get a book of a coin that is so quiet that none comes; None to wait.
    """

    def __init__(self, codec: Codec, first_book: FirstBook | None = None) -> None:
        self.exchange = codec.exchange
        self._codec = codec
        self._first_book = first_book
        self._wanted: dict[str, Listing] = {}
        self._coins: dict[str, tuple[Coin, Connection]] = {}
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._homeless = list[Coin]()
        self._refused: dict[str, str] = {}
        self._refused_keys = dict[str, Listing]()
        self._ended_reconnects = 0
        self._last_frame_at: float | None = None

    def levels(self, frame: object) -> tuple[Sequence[Level], Sequence[Level]]:
        """See `Feed.levels`."""
        if isinstance(frame, Book):
            return frame.bids, frame.asks
        try:
            return self._codec.levels(frame)
        except (TypeError, ValueError, AttributeError) as error:
            raise FrameError(f"no frame of {self.exchange}: {error}") from error

    def watch(self, listings: Sequence[Listing]) -> None:
        """See `Feed.watch`. Listings that were refused are tried again."""
        self._wanted = {self._codec.key(listing): listing for listing in listings}
        self._refused.clear()
        self._refused_keys.clear()
        self._changed.set()

    def status(self) -> FeedStatus:
        """See `Feed.status`."""
        seen = [connection.last_frame_at or 0.0 for connection in self._connections]
        latest = max([*seen, self._last_frame_at or 0.0])
        return FeedStatus(
            connections=len(self._connections),
            connected=sum(connection.is_connected for connection in self._connections),
            subscribed=sum(coin.has_trades and coin.has_books for coin, _ in self._coins.values()),
            reconnects=self._ended_reconnects + sum(connection.reconnects for connection in self._connections),
            last_frame_at=latest or None,
            refused=dict(self._refused),
        )

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """See `Feed.run`."""
        self._gate = asyncio.Semaphore(OPENING)
        self._sink = sink
        self._changed.set()
        helpers = [asyncio.create_task(self._follow()), asyncio.create_task(self._fill())]
        ended = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([ended, *helpers], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            tasks: list[asyncio.Task[Any]] = [ended, *helpers, *self._connections.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._connections.clear()
            self._coins.clear()

    # Which coins are where

    async def _follow(self) -> None:
        """Does what `watch` and refusals ask for."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = self._wanted
            gone = [key for key, (coin, _) in self._coins.items() if wanted.get(key) != coin.listing]
            self._remove(gone)
            homeless = [coin for coin in self._homeless if wanted.get(coin.key) == coin.listing]
            self._homeless = []
            waiting = {coin.key for coin in homeless}
            new = [
                Coin(listing, key)
                for key, listing in wanted.items()
                if key not in self._coins and key not in self._refused_keys and key not in waiting
            ]
            self._place(homeless + new)
            for connection in [connection for connection in self._connections if not connection.desk.coins]:
                self._close(connection)

    def _place(self, coins: list[Coin]) -> None:
        connections = list(self._connections)
        free = [connection.capacity - len(connection.desk.coins) for connection in connections]
        shares, more = place(coins, free, self._codec.limits.coins)
        for _ in more:
            connection = Connection(self._codec, self._sink, self._gate, self._refuse)
            connections.append(connection)
        for connection, share in zip(connections, [*shares, *more], strict=True):
            if share:
                connection.add(share)
                self._coins.update({coin.key: (coin, connection) for coin in share})
            if connection not in self._connections:
                self._connections[connection] = asyncio.create_task(connection.run())

    def _remove(self, keys: Sequence[str]) -> None:
        gone: dict[Connection, list[Coin]] = {}
        for key in keys:
            coin, connection = self._coins.pop(key)
            gone.setdefault(connection, []).append(coin)
        for connection, coins in gone.items():
            connection.remove(coins)

    def _close(self, connection: Connection) -> None:
        self._ended_reconnects += connection.reconnects
        self._last_frame_at = max(connection.last_frame_at or 0.0, self._last_frame_at or 0.0)
        self._connections.pop(connection).cancel()

    def _refuse(self, connection: Connection, coin: Coin, words: str, is_full: bool) -> None:
        """A connection that is full keeps what it has, and the coin goes to another; a coin that is refused is left out."""
        self._coins.pop(coin.key, None)
        others = len(connection.desk.coins) - 1
        connection.desk.lose((coin,), time.time(), "refused by the exchange")
        connection.remove((coin,))
        if is_full and others > 0:
            connection.capacity = min(connection.capacity, others)
            self._homeless.append(coin)
        else:
            _log.warning("%s refuses %s: %s", self.exchange, coin.listing.symbol, words)
            self._refused[coin.listing.symbol] = words
            self._refused_keys[coin.key] = coin.listing
        self._changed.set()

    # First books of quiet coins

    async def _fill(self) -> None:
        """Gets books for coins that are subscribed to but have none, a few at once; a failure delays that coin only."""
        asking: dict[str, asyncio.Task[None]] = {}
        due: dict[Coin, float] = {}
        try:
            while True:
                await asyncio.sleep(min(0.25, QUIET_SECONDS))
                asking = {key: task for key, task in asking.items() if not task.done()}
                now = time.monotonic()
                for connection in list(self._connections):
                    for coin in list(connection.desk.unsighted.values()):
                        is_quiet = coin.has_trades and coin.has_books and not coin.has_book and now - coin.waits_since > QUIET_SECONDS
                        if not is_quiet or coin.key in asking or now < due.get(coin, 0.0):
                            continue
                        if self._codec.sends_changes:
                            coin.waits_since = now
                            connection.desk.break_off(coin, time.time(), "no book")
                        elif self._first_book is not None and len(asking) < FIRST_BOOKS_AT_ONCE:
                            asking[coin.key] = asyncio.create_task(self._ask_first_book(coin, connection, self._first_book, due))
                for coin in [coin for coin, at in due.items() if at <= now]:
                    del due[coin]
        finally:
            for task in asking.values():
                task.cancel()

    async def _ask_first_book(self, coin: Coin, connection: Connection, first_book: FirstBook, due: dict[Coin, float]) -> None:
        reason = "no answer in time"
        try:
            async with asyncio.timeout(FIRST_BOOK_SECONDS):
                bids, asks = await first_book(coin.listing.symbol)
            book = Book(checked(bids, -1), checked(asks, 1))
        except (PndError, FrameError, TimeoutError, OSError, ValueError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            if connection.desk.coins.get(coin.key) is coin and coin.has_books and not coin.has_book:
                bid, ask = (side[0] if side else (float("nan"),) * 2 for side in book)
                connection.desk.book(coin, coin.version + 1, bid[0], bid[1], ask[0], ask[1], book, time.time())
            return
        coin.attempts += 1
        due[coin] = time.monotonic() + pause_seconds(coin.attempts)
        _log.info("%s: no first book of %s: %s", self.exchange, coin.listing.symbol, reason)
