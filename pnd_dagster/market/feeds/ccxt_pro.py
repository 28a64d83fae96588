"""The feed of any other exchange, through ccxt.pro.

ccxt.pro does not check sequences, closes the shared socket when one coin fails, and then cancels the tasks of all others. So each client
has few coins, each coin has tasks of its own that outlive such cancellations, a book that is crossed or stands still while trades go on is
asked for anew, and a client that fails again and again is replaced.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from pnd_dagster.errors import PndError, SettingError
from pnd_dagster.market.feeds.books import Book, checked
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.connection import MALFORMED, pause_seconds
from pnd_dagster.market.feeds.desk import Desk
from pnd_dagster.market.feeds.protocol import BUY, SELL, UNKNOWN, FeedStatus, FrameError, Level, Listing, Sink
from pnd_dagster.market.feeds.sharding import place
from pnd_dagster.market.rest import ask, configure
from pnd_dagster.tables import BOOK_LEVELS

COINS_PER_CLIENT = 50
TRADES_LIMIT = 1_000
# Failures in a row of one coin, or crossed books, after which its client is replaced.
MOST_FAILURES = 5
MOST_CROSSED = 3
# A book that stands still for so long while trades come is stale.
STALE_SECONDS = 60.0

_SIDES = {"buy": BUY, "sell": SELL}
_log = logging.getLogger(__name__)


class CcxtFeed:
    """See `Feed`. ccxt.pro does not say when a subscription stands: a coin is sighted with its first book.

    Args:
        exchange: ccxt's id.
        url: base address of simulated exchanges, None for the real one.

    Raises:
        SettingError: ccxt.pro does not stream that exchange.
    """

    def __init__(self, exchange: str, *, url: str | None = None) -> None:
        import ccxt.pro  # 1 s, and only this driver needs it

        if exchange not in ccxt.pro.exchanges:
            raise SettingError(f"PND_EXCHANGES: neither this package nor ccxt.pro streams {exchange!r}")
        self.exchange = exchange
        self._url = url
        self._wanted: dict[str, Listing] = {}
        self._clients: dict[_Client, asyncio.Task[None]] = {}
        self._refused: dict[str, str] = {}
        self._changed = asyncio.Event()

    def levels(self, frame: object) -> tuple[Sequence[Level], Sequence[Level]]:
        """See `Feed.levels`."""
        if not isinstance(frame, Book):
            raise FrameError(f"no frame of {self.exchange}")
        return checked(frame.bids, -1), checked(frame.asks, 1)

    def watch(self, listings: Sequence[Listing]) -> None:
        """See `Feed.watch`. Listings that were refused are tried again."""
        self._wanted = {listing.symbol: listing for listing in listings}
        self._refused.clear()
        self._changed.set()

    def status(self) -> FeedStatus:
        """See `Feed.status`. A connection is a client, which may have several sockets."""
        clients = list(self._clients)
        return FeedStatus(
            connections=len(clients),
            connected=sum(client.is_open for client in clients),
            subscribed=sum(coin.has_book for client in clients for coin in client.desk.coins.values()),
            reconnects=sum(client.restarts for client in clients),
            last_frame_at=max((client.desk.last_data_at for client in clients), default=0.0) or None,
            refused=dict(self._refused),
        )

    async def run(self, sink: Sink, stop: asyncio.Event) -> None:
        """See `Feed.run`."""
        self._changed.set()
        ended = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait([ended, changed], return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                self._changed.clear()
                if not stop.is_set():
                    self._share_out(sink)
        finally:
            tasks: list[asyncio.Task[Any]] = [ended, *self._clients.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._clients.clear()

    def _share_out(self, sink: Sink) -> None:
        for client in list(self._clients):
            client.remove([key for key, coin in client.desk.coins.items() if self._wanted.get(key) != coin.listing])
            if not client.desk.coins:
                self._clients.pop(client).cancel()
        taken = {key for client in self._clients for key in client.desk.coins}
        new = [Coin(listing, key) for key, listing in self._wanted.items() if key not in taken and key not in self._refused]
        clients = list(self._clients)
        shares, more = place(new, [COINS_PER_CLIENT - len(client.desk.coins) for client in clients], COINS_PER_CLIENT)
        clients += [_Client(self.exchange, self._url, sink, self._refuse) for _ in more]
        for client, share in zip(clients, [*shares, *more], strict=True):
            client.add(share)
            if client not in self._clients:
                self._clients[client] = asyncio.create_task(client.run())

    def _refuse(self, coin: Coin, words: str) -> None:
        self._refused[coin.listing.symbol] = words
        _log.warning("%s refuses %s: %s", self.exchange, coin.listing.symbol, words)
        self._changed.set()


class _Client:
    """One instance of a ccxt.pro client with some coins, replaced when it is of no more use."""

    def __init__(self, exchange: str, url: str | None, sink: Sink, refused: Any) -> None:
        self.desk = Desk(sink, lambda coin, words, is_full: refused(coin, words))
        self.is_open = False
        self.restarts = 0
        self._exchange, self._url, self._refused = exchange, url, refused
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._client: Any = None
        self._is_useless = asyncio.Event()
        self._trade_at: dict[str, float] = {}

    def add(self, coins: Sequence[Coin]) -> None:
        for coin in coins:
            coin.forget()
            self.desk.coins[coin.key] = coin
            if self.is_open:
                self._start(coin)

    def remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.desk.coins.pop(key, None)
            self.desk.unsighted.pop(key, None)
            for task in self._tasks.pop(key, ()):
                task.cancel()

    async def run(self) -> None:
        """Keeps a client until it is cancelled."""
        failures = 0
        while True:
            reason, began = "connection lost", time.monotonic()
            try:
                async with _opened(self._exchange, self._url) as client:
                    self._client = client
                    await ask(client, "load_markets")
                    try:
                        await self._live()
                    finally:
                        # Before the client is closed: it cancels what waits for it, which would look like a loss.
                        await self._end()
            except (PndError, OSError, *MALFORMED) as error:
                reason = str(error)
            self.restarts += 1
            self.desk.lose(self.desk.coins.values(), self.desk.last_data_at or time.time(), reason)
            for coin in self.desk.coins.values():
                coin.forget()
            failures = 1 if time.monotonic() - began > STALE_SECONDS else failures + 1
            await asyncio.sleep(pause_seconds(failures))

    async def _live(self) -> None:
        self._is_useless.clear()
        self.is_open = True
        for coin in list(self.desk.coins.values()):
            self._start(coin)
        await self._is_useless.wait()

    async def _end(self) -> None:
        self.is_open = False
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, coin: Coin) -> None:
        coin.has_trades = coin.has_books = True
        self.desk.unsighted[coin.key] = coin
        self._tasks[coin.key] = tasks = [asyncio.create_task(self._follow(coin, step)) for step in (self._next_book, self._next_trades)]
        for task in tasks:
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task that ends by a fault nobody foresaw must not leave its coin unwatched."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s: a coin's task failed", self._exchange, exc_info=error)
            self._is_useless.set()

    async def _follow(self, coin: Coin, step: Any) -> None:
        """Takes one step after the other; a failure is the coin's own, whoever caused it."""
        import ccxt

        failures = 0
        while True:
            began = time.time()
            try:
                await step(coin)
                failures = 0
                continue
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                reason = "the shared socket was closed"
            except (ccxt.BadSymbol, ccxt.NotSupported) as error:
                # Not by us: the tasks that are cancelled by the removal are this one too.
                self.desk.lose((coin,), began, "refused by the exchange")
                self._refused(coin, str(error)[:200])
                return
            except TimeoutError:
                reason = "the book stands still while trades go on"
            except (ccxt.BaseError, PndError, OSError, *MALFORMED) as error:
                reason = f"{type(error).__name__}: {error}"[:200]
            self.desk.lose((coin,), coin.state or began, reason)
            cast("dict[str, Any]", self._client.orderbooks).pop(coin.key, None)
            failures += 1
            if failures >= MOST_FAILURES:
                _log.warning("%s: %s failed %d times: %s", self._exchange, coin.listing.symbol, failures, reason)
                self._is_useless.set()
            await asyncio.sleep(pause_seconds(failures))

    async def _next_book(self, coin: Coin) -> None:
        update = asyncio.ensure_future(self._client.watch_order_book(coin.key))
        try:
            while not (await asyncio.wait([update], timeout=STALE_SECONDS))[0]:
                if coin.state is not None and self._trade_at.get(coin.key, 0.0) > coin.state:
                    raise TimeoutError
            book = update.result()
        finally:
            update.cancel()
        bids, asks = (_side(book[side]) for side in ("bids", "asks"))
        at = time.time()
        if bids and asks and bids[0][0] >= asks[0][0]:
            # A missed change leaves levels that are gone: the book crosses sooner or later.
            coin.late += 1
            if coin.late > MOST_CROSSED:
                raise FrameError("the book stays crossed")
        else:
            coin.late = 0
        late, bid, ask_ = coin.late, *((side[0] if side else (math.nan, math.nan)) for side in (bids, asks))
        self.desk.book(coin, coin.version + 1, *bid, *ask_, Book(bids, asks), at)
        coin.late, coin.state = late, at

    async def _next_trades(self, coin: Coin) -> None:
        trades = await self._client.watch_trades(coin.key)
        at = time.time()
        self._trade_at[coin.key] = at
        if len(trades) >= TRADES_LIMIT:
            self.desk.missed(coin, at, at, "more trades than ccxt keeps")
        for trade in trades:
            price, quantity = float(trade["price"] or 0), float(trade["amount"] or 0)
            self.desk.trade(coin, trade["id"], price, quantity, _SIDES.get(trade["side"], UNKNOWN), at)


def _side(side: Any) -> list[Level]:
    return [(float(level[0]), float(level[1])) for level in side[:BOOK_LEVELS]]


@asynccontextmanager
async def _opened(exchange: str, url: str | None) -> AsyncGenerator[Any]:
    import ccxt.pro

    client: Any = getattr(ccxt.pro, exchange)({"enableRateLimit": True, "newUpdates": True, "options": {"tradesLimit": TRADES_LIMIT}})
    configure(client, url=url)
    # Else a coin with few updates waits for minutes for its first book.
    client.options["watchOrderBook"] = {**(client.options.get("watchOrderBook") or {}), "snapshotDelay": 0}
    try:
        yield client
    finally:
        await client.close()
