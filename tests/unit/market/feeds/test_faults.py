"""Our codecs' feeds when the exchange misbehaves: what was missed is told, what was not goes on."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from typing import Any

import polars as pl
import pytest

from pnd_dagster.errors import TransientError
from pnd_dagster.market.feeds import connection, streaming
from pnd_dagster.market.feeds.protocol import FrameError
from pnd_dagster.simulator.exchanges.faults import CORRUPTIONS
from tests.unit.market.feeds.recorder import EXCHANGES, Recorder, exchanges, listings, rest_books, running, small, until

RATE = 200.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnections do not wait as long as they do in earnest."""
    monkeypatch.setattr(connection, "FIRST_PAUSE_SECONDS", 0.05)


def bases_of(watched: Any) -> list[str]:
    return [listing.symbol.partition("/")[0] for listing in watched]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_after_a_lost_connection_its_coins_come_back_and_the_gap_begins_with_the_last_frame(exchange: str) -> None:
    async def scene() -> None:
        async with exchanges(exchange, rate=RATE) as server:
            watched = await listings(server, exchange, 6)
            feed = small(exchange, server.url, rest_books(server, exchange), coins=3)
            async with running(feed, watched) as sink:
                one = server.connections(exchange)[0].number
                kicked_at = time.time()
                server.kick(exchange, connection=one)
                await until(lambda: len(sink.losses()) == 3 and len(sink.seen()) == 6)
                lost = [event for event in sink.sight if event[0] == "blind"]
                assert all(event[2] <= kicked_at + 0.1 for event in lost)
                assert len({event[1] for event in lost}) == 3
                assert feed.status().reconnects == 1
                untouched = {listing.slot for listing in watched} - {event[1] for event in lost}
                assert [event[1] for event in sink.sight if event[1] in untouched and event[0] == "blind"] == []

    asyncio.run(scene())


def test_an_exchange_that_refuses_connections_is_asked_again_and_again() -> None:
    async def scene() -> None:
        async with exchanges("kucoin", rate=RATE) as server:
            watched = await listings(server, "kucoin", 4)
            feed = small("kucoin", server.url, rest_books(server, "kucoin"))
            async with running(feed, watched) as sink:
                server.faults.refuse("kucoin", 0.6)
                server.kick("kucoin", code=1012)
                await until(lambda: len(sink.losses()) == 4 and len(sink.seen()) == 4)
                assert 1 < feed.status().reconnects < 20
                assert any("1012" in reason or "SERVICE_RESTART" in reason for reason in sink.losses()), sink.losses()

    asyncio.run(scene())


@pytest.mark.parametrize("exchange", ["poloniex", "kucoin"])
def test_a_connection_that_falls_silent_is_opened_anew(exchange: str) -> None:
    async def scene() -> None:
        async with exchanges(exchange, rate=RATE) as server:
            watched = await listings(server, exchange, 4)
            feed = small(exchange, server.url, rest_books(server, exchange), coins=2, keepalive_seconds=0.2)
            if exchange == "kucoin":
                # KuCoin names the interval itself.
                _pin_keepalive(feed, 0.2)
            async with running(feed, watched) as sink:
                stalled_at = time.time()
                server.stall(exchange, connection=server.connections(exchange)[0].number)
                await until(lambda: len(sink.losses()) == 2 and len(sink.seen()) == 4)
                assert set(sink.losses()) == {"silent connection"}
                assert all(event[2] <= stalled_at + 0.1 for event in sink.sight if event[0] == "blind")

    asyncio.run(scene())


def _pin_keepalive(feed: Any, seconds: float) -> None:
    codec = feed._codec
    address = codec.address

    async def pinned() -> Any:
        return (await address())._replace(keepalive_seconds=seconds)

    codec.address = pinned


def test_a_connection_whose_pongs_are_missing_lives_while_data_comes() -> None:
    async def scene() -> None:
        async with exchanges("poloniex", rate=RATE) as server:
            watched = await listings(server, "poloniex", 8)
            feed = small("poloniex", server.url, keepalive_seconds=0.5)
            server.faults.mute_pong("poloniex")
            async with running(feed, watched) as sink:
                await asyncio.sleep(2.0)
                assert sink.losses() == []

    asyncio.run(scene())


def test_a_quiet_connection_whose_pongs_are_missing_is_opened_anew() -> None:
    async def scene() -> None:
        async with exchanges("poloniex", rate=0.001) as server:
            watched = await listings(server, "poloniex", 4)
            feed = small("poloniex", server.url, keepalive_seconds=0.1)
            async with running(feed, watched) as sink:
                await asyncio.sleep(0.5)
                assert sink.losses() == []
                server.faults.mute_pong("poloniex")
                await until(lambda: "silent connection" in sink.losses())

    asyncio.run(scene())


def test_a_connection_that_pongs_but_gives_no_data_is_opened_anew_and_the_gap_begins_with_the_last_data() -> None:
    async def scene() -> None:
        async with exchanges("poloniex", rate=0.001) as server:
            watched = await listings(server, "poloniex", 4)
            feed = small("poloniex", server.url, keepalive_seconds=0.1, data_seconds=0.6)
            async with running(feed, watched) as sink:
                first_books_at = max(event[2] for event in sink.sight)
                await until(lambda: connection.SILENT_DATA in sink.losses() and len(sink.seen()) == 4)
                assert all(event[2] <= first_books_at for event in sink.sight if event[0] == "blind")
                # The second time it waits for longer: coins may just be asleep.
                assert feed.status().reconnects == 1

    asyncio.run(scene())


def test_a_gap_in_latokens_sequence_costs_that_coin_alone_a_new_subscription() -> None:
    async def scene() -> None:
        async with exchanges("latoken", rate=RATE) as server:
            watched = await listings(server, "latoken", 6)
            feed = small("latoken", server.url)
            async with running(feed, watched) as sink:
                server.faults.drop("latoken", bases_of(watched)[2], frames=2)
                await until(lambda: sink.losses() and len(sink.seen()) == 6)
                assert set(sink.losses()) == {"sequence gap"}
                assert {event[1] for event in sink.sight if event[0] == "blind"} == {2}
                assert feed.status().reconnects == 0
                count = len(sink.books[2])
                await until(lambda: len(sink.books[2]) > count)
                bids, _ = feed.levels(sink.books[2][-1][4])
                assert len(bids) == 20

    asyncio.run(scene())


def test_trades_that_latoken_lost_are_a_gap_though_the_book_is_whole() -> None:
    async def scene() -> None:
        async with exchanges("latoken", rate=2 * RATE) as server:
            watched = await listings(server, "latoken", 8)
            feed = small("latoken", server.url)
            async with running(feed, watched) as sink:
                await until(lambda: sink.trades)
                slot = next(iter(sink.trades))
                server.faults.drop("latoken", bases_of(watched)[slot], channel="trade")
                await until(lambda: sink.losses(slot), seconds=20)
                assert sink.losses() == ["sequence gap"]
                assert slot in sink.seen()

    asyncio.run(scene())


@pytest.mark.parametrize("exchange", ["kucoin", "mexc", "poloniex", "xt"])
def test_books_that_come_twice_or_late_are_dropped_and_counted(exchange: str) -> None:
    async def scene() -> None:
        async with exchanges(exchange, rate=RATE) as server:
            watched = await listings(server, exchange, 3)
            feed = small(exchange, server.url, rest_books(server, exchange))
            async with running(feed, watched) as sink:
                server.faults.duplicate(exchange, bases_of(watched)[0])
                await until(lambda: sink.duplicates.count(0) == 1)
                server.faults.reorder(exchange, bases_of(watched)[1])
                await until(lambda: sink.duplicates.count(1) == 1)
                assert sink.losses() == []
                assert sink.rejected == []

    asyncio.run(scene())


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_trades_that_come_twice_count_once_and_swapped_ones_both(exchange: str) -> None:
    async def scene() -> None:
        async with exchanges(exchange, rate=2 * RATE) as server:
            watched = await listings(server, exchange)
            feed = small(exchange, server.url, rest_books(server, exchange))
            async with running(feed, watched) as sink:
                for base in bases_of(watched):
                    server.faults.duplicate(exchange, base, channel="trade")
                    if exchange != "mexc":  # whose frames alone are told apart
                        server.faults.reorder(exchange, base, channel="trade")
                await until(lambda: sink.duplicates)
                busy = sink.duplicates[0]
                count, until_at = len(sink.trades[busy]), time.time()
                await until(lambda: len(sink.trades[busy]) >= count + 4, seconds=20)
            told = server.ledger.trades().unique("trade_id")
            told = told.filter((pl.col("exchange") == exchange) & (pl.col("base") == bases_of(watched)[busy]))
            got = Counter(trade[:2] for trade in sink.trades[busy])
            assert got <= Counter(told.select("price", "quantity").rows())
            # The last ones may have been under way when the feed was stopped.
            assert got >= Counter(told.filter(pl.col("sent_at").dt.epoch("us") / 1e6 < until_at).select("price", "quantity").rows())

    asyncio.run(scene())


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_spoilt_frames_are_refused_and_flagged_and_nothing_else_is_lost(exchange: str) -> None:
    async def scene() -> None:
        async with exchanges(exchange, rate=RATE) as server:
            watched = await listings(server, exchange, 10)
            feed = small(exchange, server.url, rest_books(server, exchange))
            async with running(feed, watched) as sink:
                # A coin for each; a crossed book or an empty side may be true, and is left to the metrics.
                refused = [how for how in CORRUPTIONS if how not in ("crossed", "empty")]
                for base, how in zip(bases_of(watched), refused, strict=False):
                    server.faults.corrupt(exchange, base, how)
                await until(lambda: len(sink.rejected) >= len(refused) and set(range(len(refused))) <= _blinded(sink))
                await until(lambda: len(sink.seen()) == len(watched))
                assert _blinded(sink) == set(range(len(refused)))
                counts = {slot: len(books) for slot, books in sink.books.items()}
                await until(lambda: all(len(sink.books[slot]) > count for slot, count in counts.items()))
                assert feed.status().reconnects == 0
                assert _all_possible(sink, feed)

    asyncio.run(scene())


def _blinded(sink: Recorder) -> set[int]:
    return {event[1] for event in sink.sight if event[0] == "blind"}


@pytest.mark.parametrize("how", ["crossed", "empty"])
def test_a_crossed_book_and_an_empty_side_are_passed_on_as_they_are(how: Any) -> None:
    async def scene() -> None:
        async with exchanges("poloniex", rate=RATE) as server:
            watched = await listings(server, "poloniex", 4)
            feed = small("poloniex", server.url)
            async with running(feed, watched) as sink:
                server.faults.corrupt("poloniex", bases_of(watched)[1], how)
                odd = (lambda book: book[0] > book[2]) if how == "crossed" else (lambda book: book[0] != book[0] or book[2] != book[2])
                await until(lambda: any(odd(book) for book in sink.books[1]))
                assert sink.rejected == []
                assert sink.losses() == []

    asyncio.run(scene())


def _all_possible(sink: Recorder, feed: Any) -> bool:
    for books in sink.books.values():
        for bid, bid_quantity, ask, ask_quantity, frame, _ in books:
            for number in (bid, bid_quantity, ask, ask_quantity):
                assert not number <= 0
                assert not number > 1e18
            try:
                bids, asks = feed.levels(frame)
            except FrameError:
                continue
            assert all(0 < price < 1e15 and 0 < quantity < 1e18 for price, quantity in [*bids, *asks])
    return True


@pytest.mark.parametrize("how", ["nan", "negative", "absurd", "malformed"])
def test_a_spoilt_trade_flags_its_coin(how: Any) -> None:
    async def scene() -> None:
        async with exchanges("xt", rate=2 * RATE) as server:
            watched = await listings(server, "xt")
            feed = small("xt", server.url)
            async with running(feed, watched) as sink:
                for base in bases_of(watched):
                    server.faults.corrupt("xt", base, how, channel="trade")
                await until(lambda: len(sink.rejected) >= 2 and len(sink.losses()) >= 2, seconds=20)
                await until(lambda: len(sink.seen()) == len(watched))
                assert all(0 < price < 1e15 for trades in sink.trades.values() for price, _, _ in trades)

    asyncio.run(scene())


def test_a_coin_whose_first_book_is_refused_delays_no_other() -> None:
    async def scene() -> None:
        async with exchanges("kucoin", rate=0.001) as server:
            watched = await listings(server, "kucoin", 6)
            truth, refusals = rest_books(server, "kucoin"), list[str]()

            async def first_book(symbol: str) -> Any:
                if symbol == watched[2].symbol and len(refusals) < 2:
                    refusals.append(symbol)
                    raise TransientError("429 Too Many Requests")
                return await truth(symbol)

            feed = small("kucoin", server.url, first_book)
            async with running(feed, watched, until_seen=False) as sink:
                await until(lambda: sink.seen() == {0, 1, 3, 4, 5})
                await until(lambda: len(sink.seen()) == 6)
                assert len(refusals) == 2
                for listing in watched:
                    assert feed.levels(sink.books[listing.slot][-1][4]) == await truth(listing.symbol)

    asyncio.run(scene())


def test_a_coin_that_never_has_a_first_book_is_asked_for_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "QUIET_SECONDS", 0.05)
    # As long as it may be, and no shorter by chance.
    monkeypatch.setattr(connection.random, "uniform", lambda low, high: high)

    async def scene() -> None:
        async with exchanges("kucoin", rate=0.001) as server:
            watched = await listings(server, "kucoin", 1)
            asked_at = list[float]()

            async def first_book(symbol: str) -> Any:
                asked_at.append(time.monotonic())
                raise TransientError("500 Internal Server Error")

            feed = small("kucoin", server.url, first_book)
            async with running(feed, watched, until_seen=False):
                await until(lambda: len(asked_at) == 5)
                pauses = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
                assert pauses[3] > pauses[2] > pauses[1]
                assert pauses[3] > 1.2

    asyncio.run(scene())


def test_connections_are_renewed_before_their_time_is_over() -> None:
    async def scene() -> None:
        async with exchanges("mexc", rate=RATE) as server:
            watched = await listings(server, "mexc", 4)
            feed = small("mexc", server.url, rest_books(server, "mexc"), keepalive_seconds=0.2, lifetime_seconds=1.0)
            async with running(feed, watched) as sink:
                await until(lambda: len(sink.losses()) >= 4)
                assert all("renewed" in reason for reason in sink.losses())

    asyncio.run(scene())
