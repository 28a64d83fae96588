"""What the WebSockets of the simulated exchanges send, frame by frame."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import polars as pl
import pytest

from pnd_dagster.simulator.exchanges.book import book_hash
from pnd_dagster.simulator.exchanges.latoken import USDT_ID

Book = tuple[list[Any], list[Any]]


def busiest(exchanges: Any, exchange: str) -> str:
    """The base of the market with most trades."""
    markets = exchanges.server.world.markets[exchange]
    return min(markets, key=lambda base: markets[base].liquidity.seconds_between_trades)


def protobuf(frame: bytes) -> Any:
    """MEXC's frame, read by the classes that ccxt ships."""
    from ccxt.protobuf.mexc import PushDataV3ApiWrapper_pb2 as wrapper

    return wrapper.PushDataV3ApiWrapper.FromString(frame)


def stomp(frame: str) -> tuple[str, dict[str, str], Any]:
    """Command, headers and JSON body of a STOMP frame; its length must be as it says."""
    head, _, body = frame.partition("\n\n")
    command, *lines = head.split("\n")
    headers = dict(line.split(":", 1) for line in lines)
    assert body.endswith("\0")
    assert int(headers.get("content-length", len(body) - 1)) == len(body.encode()) - 1
    return command, headers, json.loads(body[:-1]) if body != "\0" else None


def levels(rows: Iterable[Any]) -> list[tuple[str, str]]:
    """Levels as the market prints them."""
    return [(row.price, row.quantity) if hasattr(row, "price") else (row[0], row[1]) for row in rows]


def sent_hashes(exchanges: Any, exchange: str, base: str) -> set[int]:
    """Hashes of the books that the ledger says were sent."""
    return set(exchanges.server.ledger.books().filter((pl.col("exchange") == exchange) & (pl.col("base") == base))["hash"])


SNAPSHOTS: dict[str, tuple[Callable[[str], Any], Callable[[Any], Book | None], int]] = {
    "kucoin": (
        lambda base: {"id": "1", "type": "subscribe", "topic": f"/spotMarket/level2Depth50:{base}-USDT", "response": True},
        lambda it: (it["data"]["bids"][:20], it["data"]["asks"][:20]) if isinstance(it, dict) and it.get("subject") == "level2" else None,
        1,
    ),
    "mexc": (
        lambda base: {"method": "SUBSCRIPTION", "params": [f"spot@public.limit.depth.v3.api.pb@{base}USDT@20"]},
        lambda it: (
            (list(protobuf(it).publicLimitDepths.bids), list(protobuf(it).publicLimitDepths.asks)) if isinstance(it, bytes) else None
        ),
        0,
    ),
    "poloniex": (
        lambda base: {"event": "subscribe", "channel": ["book"], "symbols": [f"{base}_USDT"], "depth": 20},
        lambda it: (it["data"][0]["bids"], it["data"][0]["asks"]) if isinstance(it, dict) and "data" in it else None,
        0,
    ),
    "xt": (
        lambda base: {"method": "subscribe", "params": [f"depth@{base.lower()}_usdt,20,100ms"], "id": "1"},
        lambda it: (it["data"]["b"], it["data"]["a"]) if isinstance(it, dict) and it.get("topic") == "depth" else None,
        0,
    ),
}


@pytest.mark.parametrize("exchange", SNAPSHOTS)
def test_every_snapshot_is_a_book_of_the_ledger_at_most_ten_a_second(exchange: str, serve: Callable[..., Any]) -> None:
    subscribe, read, _ = SNAPSHOTS[exchange]

    async def run() -> None:
        async with serve(rate=4_000) as exchanges:
            base, client = busiest(exchanges, exchange), await exchanges.connect(exchange)
            await client.say(subscribe(base))
            started = time.monotonic()
            frames = await client.hears(read, 6)
            assert len(frames) / (time.monotonic() - started) < 15
            books = [read(frame) for frame in frames]
            assert all(len(bids) == len(asks) == 20 for bids, asks in books)
            hashes = {book_hash(levels(bids), levels(asks)) for bids, asks in books}
            assert hashes <= sent_hashes(exchanges, exchange, base)
            assert len(hashes) > 1

    asyncio.run(run())


@pytest.mark.parametrize("exchange", SNAPSHOTS)
def test_the_first_book_comes_at_once_except_on_kucoin_where_it_waits_for_a_change(exchange: str, serve: Callable[..., Any]) -> None:
    subscribe, read, waits = SNAPSHOTS[exchange]

    async def run() -> None:
        async with serve(rate=0.001) as exchanges:
            base, client = busiest(exchanges, exchange), await exchanges.connect(exchange)
            await client.say(subscribe(base))
            await client.hears(lambda it: it, 2)
            await asyncio.sleep(0.2)
            found = [frame for frame in await client.hears(lambda it: it) if read(frame)]
            assert len(found) == (0 if waits else 1)

    asyncio.run(run())


def test_latoken_sends_a_book_and_then_changes_that_lead_to_the_next_books(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=4_000) as exchanges:
            base, client = busiest(exchanges, "latoken"), await exchanges.connect("latoken")
            _, currencies = await exchanges.get("/latoken/v2/currency")
            number = next(currency["id"] for currency in currencies if currency["tag"] == base)
            await client.say("CONNECT\naccept-version:1.1,1.2\nheart-beat:0,0\n\n\0")
            await client.say(f"SUBSCRIBE\nid:7\ndestination:/v1/book/{number}/{USDT_ID}\n\n\0")
            frames = await client.hears(lambda it: it.startswith("MESSAGE"), 12)
            assert stomp(client.frames[0])[0] == "CONNECTED"
            sides: dict[str, dict[str, str]] = {"bid": {}, "ask": {}}
            hashes: set[int] = set()
            for place, frame in enumerate(frames):
                _, headers, body = stomp(frame)
                assert (headers["subscription"], body["nonce"]) == ("7", place)
                for side, book in sides.items():
                    for level in body["payload"][side]:
                        change = float(level["quantity"]) - float(book.get(level["price"], 0))
                        assert float(level["quantityChange"]) == pytest.approx(change, abs=1e-9)
                        book[level["price"]] = level["quantity"]
                        if level["quantity"] == "0":
                            del book[level["price"]]
                bids = sorted(sides["bid"].items(), key=lambda level: -float(level[0]))[:20]
                asks = sorted(sides["ask"].items(), key=lambda level: float(level[0]))[:20]
                hashes.add(book_hash(bids, asks))
            assert hashes <= sent_hashes(exchanges, "latoken", base)
            assert len(hashes) > len(frames) / 2, "most changes are in the best 20 levels"

    asyncio.run(run())


TRADES: dict[str, tuple[Callable[[str, str], Any], Callable[[Any], list[tuple[str, str, str]]]]] = {
    "kucoin": (
        lambda base, _: {"id": "1", "type": "subscribe", "topic": f"/market/match:{base}-USDT"},
        lambda it: (
            [(it["data"]["price"], it["data"]["size"], it["data"]["side"])]
            if isinstance(it, dict) and it.get("subject") == "trade.l3match"
            else []
        ),
    ),
    "mexc": (
        lambda base, _: {"method": "SUBSCRIPTION", "params": [f"spot@public.aggre.deals.v3.api.pb@100ms@{base}USDT"]},
        lambda it: (
            [(deal.price, deal.quantity, "buy" if deal.tradeType == 1 else "sell") for deal in protobuf(it).publicAggreDeals.deals]
            if isinstance(it, bytes)
            else []
        ),
    ),
    "poloniex": (
        lambda base, _: {"event": "subscribe", "channel": ["trades"], "symbols": [f"{base}_USDT"]},
        lambda it: (
            [(trade["price"], trade["quantity"], trade["takerSide"]) for trade in it["data"]]
            if isinstance(it, dict) and "data" in it
            else []
        ),
    ),
    "xt": (
        lambda base, _: {"method": "subscribe", "params": [f"trade@{base.lower()}_usdt"], "id": "1"},
        lambda it: (
            [(it["data"]["p"], it["data"]["q"], "sell" if it["data"]["b"] else "buy")]
            if isinstance(it, dict) and it.get("topic") == "trade"
            else []
        ),
    ),
    "latoken": (
        lambda _, number: f"SUBSCRIBE\nid:7\ndestination:/v1/trade/{number}/{USDT_ID}\n\n\0",
        lambda it: (
            [(trade["price"], trade["quantity"], "sell" if trade["makerBuyer"] else "buy") for trade in stomp(it)[2]["payload"]]
            if it.startswith("MESSAGE")
            else []
        ),
    ),
}


@pytest.mark.parametrize("exchange", TRADES)
def test_every_trade_is_sent_once_and_stands_in_the_ledger(exchange: str, serve: Callable[..., Any]) -> None:
    subscribe, read = TRADES[exchange]

    async def run() -> None:
        async with serve(rate=4_000) as exchanges:
            base, client = busiest(exchanges, exchange), await exchanges.connect(exchange)
            _, currencies = await exchanges.get("/latoken/v2/currency")
            number = next((currency["id"] for currency in currencies if currency["tag"] == base), "")
            if exchange == "latoken":
                await client.say("CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n\0")
            await client.say(subscribe(base, number))
            await client.hears(read, 2)
            await client.socket.close()
            heard = [trade for frame in await client.hears(read) for trade in read(frame)]
            wrote = exchanges.server.ledger.trades().filter((pl.col("exchange") == exchange) & (pl.col("base") == base))
            noted = [(float(row["price"]), float(row["quantity"]), row["side"]) for row in wrote.iter_rows(named=True)]
            assert [(float(price), float(quantity), side) for price, quantity, side in heard] == noted[: len(heard)]
            assert wrote["trade_id"].is_unique().all()

    asyncio.run(run())


def test_one_frame_serves_all_subscribers_and_each_of_them_stands_in_the_ledger(serve: Callable[..., Any]) -> None:
    subscribe, read, _ = SNAPSHOTS["poloniex"]

    async def run() -> None:
        async with serve(rate=2_000) as exchanges:
            base = busiest(exchanges, "poloniex")
            clients = [await exchanges.connect("poloniex") for _ in range(3)]
            for client in clients:
                await client.say(subscribe(base))
            for client in clients:
                await client.hears(read, 2)
            numbers = {connection.number for connection in exchanges.server.connections("poloniex")}
            assert set(exchanges.server.ledger.books()["connection"]) == numbers
            assert len(numbers) == 3

    asyncio.run(run())


def test_an_unsubscribed_market_is_silent_and_the_others_go_on(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=2_000) as exchanges:
            client = await exchanges.connect("poloniex")
            gone, stays = [f"{base}_USDT" for base in list(exchanges.server.world.markets["poloniex"])[:2]]
            request = {"channel": ["book"], "symbols": [gone, stays], "depth": 20}
            await client.say({"event": "subscribe"} | request)
            await client.hears(lambda it: "data" in it, 4)
            await client.say({"event": "unsubscribe"} | request | {"symbols": [gone]})
            await client.hears(lambda it: it.get("event") == "unsubscribe")
            after = len(client.frames)
            await client.hears(lambda it: "data" in it, len(client.messages) + 3)
            assert {message["data"][0]["symbol"] for message in client.messages[after:] if "data" in message} == {stays}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("exchange", "request_", "words"),
    [
        ("kucoin", {"id": "1", "type": "subscribe", "topic": "/market/match:NONE-USDT"}, "is not found"),
        ("mexc", {"method": "SUBSCRIPTION", "params": ["spot@public.limit.depth.v3.api.pb@NONEUSDT@20"]}, "Not Subscribed successfully"),
        ("poloniex", {"event": "subscribe", "channel": ["book"], "symbols": ["NONE_USDT"], "depth": 20}, "Symbol not found"),
        ("poloniex", {"event": "subscribe", "channel": ["books"], "symbols": ["all"]}, "Invalid channel"),
        ("xt", {"method": "subscribe", "params": ["depth@none_usdt,20"], "id": "1"}, "invalid params"),
        ("kucoin", "no json", "bad request"),
        ("mexc", "[]", "invalid"),
        ("poloniex", "null", "Bad request"),
        ("xt", "{}", "invalid"),
        ("latoken", "SEND\n\n\0", "not connected"),
        ("latoken", "CONNECT\n\n\0", "CONNECTED"),
    ],
)
def test_what_cannot_be_subscribed_is_refused_with_words(exchange: str, request_: Any, words: str, serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=1) as exchanges:
            client = await exchanges.connect(exchange)
            await client.say(request_)
            await client.hears(lambda it: words in str(it))
            assert not client.socket.closed

    asyncio.run(run())


def test_no_message_however_odd_ends_a_connection(serve: Callable[..., Any]) -> None:
    odd = [None, True, 0, -1, 1e308, "", "x:y", "spot@a@b@c", "depth@,", "/v1/book/a/b", [], [[]], [None], {}, {"a": []}]
    keys = ("id", "type", "topic", "method", "params", "event", "channel", "symbols", "depth", "response")
    verbs = ("subscribe", "unsubscribe", "unsubscribe_all", "SUBSCRIPTION", "UNSUBSCRIPTION", "ping")
    frames = ["SUBSCRIBE\n\n\0", "SUBSCRIBE\nid\ndestination:a\n\n\0", "UNSUBSCRIBE\n\n\0", "\0", "\n\n", "CONNECT\nheart-beat:a,b,c\n\n\0"]

    async def run() -> None:
        async with serve(rate=1, time_factor=0.1) as exchanges:
            for exchange in ("latoken", "kucoin", "mexc", "poloniex", "xt"):
                client = await exchanges.connect(exchange)
                for verb in verbs:
                    for number, value in enumerate(odd):
                        message = dict.fromkeys(keys, value)
                        message[keys[number % len(keys)]] = odd[-number]
                        await client.say(message | {"type": verb, "method": verb, "event": verb})
                for frame in frames:
                    await client.say(frame)
                await client.socket.send_bytes(b"\xff\xfe")
                await client.socket.ping(b"alive")
                await asyncio.sleep(0.1)
                assert not client.socket.closed, exchange
                assert exchanges.server.connections(exchange), exchange

    asyncio.run(run())
