"""What the feeds' tests share: a sink that remembers, small simulated exchanges, a feed that runs against them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pnd_dagster.market.feeds.codec import Codec
from pnd_dagster.market.feeds.open import CODECS
from pnd_dagster.market.feeds.protocol import Feed, Listing
from pnd_dagster.market.feeds.streaming import StreamingFeed
from pnd_dagster.simulator.exchanges.server import SimulatedExchanges
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.universe import make_universe

EXCHANGES = ("latoken", "kucoin", "mexc", "poloniex", "xt")


class Recorder:
    """A `Sink` that remembers what it was given."""

    def __init__(self) -> None:
        self.books: dict[int, list[tuple[Any, ...]]] = {}
        self.trades: dict[int, list[tuple[float, float, int]]] = {}
        self.rejected: list[tuple[int | None, str]] = []
        self.duplicates: list[int] = []
        # ("blind", slot, since, reason) and ("sighted", slot, at)
        self.sight: list[tuple[Any, ...]] = []

    def book(self, slot: int, *book: Any) -> None:
        self.books.setdefault(slot, []).append(book)

    def trade(self, slot: int, price: float, quantity: float, side: int, received_at: float) -> None:
        self.trades.setdefault(slot, []).append((price, quantity, side))

    def reject(self, slot: int | None, reason: str) -> None:
        self.rejected.append((slot, reason))

    def duplicate(self, slot: int) -> None:
        self.duplicates.append(slot)

    def blind(self, slots: Sequence[int], since: float, reason: str) -> None:
        self.sight += [("blind", slot, since, reason) for slot in slots]

    def sighted(self, slots: Sequence[int], at: float) -> None:
        self.sight += [("sighted", slot, at) for slot in slots]

    def seen(self) -> set[int]:
        """Slots that are in sight now."""
        state = {event[1]: event[0] for event in self.sight}
        return {slot for slot, what in state.items() if what == "sighted"}

    def losses(self, slot: int | None = None) -> list[str]:
        """Reasons for which slots, or one, went out of sight, in order."""
        return [event[3] for event in self.sight if event[0] == "blind" and slot in (None, event[1])]


@asynccontextmanager
async def exchanges(only: str, *, total: int = 60, rate: float = 100.0) -> AsyncIterator[SimulatedExchanges]:
    """Simulated exchanges with few markets, all of one exchange, and so many changes per second."""
    universe = make_universe(7, total)
    listed = {exchange: markets if exchange == only else () for exchange, markets in universe.listings.items()}
    async with SimulatedExchanges(World(universe._replace(listings=listed), seed=3, rate=rate)) as server:
        yield server


def market_id(exchange: str, base: str) -> str:
    """The exchange's name of a coin's USDT market."""
    return {"kucoin": f"{base}-USDT", "mexc": f"{base}USDT", "poloniex": f"{base}_USDT", "xt": f"{base.lower()}_usdt"}.get(exchange, base)


async def listings(server: SimulatedExchanges, exchange: str, count: int | None = None) -> list[Listing]:
    """Listings of the exchange's first markets, slots from 0 on."""
    bases = list(server.world.markets[exchange])[:count]
    ids: dict[str, str] = {}
    if exchange == "latoken":
        import aiohttp

        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/latoken/v2/currency") as response:
            ids = {currency["tag"]: currency["id"] for currency in await response.json()}
    return [
        Listing(slot, 1_000 + slot, f"{base}/USDT", market_id(exchange, base), ids.get(base, base), ids.get("USDT", "USDT"))
        for slot, base in enumerate(bases)
    ]


@asynccontextmanager
async def running(feed: Feed, watched: Sequence[Listing], *, until_seen: bool = True) -> AsyncIterator[Recorder]:
    """The feed runs meanwhile; by default from when all that it watches is in sight."""
    sink, stop = Recorder(), asyncio.Event()
    feed.watch(watched)
    task = asyncio.create_task(feed.run(sink, stop))
    try:
        if until_seen:
            await until(lambda: len(sink.seen()) == len(watched), task=task)
        yield sink
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)


async def until(condition: Callable[[], Any], *, seconds: float = 10.0, task: asyncio.Task[Any] | None = None) -> None:
    """Waits for it.

    Raises:
        AssertionError: it did not come true in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if task is not None and task.done():
            task.result()
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.02)


def small(exchange: str, url: str, first_book: Any = None, **limits: Any) -> StreamingFeed:
    """A feed with other limits than the exchange's."""
    codec: Codec = CODECS[exchange](url)
    codec.limits = codec.limits._replace(**limits)
    return StreamingFeed(codec, first_book)


def rest_books(server: Any, exchange: str) -> Any:
    """First books without asking by REST: the truth."""

    async def first_book(symbol: str) -> Any:
        bids, asks = server.world.markets[exchange][symbol.partition("/")[0]].book(20)
        return [(float(p), float(q)) for p, q in bids], [(float(p), float(q)) for p, q in asks]

    return first_book
