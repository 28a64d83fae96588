"""CPU time of live feeds: ours, ccxt.pro's and cryptofeed's on one simulated market at once, and our codecs alone.

Each client has a process of its own, listens to all books and trades of the market, and counts them; ours by Poloniex's channel of whole
books, the others by the channel of changes that they subscribe to. The figure is coin-seconds per second of CPU time.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.rows import row
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.desk import Desk
from pnd_dagster.market.feeds.open import CODECS, open_feed
from pnd_dagster.market.feeds.protocol import Listing

COINS, RATE = 340, 10_000.0
WARM_UP_SECONDS, SECONDS = 8.0, 20.0
EXCHANGE = "poloniex"
FRAMES, PART = 20_000, 1_000


def run() -> list[dict[str, Any]]:
    """A row per peer (aim: at least 5), and one per exchange: frames of 20 levels decoded, against the peer's limit of 5 us a frame."""
    clients = ["ours", "ccxt"]
    if importlib.util.find_spec("cryptofeed"):
        clients.append("cryptofeed")
    else:
        print("cryptofeed is left out: it is not installed (pip install cryptofeed)")
    with _child("serve") as server:
        url = _said(server)["url"]
        with _all([["client", client, url] for client in clients]) as children:
            measured = {client: _said(child) for client, child in zip(clients, children, strict=True)}
    for client, figures in measured.items():
        micro = figures["cpu"] / max(1, figures["messages"]) * 1e6
        print(f"{client}: {figures['messages']} books and trades of {COINS} coins, {figures['cpu']:.2f} s of CPU, {micro:.1f} us each")
    rates = {client: COINS * SECONDS / figures["cpu"] for client, figures in measured.items()}
    rows = [
        row("live feed, coin-seconds per CPU second", peer, COINS * int(SECONDS), rates["ours"], rates[peer])
        for peer in clients
        if peer != "ours"
    ]
    return rows + [_decoding(exchange) for exchange in CODECS]


def _decoding(exchange: str) -> dict[str, Any]:
    """Our codec on books of 20 levels, up to the sink; no socket."""
    codec = CODECS[exchange](None)
    sink = _Counter()
    desk = Desk(sink, lambda coin, words, is_full: None)
    coin = Coin(_listing(0, exchange, "ABC"), "")
    coin.key = codec.key(coin.listing)
    desk.coins[coin.key] = coin
    codec.subscribe("books", [coin], 1)
    frames = [_frame(exchange, number) for number in range(FRAMES + 1)]
    codec.decode(frames[0], 0.0, desk)
    desk.confirm("trades", [coin.key])
    # The best of several parts: the machine may be busy with something else.
    parts = list[float]()
    for first in range(1, FRAMES + 1, PART):
        started = time.process_time()
        for payload in frames[first : first + PART]:
            codec.decode(payload, 0.0, desk)
        parts.append(time.process_time() - started)
    assert sink.count == FRAMES + 1, sink.rejected
    return row(f"decode a book of {exchange} ({len(frames[-1])} bytes)", "5 us a frame", FRAMES, PART / min(parts), 200_000)


def _frame(exchange: str, number: int) -> bytes:
    bids = [(f"{0.05123400 - level * 1e-6:.8f}", f"{1_000 + level + number % 97}.25") for level in range(20)]
    asks = [(f"{0.05124100 + level * 1e-6:.8f}", f"{2_000 + level + number % 89}.5") for level in range(20)]
    version = 1_700_000_000_000 + number
    dump = lambda value: json.dumps(value, separators=(",", ":"))  # noqa: E731
    match exchange:
        case "poloniex":
            item = {"symbol": "ABC_USDT", "createTime": version, "asks": asks, "bids": bids, "id": version, "ts": version}
            return dump({"channel": "book", "data": [item]}).encode()
        case "kucoin":
            data = {"asks": asks, "bids": bids, "timestamp": version}
            return dump({"type": "message", "topic": "/spotMarket/level2Depth50:ABC-USDT", "subject": "level2", "data": data}).encode()
        case "xt":
            data = {"s": "abc_usdt", "i": version, "t": version, "a": asks, "b": bids}
            return dump({"topic": "depth", "event": "depth@abc_usdt,20", "data": data}).encode()
        case "mexc":
            from ccxt.protobuf.mexc import PushDataV3ApiWrapper_pb2 as messages

            wrapper: Any = messages.PushDataV3ApiWrapper(
                channel="spot@public.limit.depth.v3.api.pb@ABCUSDT@20", symbol="ABCUSDT", sendTime=version
            )
            for side, levels in ((wrapper.publicLimitDepths.asks, asks), (wrapper.publicLimitDepths.bids, bids)):
                for price, quantity in levels:
                    side.add(price=price, quantity=quantity)
            wrapper.publicLimitDepths.version = str(version)
            return wrapper.SerializeToString()
        case _:
            # Changes, one level a side, after a first book of 20.
            count = 1 if number else 20
            sides = {
                name: [{"price": p, "quantity": q, "quantityChange": q, "cost": "0"} for p, q in side[:count]]
                for name, side in (("ask", asks), ("bid", bids))
            }
            body = dump({"payload": sides, "nonce": number, "timestamp": version})
            head = f"destination:/v1/book/ABC/USDT\nsubscription:books.1.ABC/USDT\nmessage-id:{number}\ncontent-length:{len(body)}\n"
            return f"MESSAGE\n{head}\n{body}\0".encode()


class _Counter:
    """A sink that counts."""

    def __init__(self) -> None:
        self.count = 0
        self.rejected: list[str] = []

    def book(self, *book: Any) -> None:
        self.count += 1

    def trade(self, *trade: Any) -> None:
        self.count += 1

    def reject(self, slot: int | None, reason: str) -> None:
        self.rejected.append(reason)

    def duplicate(self, slot: int) -> None:
        pass

    def blind(self, slots: Any, since: float, reason: str) -> None:
        pass

    def sighted(self, slots: Any, at: float) -> None:
        pass


def _listing(slot: int, exchange: str, base: str) -> Listing:
    market = {"kucoin": f"{base}-USDT", "mexc": f"{base}USDT", "poloniex": f"{base}_USDT", "xt": f"{base.lower()}_usdt"}.get(exchange, base)
    return Listing(slot, slot, f"{base}/USDT", market, base, "USDT")


# Processes: each says one line of JSON


@contextmanager
def _child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.feeds", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.terminate()


@contextmanager
def _all(commands: list[list[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    if not commands:
        yield []
        return
    with _child(*commands[0]) as first, _all(commands[1:]) as others:
        yield [first, *others]


def _said(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, "a client or the server failed; its words stand above"
    return json.loads(line)


async def _serve() -> None:
    from pnd_dagster.simulator.exchanges.server import SimulatedExchanges
    from pnd_dagster.simulator.exchanges.world import World
    from pnd_dagster.simulator.universe import make_universe

    universe = make_universe(7, COINS * 13)
    listed = {name: listings[:COINS] if name == EXCHANGE else () for name, listings in universe.listings.items()}
    async with SimulatedExchanges(World(universe._replace(listings=listed), seed=7, rate=RATE)) as server:
        print(json.dumps({"url": server.url}), flush=True)
        await asyncio.Event().wait()


async def _measure(count: Callable[[], int]) -> None:
    await asyncio.sleep(WARM_UP_SECONDS)
    before, cpu = count(), time.process_time()
    await asyncio.sleep(SECONDS)
    print(json.dumps({"cpu": time.process_time() - cpu, "messages": count() - before}), flush=True)


async def _symbols(url: str) -> list[str]:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"{url}/{EXCHANGE}/markets") as response:
        return [market["symbol"] for market in await response.json()]


async def _ours(url: str) -> None:
    sink, feed = _Counter(), open_feed(EXCHANGE, url=url)
    feed.watch([_listing(slot, EXCHANGE, symbol.removesuffix("_USDT")) for slot, symbol in enumerate(await _symbols(url))])
    running = asyncio.create_task(feed.run(sink, asyncio.Event()))
    await _measure(lambda: sink.count)
    running.cancel()


async def _ccxt(url: str) -> None:
    import ccxt.pro

    from pnd_dagster.market.rest import configure

    client: Any = ccxt.pro.poloniex()
    configure(client, url=url)
    await client.load_markets()
    count = 0

    async def follow(watch: Any, symbol: str, is_book: bool) -> None:
        nonlocal count
        while True:
            news = await watch(symbol)
            count += 1 if is_book else len(news)

    tasks = [
        asyncio.create_task(follow(watch, symbol, watch == client.watch_order_book))
        for symbol in client.symbols
        for watch in (client.watch_order_book, client.watch_trades)
    ]
    await _measure(lambda: count)
    for task in tasks:
        task.cancel()
    await client.close()


async def _cryptofeed(url: str) -> None:
    from cryptofeed import FeedHandler, connection
    from cryptofeed.defines import L2_BOOK, TRADES
    from cryptofeed.exchanges import Poloniex

    connect = connection.connect
    # It refuses ws:// addresses, so it is given wss://.
    connection.connect = lambda address, **options: connect(address.replace("wss://", "ws://"), **options)
    host = url.removeprefix("http://")
    Poloniex.websocket_endpoints = [connection.WebsocketEndpoint(f"wss://{host}/{EXCHANGE}/ws/public")]
    Poloniex.rest_endpoints = [connection.RestEndpoint(f"{url}/{EXCHANGE}", routes=connection.Routes("/markets"))]
    count = 0

    async def counted(*news: Any) -> None:
        nonlocal count
        count += 1

    handler = FeedHandler(config={"log": {"disabled": True}})
    callbacks = {L2_BOOK: counted, TRADES: counted}
    handler.add_feed(Poloniex(symbols=Poloniex.symbols(), channels=list(callbacks), callbacks=callbacks))
    handler.run(start_loop=False, install_signal_handlers=False)
    await _measure(lambda: count)


CLIENTS = {"ours": _ours, "ccxt": _ccxt, "cryptofeed": _cryptofeed}


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if sys.argv[1] == "serve":
        asyncio.run(_serve())
    else:
        asyncio.run(CLIENTS[sys.argv[2]](sys.argv[3]))
