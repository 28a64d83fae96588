"""The documented limits of the exchanges, and their keepalives, with minutes made short."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from pnd_dagster.simulator.exchanges.kucoin import Kucoin
from pnd_dagster.simulator.exchanges.limits import Rate, Window

PINGS = {
    "kucoin": ({"id": "9", "type": "ping"}, lambda it: isinstance(it, dict) and it.get("type") == "pong" and it["id"] == "9"),
    "mexc": ({"method": "PING"}, lambda it: isinstance(it, dict) and it.get("msg") == "PONG"),
    "poloniex": ({"event": "ping"}, lambda it: it == {"event": "pong"}),
    "xt": ("ping", lambda it: it == "pong"),
}
# What each exchange waits for a sign of life, seconds.
PATIENCE = {"kucoin": 28.0, "mexc": 30.0, "poloniex": 30.0, "xt": 60.0}


@pytest.mark.parametrize("exchange", PINGS)
def test_pings_are_answered_until_they_are_muted(exchange: str, serve: Callable[..., Any]) -> None:
    ping, is_pong = PINGS[exchange]

    async def run() -> None:
        async with serve(rate=1) as exchanges:
            client = await exchanges.connect(exchange)
            await client.say(ping)
            await client.hears(is_pong)
            exchanges.server.faults.mute_pong(exchange)
            await client.say(ping)
            await client.say("?")
            await asyncio.sleep(0.1)
            assert len(await client.hears(is_pong)) == 1

    asyncio.run(run())


@pytest.mark.parametrize("exchange", PINGS)
def test_a_client_that_is_silent_is_closed_and_one_that_pings_is_not(exchange: str, serve: Callable[..., Any]) -> None:
    ping, _ = PINGS[exchange]

    async def run() -> None:
        factor = 0.5 / PATIENCE[exchange]
        async with serve(rate=100, time_factor=factor) as exchanges:
            silent, alive = await exchanges.connect(exchange), await exchanges.connect(exchange)
            if exchange == "mexc":
                base = next(iter(exchanges.server.world.markets["mexc"]))
                await alive.say({"method": "SUBSCRIPTION", "params": [f"spot@public.limit.depth.v3.api.pb@{base}USDT@20"]})
            started = time.monotonic()
            while not silent.socket.closed and time.monotonic() < started + 5:
                await alive.say(ping)
                await asyncio.sleep(0.05)
            assert await silent.is_ended() == 1000
            assert time.monotonic() - started > 0.4
            assert not alive.socket.closed

    asyncio.run(run())


def test_stomp_beats_hearts_and_closes_a_client_whose_heart_stops(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=1, time_factor=0.01) as exchanges:
            client = await exchanges.connect("latoken")
            await client.say("CONNECT\naccept-version:1.2\nheart-beat:100,100\n\n\0")
            (connected,) = await client.hears(lambda it: it.startswith("CONNECTED"))
            assert "heart-beat:100,100" in connected
            for _ in range(10):
                await client.say("\n")
                await asyncio.sleep(0.05)
            assert not client.socket.closed
            assert client.frames.count("\n") >= 2
            assert await client.is_ended() == 1002

    asyncio.run(run())


def test_kucoin_takes_100_topics_a_message_400_a_connection_and_no_stranger(serve: Callable[..., Any]) -> None:
    def topics(count: int, channel: str) -> dict[str, Any]:
        return {"id": channel, "type": "subscribe", "topic": f"{channel}:" + ",".join(names[:count]), "response": True}

    names: list[str] = []

    async def run() -> None:
        async with serve(rate=1) as exchanges:
            server = exchanges.server
            names.extend(f"{base}-USDT" for base in server.world.markets["kucoin"])
            client = await exchanges.connect("kucoin")
            await client.say(topics(1, "/market/match") | {"topic": "/market/match:" + ",".join(names[:1] * 101)})
            await client.hears(lambda it: it.get("code") == 509 and "100 per time" in it["data"])
            channels = ["/market/match", "/market/level2", "/spotMarket/level2Depth5", "/spotMarket/level2Depth50"]
            for channel in channels:
                await client.say(topics(len(names), channel))
            await client.hears(lambda it: it.get("type") == "ack", 4)
            (connection,) = server.connections("kucoin")
            assert len(connection.subscriptions) == 4 * len(names)
            async with exchanges.session.get(f"{server.url}/kucoin/endpoint?token=made-up") as answer:
                assert answer.status == 401

    asyncio.run(run())


def test_kucoin_refuses_the_401st_topic_and_the_111th_message_in_ten_seconds(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pnd_dagster.simulator.exchanges.kucoin.TOPICS_PER_CONNECTION", 5)

    async def run() -> None:
        async with serve(rate=1) as exchanges:
            names = [f"{base}-USDT" for base in exchanges.server.world.markets["kucoin"]]
            client = await exchanges.connect("kucoin")
            for name in names[:6]:
                await client.say({"id": name, "type": "subscribe", "topic": f"/market/match:{name}", "response": True})
            (refusal,) = await client.hears(lambda it: it.get("type") == "error")
            assert refusal["id"] == names[5]
            assert "per session" in refusal["data"]
            for number in range(120):
                await client.say({"id": str(number), "type": "ping"})
            await client.hears(lambda it: "max permits" in str(it.get("data")))

    asyncio.run(run())


def test_mexc_answers_the_31st_subscription_with_words_and_never_sends_it_anything(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=3_000) as exchanges:
            bases = list(exchanges.server.world.markets["mexc"])
            kinds = ("spot@public.limit.depth.v3.api.pb@{}USDT@20", "spot@public.limit.depth.v3.api.pb@{}USDT@5")
            topics = [kind.format(base) for base in bases for kind in kinds][:31]
            client = await exchanges.connect("mexc")
            await client.say({"method": "SUBSCRIPTION", "params": topics})
            answers = await client.hears(lambda it: isinstance(it, dict) and "msg" in it, 31)
            assert [answer["msg"] for answer in answers[:30]] == topics[:30]
            assert topics[30] in answers[30]["msg"]
            assert "Exceeded maximum subscription limit" in answers[30]["msg"]
            await client.hears(lambda it: isinstance(it, bytes), 60)
            assert not any(topics[30].encode() in frame for frame in client.frames if isinstance(frame, bytes))
            await client.say({"method": "UNSUBSCRIPTION", "params": topics[:1]})
            await client.say({"method": "SUBSCRIPTION", "params": topics[30:]})
            await client.hears(lambda it: isinstance(it, dict) and it.get("msg") == topics[30])

    asyncio.run(run())


def test_mexc_closes_a_connection_whose_life_is_over_even_if_it_pings(serve: Callable[..., Any]) -> None:
    async def run() -> None:
        async with serve(rate=1, time_factor=1 / 86_400) as exchanges:
            client = await exchanges.connect("mexc")
            assert await client.is_ended() == 1000

    asyncio.run(run())


@pytest.mark.parametrize(
    ("exchange", "path", "requests", "body"),
    [
        ("latoken", "/v2/time", 23, "TOO_MANY_REQUESTS"),
        ("xt", "/v4/public/time", 111, "429"),
        ("poloniex", "/markets", 12, "Too many requests"),
        ("mexc", "/api/v3/ticker/24hr", 15, "Too Many Requests"),
    ],
)
def test_too_many_requests_are_answered_429_until_the_window_ends(
    exchange: str, path: str, requests: int, body: str, serve: Callable[..., Any]
) -> None:
    async def run() -> None:
        async with serve(rate=1) as exchanges:
            answers = await asyncio.gather(*(exchanges.get(f"/{exchange}{path}") for _ in range(requests)))
            refused = [answer for status, answer in answers if status == 429]
            assert refused
            assert len(refused) < requests
            assert body in str(refused[0])
            assert (await exchanges.get("/kucoin/api/v1/timestamp"))[0] == 200

    asyncio.run(run())


def test_a_window_counts_units_and_opens_again() -> None:
    window = Window(Rate(10, 10.0), time_factor=0.005)
    assert window.take(8) == 0
    assert 0 < window.take(4) <= 0.05
    assert window.take(3) == 0
    time.sleep(0.06)
    assert window.take(8) == 0


def test_kucoins_limit_tells_when_to_come_again(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kucoin, "rest_rate", Rate(3, 10.0))

    async def run() -> None:
        async with serve(rate=1) as exchanges:
            assert (await exchanges.get("/kucoin/api/v1/timestamp"))[0] == 200
            async with exchanges.session.get(f"{exchanges.server.url}/kucoin/api/v1/timestamp") as answer:
                assert (answer.status, (await answer.json())["code"]) == (429, "429000")
                assert 9_000 < int(answer.headers["gw-ratelimit-reset"]) <= 10_000

    asyncio.run(run())
