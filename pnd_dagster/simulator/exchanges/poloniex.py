"""Poloniex: REST (https://api-docs.poloniex.com/spot/api/) and WebSocket (https://api-docs.poloniex.com/spot/websocket/), in JSON."""

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
    best,
    cost,
    increment,
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

PING_SECONDS = 30.0
DEPTHS = (5, 10, 20)


class Poloniex(ExchangeServer):
    """Symbols are BASE_USDT. Channel `book` gives whole books (5, 10 or 20 levels), `book_lv2` one book and then differences."""

    name = "poloniex"
    socket_path = "/ws/public"
    rest_rate = Rate(200, 1.0)

    def base_of(self, symbol: str) -> str:
        return symbol.removesuffix("_USDT") if symbol.endswith("_USDT") else ""

    def error(self, status: int, retry_after: float | None = None) -> web.Response:
        message = "Too many requests" if status == 429 else "Internal system error"
        return answer({"code": status, "message": message}, status=status)

    def unknown_symbol(self, symbol: str) -> web.Response:
        return answer({"code": 10040, "message": "Invalid symbol"}, status=400)

    def routes(self) -> Sequence[Route]:
        return (
            Route("/timestamp", self._timestamp),
            Route("/markets", self._markets, 20),
            Route("/v2/currencies", self._currencies, 20),
            Route("/v3/market/allInstruments", self._no_futures, 20),
            Route("/markets/ticker24h", self._tickers, 20),
            Route("/markets/{symbol}/orderBook", self._order_book),
            Route("/markets/{symbol}/trades", self._trades, 20),
            Route("/markets/{symbol}/candles", self._candles, 20),
        )

    async def _timestamp(self, request: web.Request) -> web.Response:
        return answer({"serverTime": self.milliseconds})

    async def _no_futures(self, request: web.Request) -> web.Response:
        return answer({"code": "200", "msg": "Success", "data": []})

    async def _markets(self, request: web.Request) -> web.Response:
        return answer([_market(market) for market in self.markets.values()])

    async def _currencies(self, request: web.Request) -> web.Response:
        coins = [
            _currency(number, market.base, market.coin.name, market.coin.platform, market.coin.contract_address)
            for number, market in enumerate(self.markets.values(), 1)
        ]
        return answer([*coins, _currency(0, "USDT", "Tether USD", None, None)])

    async def _tickers(self, request: web.Request) -> web.Response:
        at = self.milliseconds
        return answer([self._ticker(market, at) for market in self.markets.values()])

    def _ticker(self, market: Market, at: int) -> dict[str, object]:
        day, (bids, asks) = self.statistics(market), market.book()
        last = market.trades[-1].price
        return {
            "symbol": _symbol(market),
            "open": day.open,
            "low": day.low,
            "high": day.high,
            "close": last,
            "quantity": day.volume,
            "amount": day.quote_volume,
            "tradeCount": day.trade_count,
            "startTime": at - DAY_MS,
            "closeTime": at,
            "displayName": f"{market.base}/USDT",
            "dailyChange": f"{float(last) / float(day.open) - 1:.4f}" if float(day.open) else "0",
            "bid": best(bids)[0],
            "bidQuantity": best(bids)[1],
            "ask": best(asks)[0],
            "askQuantity": best(asks)[1],
            "ts": at,
            "markPrice": last,
        }

    async def _order_book(self, request: web.Request) -> web.Response:
        market, at = self.asked(request), self.milliseconds
        bids, asks = market.book(limited(request, default=10, most=150))
        return answer(
            {
                "time": at,
                "scale": increment(market.price_decimals),
                "asks": [text for level in asks for text in level],
                "bids": [text for level in bids for text in level],
                "ts": at,
            }
        )

    async def _trades(self, request: web.Request) -> web.Response:
        trades = newest_first(self.asked(request), limited(request, default=500, most=1000))
        return answer(
            [
                {
                    "id": str(trade.trade_id),
                    "price": trade.price,
                    "quantity": trade.quantity,
                    "amount": cost(trade),
                    "takerSide": trade.side.upper(),
                    "ts": int(trade.at * 1000),
                    "createTime": int(trade.at * 1000),
                }
                for trade in trades
            ]
        )

    async def _candles(self, request: web.Request) -> web.Response:
        market = self.asked(request)
        if request.query.get("interval") != "DAY_1":
            return answer({"code": 400, "message": "Invalid interval"}, status=400)
        days = self.candles(
            market,
            start=whole_number(request, "startTime"),
            end=whole_number(request, "endTime"),
            limit=limited(request, default=100, most=500),
        )
        rows: list[list[object]] = []
        for day in days:
            start = (day.day.toordinal() - 719_163) * DAY_MS
            taker = quantity(market, day.taker_buy_volume)
            mean = day.quote_volume / day.volume if day.volume else day.close
            rows.append(
                [
                    *(price(market, value) for value in (day.low, day.high, day.open, day.close)),
                    *(f"{day.quote_volume:.8f}", quantity(market, day.volume), f"{day.taker_buy_volume * mean:.8f}", taker),
                    *(day.trade_count, start + DAY_MS - 1, f"{mean:.12f}", "DAY_1", start, start + DAY_MS - 1),
                ]
            )
        return answer(rows)

    def overdue(self, connection: Connection, now: float) -> Closing | None:
        is_silent = now - connection.heard_at > PING_SECONDS * self.time_factor
        return Closing(1000, "no ping") if is_silent else None

    def hear(self, connection: Connection, text: str) -> None:
        message = parse_json(text)
        event = message.get("event") if message else None
        if event == "ping":
            if not self.is_muted:
                connection.say(b'{"event":"pong"}')
        elif message is not None and event in ("subscribe", "unsubscribe"):
            self._change_subscriptions(connection, message, is_new=event == "subscribe")
        elif event == "unsubscribe_all":
            for tag in list(connection.subscriptions):
                self.streams.unsubscribe(connection, tag)
            connection.say(b'{"event":"unsubscribe_all"}')
        else:
            connection.say(b'{"event":"error","message":"Bad request"}')

    def _change_subscriptions(self, connection: Connection, message: dict[str, object], *, is_new: bool) -> None:
        names, symbols = texts(message.get("channel")), texts(message.get("symbols"))
        if symbols == ["all"]:
            symbols = [_symbol(market) for market in self.markets.values()]
        depth = message.get("depth", 5)
        channels = [channel for name in names if (channel := _channel(name, depth)) is not None]
        missing = [symbol for symbol in symbols if self.find(symbol) is None]
        if not names or len(channels) < len(names):
            return connection.say(to_json({"event": "error", "message": f"Invalid channel value {to_json(names).decode()}"}))
        if not symbols or (is_new and missing):
            return connection.say(to_json({"event": "error", "message": f"Symbol not found {to_json(missing).decode()}"}))
        for name, channel in zip(names, channels, strict=True):
            connection.say(to_json({"event": "subscribe" if is_new else "unsubscribe", "channel": name, "symbols": symbols}))
            for symbol in symbols:
                tag, market = f"{name}:{symbol}", self.find(symbol)
                if is_new and market is not None:
                    self.streams.subscribe(connection, market, channel, tag)
                else:
                    self.streams.unsubscribe(connection, tag)
        return None


def _symbol(market: Market) -> str:
    return f"{market.base}_USDT"


def _market(market: Market) -> dict[str, object]:
    symbol, since = _symbol(market), int(market.coin.added_at.timestamp() * 1000)
    return {
        "symbol": symbol,
        "baseCurrencyName": market.base,
        "quoteCurrencyName": "USDT",
        "displayName": f"{market.base}/USDT",
        "state": "NORMAL",
        "visibleStartTime": since,
        "tradableStartTime": since,
        "symbolTradeLimit": {
            "symbol": symbol,
            "priceScale": market.price_decimals,
            "quantityScale": market.quantity_decimals,
            "amountScale": 8,
            "minQuantity": increment(market.quantity_decimals),
            "minAmount": "1",
            "highestBid": "0",
            "lowestAsk": "0",
        },
        "crossMargin": {"supportCrossMargin": False, "maxLeverage": 1},
    }


def _currency(number: int, coin: str, name: str, chain: str | None, contract: str | None) -> dict[str, object]:
    network = {
        "id": number,
        "coin": coin,
        "name": chain or name,
        "currencyType": "address",
        "blockchain": chain or coin,
        "withdrawalEnable": True,
        "depositEnable": True,
        "withdrawMin": "0",
        "decimals": 8,
        "withdrawFee": "0",
        "minConfirm": 12,
        "contractAddress": contract,
    }
    return {
        "id": number,
        "coin": coin,
        "delisted": False,
        "tradeEnable": True,
        "name": name,
        "networkList": [network],
        "supportCollateral": False,
        "supportBorrow": False,
    }


def _channel(name: str, depth: object) -> AnyChannel | None:
    if name == "book":
        return _BOOKS.get(depth) if isinstance(depth, int) else None
    return {"book_lv2": _DIFFERENCES, "trades": _TRADES}.get(name)


def _encode_book(news: News) -> bytes:
    return b'{"channel":"book","data":[{"symbol":"%s","createTime":%d,"asks":%s,"bids":%s,"id":%d,"ts":%d}]}' % (
        _symbol(news.market).encode(),
        news.at,
        to_json(news.asks),
        to_json(news.bids),
        news.last,
        news.at,
    )


def _encode_difference(news: News) -> bytes:
    return (
        b'{"channel":"book_lv2","data":[{"symbol":"%s","createTime":%d,"asks":%s,"bids":%s,"lastId":%d,"id":%d,"ts":%d}],"action":"%s"}'
        % (
            _symbol(news.market).encode(),
            news.at,
            to_json(news.asks),
            to_json(news.bids),
            news.first,
            news.last,
            news.at,
            b"snapshot" if news.is_whole else b"update",
        )
    )


def _encode_trades(market: Market, trades: Sequence[Trade], at: int) -> list[tuple[bytes, Sequence[Trade]]]:
    return [
        (
            to_json(
                {
                    "channel": "trades",
                    "data": [
                        {
                            "symbol": _symbol(market),
                            "amount": cost(trade),
                            "quantity": trade.quantity,
                            "takerSide": trade.side,
                            "createTime": int(trade.at * 1000),
                            "price": trade.price,
                            "id": str(trade.trade_id),
                            "ts": at,
                        }
                    ],
                }
            ),
            (trade,),
        )
        for trade in trades
    ]


_BOOKS = {depth: BookChannel(f"book{depth}", "snapshots", depth, 0.1, _encode_book) for depth in DEPTHS}
_DIFFERENCES = BookChannel("book_lv2", "differences", 20, 0.0, _encode_difference)
_TRADES = TradeChannel("trades", _encode_trades)
