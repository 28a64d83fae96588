"""KuCoin: REST (https://www.kucoin.com/docs-new/rest/spot-trading/market-data/) and its WebSocket, which wants a token, in JSON."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from aiohttp import web

from pnd_dagster.simulator.exchanges.connections import Connection
from pnd_dagster.simulator.exchanges.faults import Faults
from pnd_dagster.simulator.exchanges.limits import Closing, Rate, Window
from pnd_dagster.simulator.exchanges.market import Market, Trade
from pnd_dagster.simulator.exchanges.protocol import (
    DAY_MS,
    ExchangeServer,
    Route,
    answer,
    best,
    increment,
    newest_first,
    parse_json,
    price,
    quantity,
    to_json,
    whole_number,
)
from pnd_dagster.simulator.exchanges.streams import AnyChannel, BookChannel, News, Streams, TradeChannel
from pnd_dagster.simulator.exchanges.world import World

TOPICS_PER_MESSAGE, TOPICS_PER_CONNECTION = 100, 400
UPLINK = Rate(100, 10.0)
PING_INTERVAL, PING_TIMEOUT = 18.0, 10.0
TOKEN_SECONDS = 86_400.0


class Kucoin(ExchangeServer):
    """Symbols are BASE-USDT. `/spotMarket/level2Depth5` and `50` give whole books, only when they change, `/market/level2` changes."""

    name = "kucoin"
    socket_path = "/endpoint"
    rest_rate = Rate(4000, 30.0)

    def __init__(self, world: World, streams: Streams, faults: Faults, time_factor: float) -> None:
        super().__init__(world, streams, faults, time_factor)
        self._tokens: dict[str, float] = {}
        self._uplinks: dict[Connection, Window] = {}

    def base_of(self, symbol: str) -> str:
        return symbol.removesuffix("-USDT") if symbol.endswith("-USDT") else ""

    def error(self, status: int, retry_after: float | None = None) -> web.Response:
        if status != 429:
            return answer({"code": str(status * 1000), "msg": "Internal Server Error"}, status=status)
        headers = {"gw-ratelimit-limit": str(self.rest_rate.units), "gw-ratelimit-remaining": "0"}
        headers["gw-ratelimit-reset"] = str(round((retry_after or 1.0) * 1000))
        return answer({"code": "429000", "msg": "Too many requests"}, status=429, headers=headers)

    def unknown_symbol(self, symbol: str) -> web.Response:
        return answer({"code": "900001", "msg": "symbol not exists"}, status=400)

    def routes(self) -> Sequence[Route]:
        return (
            Route("/api/v1/timestamp", self._timestamp, 3),
            Route("/api/v2/symbols", self._symbols, 4),
            Route("/api/v1/symbols", self._symbols, 4),
            Route("/api/v3/currencies", self._currencies, 3),
            Route("/api/v1/contracts/active", self._no_futures, 3),
            Route("/api/v1/market/allTickers", self._tickers, 15),
            Route("/api/v1/market/orderbook/level2_{depth:20|100}", self._order_book, 4),
            Route("/api/v1/market/histories", self._trades, 3),
            Route("/api/v1/market/candles", self._candles, 3),
            Route("/api/v1/bullet-public", self._bullet, 10, method="POST"),
        )

    async def _timestamp(self, request: web.Request) -> web.Response:
        return _good(self.milliseconds)

    async def _no_futures(self, request: web.Request) -> web.Response:
        return _good([])

    async def _symbols(self, request: web.Request) -> web.Response:
        return _good([_market(market) for market in self.markets.values()])

    async def _currencies(self, request: web.Request) -> web.Response:
        coins = [(it.base, it.coin.name, it.coin.platform, it.coin.contract_address) for it in self.markets.values()]
        return _good([_currency(*coin) for coin in [*coins, ("USDT", "Tether", "ETH", None)]])

    async def _tickers(self, request: web.Request) -> web.Response:
        return _good({"time": self.milliseconds, "ticker": [self._ticker(market) for market in self.markets.values()]})

    def _ticker(self, market: Market) -> dict[str, object]:
        day, (bids, asks), last = self.statistics(market), market.book(), market.trades[-1].price
        change = float(last) - float(day.open)
        return {
            "symbol": _symbol(market),
            "symbolName": _symbol(market),
            "buy": best(bids)[0],
            "bestBidSize": best(bids)[1],
            "sell": best(asks)[0],
            "bestAskSize": best(asks)[1],
            "changeRate": f"{change / float(day.open):.4f}" if float(day.open) else "0",
            "changePrice": price(market, change),
            "high": day.high,
            "low": day.low,
            "vol": day.volume,
            "volValue": day.quote_volume,
            "last": last,
            "averagePrice": day.open,
            "takerFeeRate": "0.001",
            "makerFeeRate": "0.001",
            "takerCoefficient": "1",
            "makerCoefficient": "1",
        }

    async def _order_book(self, request: web.Request) -> web.Response:
        market = self.asked(request)
        bids, asks = market.book(int(request.match_info["depth"]))
        return _good({"time": self.milliseconds, "sequence": str(market.sequence), "bids": bids, "asks": asks})

    async def _trades(self, request: web.Request) -> web.Response:
        trades = newest_first(self.asked(request), 100)
        return _good(
            [
                {
                    "sequence": str(trade.trade_id),
                    "price": trade.price,
                    "size": trade.quantity,
                    "side": trade.side,
                    "time": int(trade.at * 1e6) * 1000,
                }
                for trade in trades
            ]
        )

    async def _candles(self, request: web.Request) -> web.Response:
        market = self.asked(request)
        if request.query.get("type") != "1day":
            return answer({"code": "400100", "msg": "Incorrect candlestick type"}, status=400)
        start, end = whole_number(request, "startAt"), whole_number(request, "endAt")
        days = self.candles(market, start=start * 1000 if start else None, end=end * 1000 if end else None, limit=1500)
        return _good(
            [
                [
                    str((day.day.toordinal() - 719_163) * DAY_MS // 1000),
                    *(price(market, value) for value in (day.open, day.close, day.high, day.low)),
                    quantity(market, day.volume),
                    f"{day.quote_volume:.8f}",
                ]
                for day in reversed(days)
            ]
        )

    async def _bullet(self, request: web.Request) -> web.Response:
        token = uuid.uuid4().hex + uuid.uuid4().hex
        self._tokens[token] = time.time() + TOKEN_SECONDS * self.time_factor
        server = {
            "endpoint": f"ws://{request.host}/{self.name}{self.socket_path}",
            "encrypt": False,
            "protocol": "websocket",
            "pingInterval": round(PING_INTERVAL * 1000 * self.time_factor),
            "pingTimeout": round(PING_TIMEOUT * 1000 * self.time_factor),
        }
        return _good({"token": token, "instanceServers": [server]})

    def admit(self, request: web.Request) -> web.Response | None:
        if self._tokens.get(request.query.get("token", ""), 0.0) > time.time():
            return None
        return answer({"code": "401", "msg": "token is invalid"}, status=401)

    def greet(self, connection: Connection, request: web.Request) -> None:
        self._uplinks = {known: window for known, window in self._uplinks.items() if known.is_open}
        self._uplinks[connection] = Window(UPLINK, self.time_factor)
        connection.say(to_json({"id": request.query.get("connectId", ""), "type": "welcome"}))

    def overdue(self, connection: Connection, now: float) -> Closing | None:
        is_silent = now - connection.heard_at > (PING_INTERVAL + PING_TIMEOUT) * self.time_factor
        return Closing(1000, "ping timeout") if is_silent else None

    def hear(self, connection: Connection, text: str) -> None:
        message = parse_json(text)
        if message is None:
            return _refuse(connection, None, 400, "bad request")
        name, kind = message.get("id"), message.get("type")
        if self._uplinks[connection].take():
            return _refuse(connection, name, 509, "exceed max permits per second")
        if kind == "ping":
            if not self.is_muted:
                connection.say(to_json({"id": name, "type": "pong", "timestamp": self.milliseconds * 1000}))
            return None
        if kind not in ("subscribe", "unsubscribe"):
            return _refuse(connection, name, 415, "type is not supported")
        path, _, listed = str(message.get("topic", "")).partition(":")
        symbols, channel = listed.split(","), _CHANNELS.get(path)
        missing = [symbol for symbol in symbols if self.find(symbol) is None] if kind == "subscribe" else []
        if channel is None or missing:
            return _refuse(connection, name, 404, f"topic {path}:{missing[0] if missing else listed} is not found")
        if len(symbols) > TOPICS_PER_MESSAGE:
            return _refuse(connection, name, 509, f"exceed max subscription count limitation of {TOPICS_PER_MESSAGE} per time")
        tags = [f"{path}:{symbol}" for symbol in symbols]
        if kind == "subscribe" and len({*connection.subscriptions, *tags}) > TOPICS_PER_CONNECTION:
            return _refuse(connection, name, 509, f"exceed max subscription count limitation of {TOPICS_PER_CONNECTION} per session")
        if message.get("response"):
            connection.say(to_json({"id": name, "type": "ack"}))
        for symbol, tag in zip(symbols, tags, strict=True):
            market = self.find(symbol)
            if kind == "subscribe" and market is not None:
                self.streams.subscribe(connection, market, channel, tag)
            else:
                self.streams.unsubscribe(connection, tag)
        return None


def _good(data: object) -> web.Response:
    return answer({"code": "200000", "data": data})


def _refuse(connection: Connection, name: object, code: int, reason: str) -> None:
    connection.say(to_json({"id": name, "type": "error", "code": code, "data": reason}))


def _symbol(market: Market) -> str:
    return f"{market.base}-USDT"


def _market(market: Market) -> dict[str, object]:
    return {
        "symbol": _symbol(market),
        "name": _symbol(market),
        "baseCurrency": market.base,
        "quoteCurrency": "USDT",
        "feeCurrency": "USDT",
        "market": "USDS",
        "baseMinSize": increment(market.quantity_decimals),
        "quoteMinSize": "0.1",
        "baseMaxSize": "10000000000",
        "quoteMaxSize": "99999999",
        "baseIncrement": increment(market.quantity_decimals),
        "quoteIncrement": increment(market.price_decimals),
        "priceIncrement": increment(market.price_decimals),
        "priceLimitRate": "0.1",
        "minFunds": "0.1",
        "isMarginEnabled": False,
        "enableTrading": True,
    }


def _currency(currency: str, name: str, platform: str | None, contract: str | None) -> dict[str, object]:
    chain = {
        "chainName": platform or currency,
        "chainId": (platform or currency).lower(),
        "withdrawalMinSize": "1",
        "depositMinSize": None,
        "withdrawFeeRate": "0",
        "withdrawalMinFee": "1",
        "isWithdrawEnabled": True,
        "isDepositEnabled": True,
        "confirms": 12,
        "preConfirms": 12,
        "withdrawPrecision": 8,
        "needTag": False,
        "contractAddress": contract or "",
    }
    return {
        "currency": currency,
        "name": currency,
        "fullName": name,
        "precision": 8,
        "confirms": None,
        "contractAddress": contract,
        "isMarginEnabled": False,
        "isDebitEnabled": False,
        "chains": [chain],
    }


def _encode_book(news: News, depth: int) -> bytes:
    return b'{"topic":"/spotMarket/level2Depth%d:%s","type":"message","subject":"level2","data":{"asks":%s,"bids":%s,"timestamp":%d}}' % (
        depth,
        _symbol(news.market).encode(),
        to_json(news.asks),
        to_json(news.bids),
        news.at,
    )


def _encode_changes(news: News) -> bytes:
    symbol, last = _symbol(news.market), str(news.last)
    return to_json(
        {
            "topic": f"/market/level2:{symbol}",
            "type": "message",
            "subject": "trade.l2update",
            "data": {
                "changes": {"asks": [(*level, last) for level in news.asks], "bids": [(*level, last) for level in news.bids]},
                "sequenceEnd": news.last,
                "sequenceStart": news.first,
                "symbol": symbol,
                "time": news.at,
            },
        }
    )


def _encode_trades(market: Market, trades: Sequence[Trade], at: int) -> list[tuple[bytes, Sequence[Trade]]]:
    symbol = _symbol(market)
    return [
        (
            to_json(
                {
                    "topic": f"/market/match:{symbol}",
                    "type": "message",
                    "subject": "trade.l3match",
                    "data": {
                        "makerOrderId": f"m{trade.trade_id}",
                        "price": trade.price,
                        "sequence": str(trade.trade_id),
                        "side": trade.side,
                        "size": trade.quantity,
                        "symbol": symbol,
                        "takerOrderId": f"t{trade.trade_id}",
                        "time": str(int(trade.at * 1e6) * 1000),
                        "tradeId": str(trade.trade_id),
                        "type": "match",
                    },
                }
            ),
            (trade,),
        )
        for trade in trades
    ]


_CHANNELS: dict[str, AnyChannel] = {
    "/spotMarket/level2Depth5": BookChannel("depth5", "snapshots", 5, 0.1, lambda news: _encode_book(news, 5), tells_at_once=False),
    "/spotMarket/level2Depth50": BookChannel("depth50", "snapshots", 50, 0.1, lambda news: _encode_book(news, 50), tells_at_once=False),
    "/market/level2": BookChannel("level2", "changes", 100, 0.0, _encode_changes, tells_at_once=False),
    "/market/match": TradeChannel("match", _encode_trades),
}
