"""Our codecs' feeds against simulated exchanges, on sound days."""

from __future__ import annotations

import asyncio
from typing import Any

import polars as pl
import pytest

from pnd_dagster.market.feeds.open import open_feed
from tests.unit.market.feeds.recorder import EXCHANGES, exchanges, listings, market_id, rest_books, running, small, until


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_books_and_trades_are_those_that_the_exchange_sent(exchange: str) -> None:
    async def scene() -> None:
        async with exchanges(exchange, rate=400) as server:
            watched = await listings(server, exchange)
            feed = open_feed(exchange, url=server.url, first_book=rest_books(server, exchange))
            async with running(feed, watched) as sink:
                await until(lambda: sum(map(len, sink.trades.values())) >= 5)
            sent_books = server.ledger.books().filter(_of(exchange))
            sent_trades = server.ledger.trades().filter(_of(exchange))
            for listing in watched:
                base = listing.symbol.partition("/")[0]
                mids = set(sent_books.filter(sent_books["base"] == base)["mid_price"].to_list())
                streamed = [book for book in sink.books[listing.slot] if not _is_from_rest(book)]
                for bid, _, ask, _, frame, _ in streamed:
                    assert min(abs((bid + ask) / 2 - mid) for mid in mids) <= 1e-9 * bid
                    bids, asks = feed.levels(frame)
                    assert bids[0][0] == bid
                    assert asks[0][0] == ask
                    assert 10 < len(bids) <= 20
                told = sent_trades.filter(sent_trades["base"] == base).select("price", "quantity").rows()
                got = [trade[:2] for trade in sink.trades.get(listing.slot, [])]
                assert got == told[: len(got)]
            assert sink.rejected == []
            assert sink.duplicates == []
            assert sink.losses() == []

    asyncio.run(scene())


def _of(exchange: str) -> pl.Expr:
    return pl.col("exchange") == exchange


def _is_from_rest(book: tuple[Any, ...]) -> bool:
    return type(book[4]).__name__ == "Book"


def test_a_listing_that_is_added_or_removed_leaves_the_others_alone() -> None:
    async def scene() -> None:
        async with exchanges("poloniex", total=200, rate=400) as server:
            watched = await listings(server, "poloniex", 12)
            feed = small("poloniex", server.url, coins=5, batch=2)
            async with running(feed, watched[:6]) as sink:
                assert feed.status().connections == 2
                feed.watch(watched[1:])
                await until(lambda: len(sink.seen()) == 12)
                assert feed.status().subscribed == 11
                count = len(sink.books[0])
                others = sum(len(sink.books[slot]) for slot in range(1, 12))
                await until(lambda: sum(len(sink.books[slot]) for slot in range(1, 12)) > others + 20)
                assert len(sink.books[0]) <= count + 1
                assert sink.losses() == []
                subscribed = {tag for connection in server.connections("poloniex") for tag in connection.subscriptions}
                assert not any(tag.endswith(f":{watched[0].market_id}") for tag in subscribed)

    asyncio.run(scene())


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_coin_that_the_exchange_does_not_know_is_refused_alone(exchange: str) -> None:
    async def scene() -> None:
        async with exchanges(exchange) as server:
            known = await listings(server, exchange, 6)
            wrong = known[0]._replace(
                slot=99, symbol="NOSUCH/USDT", market_id=market_id(exchange, "NOSUCH"), base_id="00000000-0000-0000-0000-000000000000"
            )
            feed = small(exchange, server.url, rest_books(server, exchange), answer_seconds=1.0)
            async with running(feed, [*known[:3], wrong, *known[3:]], until_seen=False) as sink:
                await until(lambda: len(sink.seen()) == 6 and feed.status().refused)
                assert list(feed.status().refused) == ["NOSUCH/USDT"]
                assert feed.status().refused["NOSUCH/USDT"]
                assert feed.status().subscribed == 6
                assert sink.losses() == []

    asyncio.run(scene())


def test_mexc_takes_fifteen_coins_per_connection() -> None:
    async def scene() -> None:
        async with exchanges("mexc", total=120) as server:
            watched = await listings(server, "mexc", 40)
            feed = open_feed("mexc", url=server.url, first_book=rest_books(server, "mexc"))
            async with running(feed, watched):
                assert feed.status().connections == 3
                assert sorted(len(connection.subscriptions) for connection in server.connections("mexc")) == [26, 26, 28]

    asyncio.run(scene())


def test_what_a_full_connection_refuses_goes_to_another() -> None:
    async def scene() -> None:
        async with exchanges("mexc", total=120) as server:
            watched = await listings(server, "mexc", 20)
            # As if we believed that MEXC takes 40 subscriptions: from the 31st on it refuses.
            feed = small("mexc", server.url, rest_books(server, "mexc"), coins=20, batch=20)
            async with running(feed, watched):
                status = feed.status()
                assert status.refused == {}
                assert status.connections == 2
                assert status.subscribed == 20

    asyncio.run(scene())
