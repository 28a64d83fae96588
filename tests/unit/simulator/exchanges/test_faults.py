"""Faults on command: each does what it says, touches nothing else, and stands in the ledger."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from pnd_dagster.simulator.exchanges.faults import CORRUPTIONS, OVERSIZED_BYTES


def bases_of(exchanges: Any, exchange: str, count: int = 2) -> list[str]:
    """The busiest markets of an exchange."""
    markets = exchanges.server.world.markets[exchange]
    return sorted(markets, key=lambda base: markets[base].liquidity.seconds_between_trades)[:count]


async def follow(exchanges: Any, bases: list[str], channel: str = "book_lv2") -> Any:
    """A Poloniex client of some markets."""
    client = await exchanges.connect("poloniex")
    await client.say({"event": "subscribe", "channel": [channel], "symbols": [f"{base}_USDT" for base in bases], "depth": 20})
    await client.hears(lambda it: isinstance(it, dict) and it.get("event") == "subscribe")
    return client


def of(base: str) -> Callable[[Any], bool]:
    """Whether a message is about a market."""
    return lambda it: isinstance(it, dict) and "data" in it and it["data"][0]["symbol"] == f"{base}_USDT"


def is_chain(messages: list[Any]) -> bool:
    """Whether each difference follows the one before."""
    entries = [message["data"][0] for message in messages]
    return all(after["lastId"] == before["id"] for before, after in itertools.pairwise(entries))


def kinds(exchanges: Any) -> list[tuple[str, list[str]]]:
    """Kinds and bases of the ledger's faults."""
    return list(exchanges.server.ledger.faults().select("kind", "bases").iter_rows())


def test_a_dropped_frame_leaves_a_gap_in_the_sequence_of_that_market_only(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=3_000) as exchanges:
            base, other = bases_of(exchanges, "poloniex")
            client = await follow(exchanges, [base, other])
            exchanges.server.faults.drop("poloniex", base)
            messages, others = await client.hears(of(base), 8), await client.hears(of(other), 4)
            assert not is_chain(messages)
            assert is_chain(others)
            assert [kind for kind in kinds(exchanges) if kind[0] == "drop"] == [("drop", [base])]
            lost = int(exchanges.server.ledger.faults()["detail"][0].split()[-1])
            assert lost not in exchanges.server.ledger.books().filter(base=base)["sequence"]

    asyncio.run(run())


def test_latokens_nonce_skips_a_dropped_frame_and_repeats_a_doubled_one(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=3_000) as exchanges:
            (base,) = bases_of(exchanges, "latoken", 1)
            _, pairs = await exchanges.get("/latoken/v2/currency")
            number = next(pair["id"] for pair in pairs if pair["tag"] == base)
            quote = next(pair["id"] for pair in pairs if pair["tag"] == "USDT")
            client = await exchanges.connect("latoken")
            await client.say("CONNECT\naccept-version:1.2\nheart-beat:0,0\n\n\0")
            exchanges.server.faults.drop("latoken", base)
            exchanges.server.faults.duplicate("latoken", base)
            await client.say(f"SUBSCRIBE\nid:1\ndestination:/v1/book/{number}/{quote}\n\n\0")
            frames = await client.hears(lambda it: it.startswith("MESSAGE"), 5)
            assert [json.loads(frame.partition("\n\n")[2][:-1])["nonce"] for frame in frames[:5]] == [0, 2, 2, 3, 4]

    asyncio.run(run())


def test_frames_are_doubled_and_swapped(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=3_000) as exchanges:
            base, other = bases_of(exchanges, "poloniex")
            client = await follow(exchanges, [base, other], "book")
            exchanges.server.faults.duplicate("poloniex", base)
            exchanges.server.faults.reorder("poloniex", other)
            doubled = [message["data"][0]["id"] for message in await client.hears(of(base), 5)]
            swapped = [message["data"][0]["id"] for message in await client.hears(of(other), 5)]
            assert len(set(doubled)) == len(doubled) - 1
            assert doubled == sorted(doubled)
            assert [after < before for before, after in itertools.pairwise(swapped)].count(True) == 1
            late = int(exchanges.server.ledger.faults().filter(kind="reorder")["detail"][0].split()[-1])
            assert late in swapped
            assert late not in exchanges.server.ledger.books().filter(base=other)["sequence"], "no client should keep a late book"

    asyncio.run(run())


@pytest.mark.parametrize("how", CORRUPTIONS)
def test_a_spoilt_book_is_no_book_and_the_next_one_is_whole(how: str, serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=3_000) as exchanges:
            (base,) = bases_of(exchanges, "poloniex", 1)
            async with exchanges.session.ws_connect(f"{exchanges.server.url}/poloniex/ws/public", max_msg_size=0) as socket:
                exchanges.server.faults.corrupt("poloniex", base, how)
                await socket.send_json({"event": "subscribe", "channel": ["book"], "symbols": [f"{base}_USDT"], "depth": 20})
                frames = [await socket.receive_str(timeout=10) for _ in range(5)]
            good, spoilt, after = (frames[place] for place in (1, 2, 3))
            assert is_sound(good)
            assert is_sound(after)
            assert len(spoilt) > OVERSIZED_BYTES if how == "oversized" else not is_sound(spoilt)
            fault = exchanges.server.ledger.faults().row(0, named=True)
            assert (fault["kind"], fault["bases"], how in fault["detail"]) == ("corrupt", [base], True)
            assert exchanges.server.ledger.books().height == exchanges.server.sent()["books"]

    asyncio.run(run())


def is_sound(frame: str) -> bool:
    """Whether a frame is JSON with a believable, uncrossed book of two sides."""
    try:
        entry = json.loads(frame)["data"][0]
    except (ValueError, KeyError):
        return False
    bids, asks = entry["bids"], entry["asks"]
    prices = [float(level[0]) for level in [*bids, *asks]]
    if not bids or not asks or not all(math.isfinite(price) and 0 < price < 1e15 for price in prices):
        return False
    return float(bids[0][0]) < float(asks[0][0])


def test_spoilt_trades_have_prices_that_cannot_be_and_lost_ones_are_named(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=4_000) as exchanges:
            (base,) = bases_of(exchanges, "poloniex", 1)
            client = await follow(exchanges, [base], "trades")
            exchanges.server.faults.corrupt("poloniex", base, "negative", channel="trade")
            exchanges.server.faults.drop("poloniex", base, channel="trade")
            trades = [message["data"][0] for message in await client.hears(of(base), 3)]
            assert [float(trade["price"]) > 0 for trade in trades[:3]] == [False, True, True]
            lost = exchanges.server.ledger.faults().filter(kind="drop")["detail"][0].split()[-1]
            assert lost not in {trade["id"] for trade in trades}
            assert int(lost) == int(trades[0]["id"]) + 1
            with pytest.raises(ValueError, match="crossed"):
                exchanges.server.faults.corrupt("poloniex", base, "crossed", channel="trade")

    asyncio.run(run())


def test_a_stalled_connection_stays_open_and_says_nothing_while_others_go_on(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=2_000) as exchanges:
            (base,) = bases_of(exchanges, "poloniex", 1)
            stalled = await follow(exchanges, [base])
            await stalled.hears(of(base), 2)
            (number,) = [connection.number for connection in exchanges.server.connections()]
            other = await follow(exchanges, [base])
            assert exchanges.server.stall("poloniex", connection=number) == [number]
            await asyncio.sleep(0.05)
            heard = len(stalled.frames)
            await stalled.say({"event": "ping"})
            await other.hears(of(base), 8)
            assert len(stalled.frames) == heard
            assert not stalled.socket.closed
            row = exchanges.server.ledger.faults().row(0, named=True)
            assert (row["kind"], row["connection"], row["bases"]) == ("stall", number, [base])
            exchanges.server.stall("poloniex", is_stalled=False)
            await stalled.hears(of(base), heard)

    asyncio.run(run())


@pytest.mark.parametrize(("code", "seen"), [(1012, 1012), (None, 1006)])
def test_kicked_clients_see_the_code_or_an_abrupt_end(code: int | None, seen: int, serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=100) as exchanges:
            client, other = await exchanges.connect("poloniex"), await exchanges.connect("xt")
            exchanges.server.kick("poloniex", code=code)
            assert await client.is_ended() == seen
            assert not other.socket.closed
            assert await exchanges.connect("poloniex")

    asyncio.run(run())


def test_an_exchange_refuses_for_a_while_and_the_others_do_not(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=100) as exchanges:
            exchanges.server.faults.refuse("xt", 0.3)
            with pytest.raises(aiohttp.ClientError):
                await exchanges.connect("xt")
            with pytest.raises(aiohttp.ClientError):
                await exchanges.get("/xt/v4/public/time")
            assert await exchanges.connect("poloniex")
            await asyncio.sleep(0.35)
            assert await exchanges.connect("xt")

    asyncio.run(run())


def test_a_skewed_clock_is_seen_in_rest_and_in_frames(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=100) as exchanges:
            (base,) = bases_of(exchanges, "poloniex", 1)
            _, true = await exchanges.get("/poloniex/timestamp")
            exchanges.server.faults.skew_clock("poloniex", 3_600)
            _, skewed = await exchanges.get("/poloniex/timestamp")
            client = await follow(exchanges, [base], "book")
            (message, *_) = await client.hears(of(base))
            assert 3_590_000 < skewed["serverTime"] - true["serverTime"] < 3_610_000
            assert message["data"][0]["ts"] >= skewed["serverTime"]

    asyncio.run(run())


def test_faults_pumps_and_delistings_are_commanded_over_http(serve: Callable[..., Any], tmp_path: Any) -> None:
    async def run() -> None:
        async with serve(rate=2_000) as exchanges:
            base, other = bases_of(exchanges, "poloniex")
            client = await follow(exchanges, [base])
            assert await exchanges.post("/control", {"do": "drop", "exchange": "poloniex", "base": base}) == (200, {"done": None})
            status, done = await exchanges.post("/control", {"do": "kick", "exchange": "poloniex", "code": 1012})
            assert (status, len(done["done"])) == (200, 1)
            assert await client.is_ended() == 1012
            status, done = await exchanges.post("/control", {"do": "pump", "exchange": "poloniex", "base": base, "seconds": 60})
            assert status == 200
            await exchanges.post("/control", {"do": "delist", "exchange": "poloniex", "base": other})
            assert other not in exchanges.server.world.markets["poloniex"]
            await exchanges.post("/control", {"do": "write_ledger", "folder": str(tmp_path)})
            assert (tmp_path / "books.parquet").exists()
            status, told = await exchanges.get("/control")
            assert status == 200
            assert told["sent"]["books"] == exchanges.server.ledger.books().height > 0

    asyncio.run(run())


@pytest.mark.parametrize(
    "command",
    [
        {},
        {"do": "explode"},
        {"do": "drop"},
        {"do": "drop", "exchange": "poloniex", "base": "NONE"},
        {"do": "refuse", "exchange": "binance", "seconds": 1},
        {"do": "kick", "exchange": "poloniex"},
        {"do": "drop", "exchange": "poloniex", "base": "VIA", "frames": 0},
        {"do": "corrupt", "exchange": "poloniex", "base": "VIA", "how": "nicely"},
        {"do": "pump", "exchange": "poloniex", "base": "NONE", "seconds": 5},
        [],
    ],
)
def test_a_command_that_makes_no_sense_is_refused(command: Any, serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=1) as exchanges:
            status, answer = await exchanges.post("/control", command)
            assert status == 400
            assert answer["error"]

    asyncio.run(run())
