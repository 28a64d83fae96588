"""A loopback server of the five exchanges' REST answers, with everything a test wants to decide: markets, candles, trades, refusals."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from aiohttp import web

USDT = "0c3a106d-bde3-4c13-a26e-3fd2394529e5"
# Rows per answer, as the exchanges cut them.
PAGES = {"kucoin": 1500, "mexc": 500, "poloniex": 500, "xt": 1000}
DAY_MS = 86_400_000


def latoken_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1_000)


@dataclass
class Refusal:
    """Answers requests whose path and query hold `part`, `times` times."""

    part: str
    status: int
    times: int = 10**9
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "{}"


@dataclass
class Exchanges:
    """What the server serves. A candle is (open, high, low, close, volume) of a day; a trade (milliseconds, price, quantity, side)."""

    url: str = ""
    markets: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    contracts: dict[str, str] = field(default_factory=dict)
    base_ids: dict[str, str] = field(default_factory=dict)
    opened: date | None = None
    candles: dict[tuple[str, str], dict[date, tuple[float | str, ...]]] = field(default_factory=dict)
    trades: dict[str, list[tuple[int, str, str, str]]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def asked(self, part: str) -> list[str]:
        """Requests so far whose path and query hold `part`."""
        return [request for request in self.requests if part in request]

    def id_of(self, base: str) -> str:
        return self.base_ids.get(base, latoken_id(base))


@contextmanager
def serve() -> Generator[Exchanges]:
    """The server in a thread of its own, on a free port of this machine."""
    exchanges, loop, ready = Exchanges(), asyncio.new_event_loop(), threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(middlewares=[_recorded(exchanges)])
        app.add_routes(_routes(exchanges))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        exchanges.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield exchanges
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _recorded(exchanges: Exchanges) -> Any:
    @web.middleware
    async def recorded(request: web.Request, handler: Any) -> web.StreamResponse:
        exchanges.requests.append(request.path_qs)
        for refusal in exchanges.refusals:
            if refusal.part in request.path_qs and refusal.times > 0:
                refusal.times -= 1
                return web.Response(status=refusal.status, headers=refusal.headers, text=refusal.body, content_type="application/json")
        return await handler(request)

    return recorded


def _routes(e: Exchanges) -> list[web.RouteDef]:
    def rows(exchange: str, base: str, since: int, end: int, limit: int) -> list[tuple[int, tuple[float | str, ...]]]:
        days = sorted(e.candles.get((exchange, base), {}).items())
        inside = [(milliseconds(day), candle) for day, candle in days if since <= milliseconds(day) <= end]
        return inside[: min(limit, PAGES[exchange])]

    async def kucoin_symbols(_: web.Request) -> web.Response:
        return _kucoin(
            [
                {"symbol": f"{b}-USDT", "baseCurrency": b, "quoteCurrency": "USDT", "baseIncrement": "0.01", "priceIncrement": "0.0001"}
                | {"enableTrading": True, "isMarginEnabled": False}
                for b in e.markets["kucoin"]
            ]
        )

    async def kucoin_currencies(_: web.Request) -> web.Response:
        def chains(base: str) -> list[dict[str, str]]:
            return [{"chainName": "ERC20", "chainId": "eth", "contractAddress": e.contracts[base]}] if base in e.contracts else []

        return _kucoin(
            [{"currency": b, "name": b, "fullName": e.names.get(b, b), "precision": 8, "chains": chains(b)} for b in e.markets["kucoin"]]
        )

    async def kucoin_candles(request: web.Request) -> web.Response:
        q = request.query
        found = rows("kucoin", q["symbol"].split("-")[0], int(q["startAt"]) * 1_000, int(q["endAt"]) * 1_000, 1500)
        return _kucoin([[str(ms // 1_000), o, c, h, low, v, "77"] for ms, (o, h, low, c, v) in reversed(found)])

    async def kucoin_time(_: web.Request) -> web.Response:
        return _kucoin(1_700_000_000_123)

    async def kucoin_book(_: web.Request) -> web.Response:
        return _kucoin({"time": 1, "sequence": "7", "bids": [["1.0", "5"], ["0.9", "6"]], "asks": [["1.1", "7"]]})

    async def mexc_info(_: web.Request) -> web.Response:
        symbols = [
            {"symbol": f"{b}USDT", "status": "1", "baseAsset": b, "quoteAsset": "USDT", "isSpotTradingAllowed": True}
            | {"baseAssetPrecision": 2, "quoteAssetPrecision": 4, "fullName": e.names.get(b, b), "contractAddress": e.contracts.get(b, "")}
            for b in e.markets["mexc"]
        ]
        return web.json_response({"symbols": symbols})

    async def mexc_klines(request: web.Request) -> web.Response:
        q = request.query
        found = rows("mexc", q["symbol"].removesuffix("USDT"), int(q["startTime"]), int(q["endTime"]) - 1, int(q.get("limit", 500)))
        return web.json_response([[ms, o, h, low, c, v, ms + DAY_MS, "77"] for ms, (o, h, low, c, v) in found])

    async def poloniex_markets(_: web.Request) -> web.Response:
        opened = milliseconds(e.opened) if e.opened else 1
        return web.json_response(
            [
                {"symbol": f"{b}_USDT", "baseCurrencyName": b, "quoteCurrencyName": "USDT", "state": "NORMAL", "tradableStartTime": opened}
                | {"symbolTradeLimit": {"priceScale": 4, "quantityScale": 2}}
                for b in e.markets["poloniex"]
            ]
        )

    async def poloniex_currencies(_: web.Request) -> web.Response:
        return web.json_response(
            [
                {
                    "id": n,
                    "coin": b,
                    "name": e.names.get(b, b),
                    "networkList": [{"blockchain": "ETH", "contractAddress": e.contracts.get(b)}],
                }
                for n, b in enumerate(e.markets["poloniex"])
            ]
        )

    async def poloniex_candles(request: web.Request) -> web.Response:
        q = request.query
        if not 100 <= int(q["limit"]) <= 500:
            return web.json_response({"code": 400, "message": "limit out of range"}, status=400)
        base = request.match_info["symbol"].split("_")[0]
        found = rows("poloniex", base, int(q["startTime"]), int(q["endTime"]), int(q["limit"]))
        return web.json_response(
            [[low, h, o, c, "77", v, "0", "0", 12, 0, o, "DAY_1", ms, ms + DAY_MS - 1] for ms, (o, h, low, c, v) in found]
        )

    async def xt_symbols(_: web.Request) -> web.Response:
        symbols = [
            {"id": n, "symbol": f"{b.lower()}_usdt", "state": "ONLINE", "tradingEnabled": True, "openapiEnabled": True}
            | {"baseCurrency": b.lower(), "quoteCurrency": "usdt", "pricePrecision": 4, "quantityPrecision": 2, "filters": []}
            for n, b in enumerate(e.markets["xt"])
        ]
        return _xt({"symbols": symbols})

    async def xt_currencies(_: web.Request) -> web.Response:
        return _xt({"currencies": [{"currency": b.lower(), "fullName": e.names.get(b, b)} for b in e.markets["xt"]]})

    async def xt_chains(_: web.Request) -> web.Response:
        return _xt([])

    async def xt_klines(request: web.Request) -> web.Response:
        q = request.query
        found = rows("xt", q["symbol"].split("_")[0].upper(), int(q["startTime"]), int(q["endTime"]), int(q["limit"]))
        return _xt([{"t": ms, "o": o, "h": h, "l": low, "c": c, "q": v, "v": "77"} for ms, (o, h, low, c, v) in found])

    async def latoken_pairs(_: web.Request) -> web.Response:
        return web.json_response(
            [
                {"id": latoken_id(f"pair {e.id_of(b)}"), "status": "PAIR_STATUS_ACTIVE", "baseCurrency": e.id_of(b), "quoteCurrency": USDT}
                | {"priceTick": "0.0001", "quantityTick": "0.01", "created": 1}
                for b in e.markets["latoken"]
            ]
        )

    async def latoken_currencies(_: web.Request) -> web.Response:
        ids = [("USDT", USDT), *((b, e.id_of(b)) for b in e.markets["latoken"])]
        return web.json_response(
            [
                {
                    "id": i,
                    "status": "CURRENCY_STATUS_ACTIVE",
                    "type": "CURRENCY_TYPE_CRYPTO",
                    "tag": b,
                    "name": e.names.get(b, b),
                    "decimals": 18,
                }
                for b, i in ids
            ]
        )

    async def latoken_trades(request: web.Request) -> web.Response:
        base = next(b for b in e.markets["latoken"] if e.id_of(b) == request.match_info["base"])
        last = e.trades.get(base, [])[-100:]
        return web.json_response(
            [
                {"id": str(n), "timestamp": ms, "price": price, "quantity": quantity, "cost": "0", "isMakerBuyer": side == "sell"}
                | {"direction": None, "baseCurrency": e.id_of(base), "quoteCurrency": USDT, "makerBuyer": side == "sell"}
                for n, (ms, price, quantity, side) in reversed(list(enumerate(last)))
            ]
        )

    return [
        web.get("/kucoin/api/v2/symbols", kucoin_symbols),
        web.get("/kucoin/api/v3/currencies", kucoin_currencies),
        web.get("/kucoin/api/v1/market/candles", kucoin_candles),
        web.get("/kucoin/api/v1/timestamp", kucoin_time),
        web.get("/kucoin/api/v1/market/orderbook/level2_100", kucoin_book),
        web.get("/mexc/api/v3/exchangeInfo", mexc_info),
        web.get("/mexc/api/v3/klines", mexc_klines),
        web.get("/poloniex/markets", poloniex_markets),
        web.get("/poloniex/v2/currencies", poloniex_currencies),
        web.get("/poloniex/markets/{symbol}/candles", poloniex_candles),
        web.get("/xt/v4/public/symbol", xt_symbols),
        web.get("/xt/v4/public/currencies", xt_currencies),
        web.get("/xt/v4/public/wallet/support/currency", xt_chains),
        web.get("/xt/v4/public/kline", xt_klines),
        web.get("/latoken/v2/pair", latoken_pairs),
        web.get("/latoken/v2/currency", latoken_currencies),
        web.get("/latoken/v2/trade/history/{base}/{quote}", latoken_trades),
    ]


def _kucoin(data: Any) -> web.Response:
    return web.json_response({"code": "200000", "data": data})


def _xt(result: Any) -> web.Response:
    return web.json_response({"rc": 0, "mc": "SUCCESS", "ma": [], "result": result})
