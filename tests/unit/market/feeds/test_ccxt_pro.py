"""The driver for exchanges without a codec of ours, at exchanges that ccxt.pro streams and that we can simulate."""

from __future__ import annotations

import asyncio

import pytest

from pnd_dagster.errors import SettingError
from pnd_dagster.market.feeds import connection
from pnd_dagster.market.feeds.ccxt_pro import CcxtFeed
from pnd_dagster.market.feeds.open import open_feed
from tests.unit.market.feeds.recorder import exchanges, listings, running, until

RATE = 200.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed coins do not wait as long as they do in earnest."""
    monkeypatch.setattr(connection, "FIRST_PAUSE_SECONDS", 0.05)


@pytest.mark.parametrize("exchange", ["poloniex", "kucoin", "mexc"])
def test_books_and_trades_are_those_that_the_exchange_sent(exchange: str) -> None:
    async def scene() -> None:
        async with exchanges(exchange, rate=RATE) as server:
            watched = await listings(server, exchange, 8)
            feed = CcxtFeed(exchange, url=server.url)
            async with running(feed, watched) as sink:
                await until(lambda: sink.trades)
                assert feed.status().subscribed == 8
            told = {(trade["base"], trade["price"], trade["quantity"]) for trade in server.ledger.trades().iter_rows(named=True)}
            for listing in watched:
                base = listing.symbol.partition("/")[0]
                assert all((base, price, quantity) in told for price, quantity, _ in sink.trades.get(listing.slot, []))
                for bid, _, ask, _, frame, _ in sink.books[listing.slot]:
                    bids, asks = feed.levels(frame)
                    assert (bids[0][0], asks[0][0]) == (bid, ask)
            assert sink.rejected == []
            assert sink.losses() == []

    asyncio.run(scene())


def test_a_coin_whose_book_cannot_be_had_takes_no_other_with_it() -> None:
    async def scene() -> None:
        async with exchanges("kucoin", rate=RATE) as server:
            watched = await listings(server, "kucoin", 6)
            server.faults.rest("kucoin", 429, base=watched[2].symbol.partition("/")[0], seconds=2)
            feed = CcxtFeed("kucoin", url=server.url)
            # What ccxt does to the others' tasks costs them a moment; they come back without that coin, and it comes back, too.
            async with running(feed, watched, until_seen=False) as sink:
                await until(lambda: sink.seen() >= {0, 1, 3, 4, 5}, seconds=15)
                await until(lambda: len(sink.seen()) == 6, seconds=20)
                counts = {slot: len(books) for slot, books in sink.books.items()}
                await until(lambda: all(len(sink.books[slot]) > count for slot, count in counts.items()))
                assert feed.status().refused == {}

    asyncio.run(scene())


def test_a_coin_that_the_exchange_does_not_know_is_refused_alone() -> None:
    async def scene() -> None:
        async with exchanges("poloniex", rate=RATE) as server:
            known = await listings(server, "poloniex", 4)
            feed = CcxtFeed("poloniex", url=server.url)
            wrong = known[0]._replace(slot=9, symbol="NOSUCH/USDT")
            async with running(feed, [wrong, *known], until_seen=False) as sink:
                await until(lambda: sink.seen() == {0, 1, 2, 3})
                assert list(feed.status().refused) == ["NOSUCH/USDT"]

    asyncio.run(scene())


def test_a_lost_connection_is_a_gap_and_all_coins_come_back() -> None:
    async def scene() -> None:
        async with exchanges("poloniex", rate=RATE) as server:
            watched = await listings(server, "poloniex", 4)
            feed = CcxtFeed("poloniex", url=server.url)
            async with running(feed, watched) as sink:
                server.kick("poloniex")
                await until(lambda: {event[1] for event in sink.sight if event[0] == "blind"} == {0, 1, 2, 3}, seconds=15)
                await until(lambda: len(sink.seen()) == 4, seconds=20)
                count = len(sink.books[3])
                await until(lambda: len(sink.books[3]) > count)

    asyncio.run(scene())


def test_a_listing_that_is_added_or_removed_leaves_the_others_alone() -> None:
    async def scene() -> None:
        async with exchanges("poloniex", rate=RATE) as server:
            watched = await listings(server, "poloniex", 4)
            feed = CcxtFeed("poloniex", url=server.url)
            async with running(feed, watched[:2]) as sink:
                feed.watch(watched[1:])
                await until(lambda: len(sink.seen()) == 4)
                await until(lambda: feed.status().subscribed == 3)
                assert sink.losses() == []

    asyncio.run(scene())


@pytest.mark.parametrize("exchange", ["nosuch", "zb"])
def test_an_exchange_that_nobody_streams_is_a_wrong_setting(exchange: str) -> None:
    with pytest.raises(SettingError, match=exchange):
        open_feed(exchange)
