"""XT: REST and WebSocket (https://doc.xt.com/docs/spot/), in JSON."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from pnd_dagster.simulator.exchanges.connections import Connection
from pnd_dagster.simulator.exchanges.limits import Closing, Rate
from pnd_dagster.simulator.exchanges.market import Market, Trade
from pnd_dagster.simulator.exchanges.protocol import (
    DAY_MS,
    ExchangeServer,
    Route,
    answer,
    cost,
    limited,
    newest_first,
    parse_json,
    price,
    quantity,
    texts,
    to_json,
    whole_number,
)
from pnd_dagster.simulator.exchanges.streams import AnyChannel, BookChannel, News, TradeChannel

PING_SECONDS = 60.0
DEPTHS, INTERVALS = ("5", "10", "20", "50"), {"100ms": 0.1, "1000ms": 1.0}
DEFAULT_INTERVAL = "1000ms"


class Xt(ExchangeServer):
    """Symbols are base_usdt. `depth` gives whole books (5, 10, 20 or 50 levels, every 100 or 1,000 ms), `depth_update` changes."""

    name = "xt"
    socket_path = "/public"
    rest_rate = Rate(100, 10.0)

    def base_of(self, symbol: str) -> str:
        return symbol.removesuffix("_usdt").upper() if symbol.endswith("_usdt") and symbol.islower() else ""

    def error(self, status: int, retry_after: float | None = None) -> web.Response:
        code = "429" if status == 429 else "GATEWAY_0001"
        return answer({"rc": 1, "mc": code, "ma": [], "result": None}, status=status)

    def unknown_symbol(self, symbol: str) -> web.Response:
        return answer({"rc": 1, "mc": "SYMBOL_001", "ma": [], "result": None})

    def routes(self) -> Sequence[Route]:
        return (
            Route("/v4/public/time", self._time),
            Route("/v4/public/symbol", self._symbols),
            Route("/v4/public/currencies", self._currencies),
            Route("/v4/public/wallet/support/currency", self._chains),
            Route("/future/market/v1/public/symbol/list", self._no_futures),
            Route("/v4/public/ticker/24h", self._tickers),
            Route("/v4/public/depth", self._depth, 10),
            Route("/v4/public/trade/recent", self._trades),
            Route("/v4/public/kline", self._klines),
        )

    async def _time(self, request: web.Request) -> web.Response:
        return _good({"serverTime": self.milliseconds})

    async def _no_futures(self, request: web.Request) -> web.Response:
        return answer({"returnCode": 0, "msgInfo": "success", "error": None, "result": []})

    async def _symbols(self, request: web.Request) -> web.Response:
        symbols = [_market(market) for market in self.markets.values()]
        return _good({"time": self.milliseconds, "version": "abb101d1543e54bee40687b135411ba0", "symbols": symbols})

    async def _currencies(self, request: web.Request) -> web.Response:
        coins = [_currency(market.index + 100, market.base, market.coin.name) for market in self.markets.values()]
        return _good({"time": str(self.milliseconds), "version": "1", "currencies": [*coins, _currency(11, "USDT", "Tether")]})

    async def _chains(self, request: web.Request) -> web.Response:
        return _good([_chains(market.base, market.coin.platform, market.coin.contract_address) for market in self.markets.values()])

    async def _tickers(self, request: web.Request) -> web.Response:
        at = self.milliseconds
        return _good([self._ticker(market, at) for market in self.markets.values()])

    def _ticker(self, market: Market, at: int) -> dict[str, object]:
        day, last = self.statistics(market), market.trades[-1].price
        change = float(last) - float(day.open)
        return {
            "s": _symbol(market),
            "t": at,
            "cv": price(market, change),
            "cr": f"{change / float(day.open):.4f}" if float(day.open) else "0",
            "o": day.open,
            "l": day.low,
            "h": day.high,
            "c": last,
            "q": day.volume,
            "v": day.quote_volume,
        }

    async def _depth(self, request: web.Request) -> web.Response:
        market = self.asked(request)
        bids, asks = market.book(limited(request, default=50, most=500))
        return _good({"timestamp": self.milliseconds, "lastUpdateId": market.sequence, "bids": bids, "asks": asks})

    async def _trades(self, request: web.Request) -> web.Response:
        trades = newest_first(self.asked(request), limited(request, default=200, most=1000))
        return _good(
            [
                {
                    "i": trade.trade_id,
                    "t": int(trade.at * 1000),
                    "p": trade.price,
                    "q": trade.quantity,
                    "v": cost(trade),
                    "b": trade.side == "sell",
                }
                for trade in trades
            ]
        )

    async def _klines(self, request: web.Request) -> web.Response:
        market = self.asked(request)
        if request.query.get("interval") != "1d":
            return answer({"rc": 1, "mc": "INVALID_INTERVAL", "ma": [], "result": None})
        days = self.candles(
            market,
            start=whole_number(request, "startTime"),
            end=whole_number(request, "endTime"),
            limit=limited(request, default=100, most=1000),
        )
        return _good(
            [
                {
                    "t": (day.day.toordinal() - 719_163) * DAY_MS,
                    "o": price(market, day.open),
                    "c": price(market, day.close),
                    "h": price(market, day.high),
                    "l": price(market, day.low),
                    "q": quantity(market, day.volume),
                    "v": f"{day.quote_volume:.8f}",
                }
                for day in reversed(days)
            ]
        )

    def overdue(self, connection: Connection, now: float) -> Closing | None:
        is_silent = now - connection.heard_at > PING_SECONDS * self.time_factor
        return Closing(1000, "no ping") if is_silent else None

    def hear(self, connection: Connection, text: str) -> None:
        if text == "ping":
            if not self.is_muted:
                connection.say(b"pong")
            return None
        message = parse_json(text)
        method, name = (message.get("method"), message.get("id")) if message else (None, None)
        if message is None or method not in ("subscribe", "unsubscribe"):
            return connection.say(to_json({"id": name, "code": 1, "msg": "invalid request"}))
        asked = [(tag, *self._channel(tag)) for tag in texts(message.get("params"))]
        wrong = [tag for tag, channel, market in asked if channel is None or market is None]
        if not asked or wrong:
            return connection.say(to_json({"id": name, "code": 1, "msg": f"invalid params {','.join(wrong)}"}))
        done = {"id": name, "code": 0, "msg": "success", "method": method, "sessionId": f"{connection.number:016x}"}
        connection.say(to_json(done))
        for tag, channel, market in asked:
            if method == "unsubscribe":
                self.streams.unsubscribe(connection, tag)
            elif channel is not None and market is not None:
                self.streams.subscribe(connection, market, channel, tag)
        return None

    def _channel(self, tag: str) -> tuple[AnyChannel | None, Market | None]:
        kind, _, rest = tag.partition("@")
        symbol, *options = rest.split(",")
        if kind == "depth":
            depth, interval = [*options, DEFAULT_INTERVAL][:2] if options else ("", "")
            return _BOOKS.get((depth, interval, len(options))), self.find(symbol)
        channel = {"depth_update": _CHANGES, "trade": _TRADES}.get(kind)
        return (None if options else channel), self.find(symbol)


def _good(result: object) -> web.Response:
    return answer({"rc": 0, "mc": "SUCCESS", "ma": [], "result": result})


def _symbol(market: Market) -> str:
    return f"{market.base.lower()}_usdt"


def _market(market: Market) -> dict[str, object]:
    return {
        "id": market.index + 1,
        "symbol": _symbol(market),
        "displayName": f"{market.base}/USDT",
        "state": "ONLINE",
        "stateTime": int(market.coin.added_at.timestamp() * 1000),
        "tradingEnabled": True,
        "openapiEnabled": True,
        "nextStateTime": None,
        "nextState": None,
        "depthMergePrecision": 5,
        "baseCurrency": market.base.lower(),
        "baseCurrencyPrecision": market.quantity_decimals,
        "baseCurrencyId": market.index + 100,
        "quoteCurrency": "usdt",
        "quoteCurrencyPrecision": 8,
        "quoteCurrencyId": 11,
        "pricePrecision": market.price_decimals,
        "quantityPrecision": market.quantity_decimals,
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForces": ["GTC", "IOC"],
        "displayWeight": 1,
        "displayLevel": "FULL",
        "plates": [],
        "filters": [{"filter": "QUOTE_QTY", "min": "1"}],
    }


def _currency(number: int, currency: str, name: str) -> dict[str, object]:
    return {
        "id": number,
        "currency": currency.lower(),
        "type": "FT",
        "nominalValue": None,
        "fullName": name,
        "logo": "",
        "cmcLink": "",
        "weight": 1,
        "maxPrecision": 8,
        "depositStatus": 1,
        "withdrawStatus": 1,
        "convertEnabled": 1,
        "transferEnabled": 1,
        "isChainExist": 1,
        "plates": [],
    }


def _chains(currency: str, platform: str | None, contract: str | None) -> dict[str, object]:
    chain = {
        "chain": platform or currency,
        "depositEnabled": True,
        "withdrawEnabled": True,
        "withdrawFeeAmount": 1,
        "withdrawMinAmount": 1,
        "depositFeeRate": 0,
        "contract": contract or "",
    }
    return {"currency": currency.lower(), "supportChains": [chain]}


def _book_channel(depth: str, interval: str, event: bytes) -> BookChannel:
    def encode(news: News) -> bytes:
        symbol = _symbol(news.market).encode()
        return b'{"topic":"depth","event":"depth@%s,%s","data":{"s":"%s","i":%d,"t":%d,"a":%s,"b":%s}}' % (
            symbol,
            event,
            symbol,
            news.last,
            news.at,
            to_json(news.asks),
            to_json(news.bids),
        )

    return BookChannel(f"depth{event.decode()}", "snapshots", int(depth), INTERVALS[interval], encode)


def _encode_changes(news: News) -> bytes:
    symbol = _symbol(news.market)
    data = {"s": symbol, "fi": news.first, "i": news.last, "a": news.asks, "b": news.bids}
    return to_json({"topic": "depth_update", "event": f"depth_update@{symbol}", "data": data})


def _encode_trades(market: Market, trades: Sequence[Trade], at: int) -> list[tuple[bytes, Sequence[Trade]]]:
    symbol = _symbol(market)
    return [
        (
            to_json(
                {
                    "topic": "trade",
                    "event": f"trade@{symbol}",
                    "data": {
                        "s": symbol,
                        "i": str(trade.trade_id),
                        "t": int(trade.at * 1000),
                        "p": trade.price,
                        "q": trade.quantity,
                        "b": trade.side == "sell",
                    },
                }
            ),
            (trade,),
        )
        for trade in trades
    ]


# By levels, interval, and how many of the two the topic names.
_BOOKS = {(depth, DEFAULT_INTERVAL, 1): _book_channel(depth, DEFAULT_INTERVAL, depth.encode()) for depth in DEPTHS} | {
    (depth, interval, 2): _book_channel(depth, interval, f"{depth},{interval}".encode()) for depth in DEPTHS for interval in INTERVALS
}
_CHANGES = BookChannel("depth_update", "changes", 100, 0.1, _encode_changes, tells_at_once=False)
_TRADES = TradeChannel("trade", _encode_trades)
