"""MEXC: REST (https://www.mexc.com/api-docs/spot-v3/) and WebSocket, whose answers are JSON and whose data are protobuf.

The messages are written by hand from the exchange's published .proto files: a level is encoded once and then used in every book.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from aiohttp import web

from pnd_dagster.simulator.exchanges.connections import Connection
from pnd_dagster.simulator.exchanges.faults import Faults
from pnd_dagster.simulator.exchanges.limits import Closing, Rate
from pnd_dagster.simulator.exchanges.market import Level, Market, Trade
from pnd_dagster.simulator.exchanges.protocol import (
    DAY_MS,
    ExchangeServer,
    Route,
    answer,
    best,
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
from pnd_dagster.simulator.exchanges.streams import AnyChannel, BookChannel, News, Streams, TradeChannel
from pnd_dagster.simulator.exchanges.world import World

SUBSCRIPTIONS_PER_CONNECTION = 30
UNSUBSCRIBED_SECONDS, SILENT_SECONDS, LIFE_SECONDS = 30.0, 60.0, 86_400.0


class Mexc(ExchangeServer):
    """Symbols are BASEUSDT. `limit.depth` gives whole books (5, 10 or 20 levels), `aggre.depth` changes, `aggre.deals` trades."""

    name = "mexc"
    socket_path = "/ws"
    rest_rate = Rate(500, 10.0)

    def __init__(self, world: World, streams: Streams, faults: Faults, time_factor: float) -> None:
        super().__init__(world, streams, faults, time_factor)
        self._books = {str(depth): _book_channel(depth) for depth in (5, 10, 20)}

    def base_of(self, symbol: str) -> str:
        return symbol.removesuffix("USDT") if symbol.endswith("USDT") else ""

    def error(self, status: int, retry_after: float | None = None) -> web.Response:
        if status != 429:
            return answer({"code": status, "msg": "Internal error"}, status=status)
        return answer({"code": 429, "msg": "Too Many Requests"}, status=429, headers={"Retry-After": str(max(1, round(retry_after or 1)))})

    def unknown_symbol(self, symbol: str) -> web.Response:
        return answer({"code": -1121, "msg": "Invalid symbol."}, status=400)

    def routes(self) -> Sequence[Route]:
        return (
            Route("/api/v3/ping", self._ping),
            Route("/api/v3/time", self._time),
            Route("/api/v3/exchangeInfo", self._exchange_info, 10),
            Route("/api/v1/contract/detail", self._no_futures),
            Route("/api/v3/ticker/24hr", self._tickers, 40),
            Route("/api/v3/depth", self._depth),
            Route("/api/v3/aggTrades", self._aggregated_trades),
            Route("/api/v3/trades", self._trades, 5),
            Route("/api/v3/klines", self._klines),
        )

    async def _ping(self, request: web.Request) -> web.Response:
        return answer({})

    async def _time(self, request: web.Request) -> web.Response:
        return answer({"serverTime": self.milliseconds})

    async def _no_futures(self, request: web.Request) -> web.Response:
        return answer({"success": True, "code": 0, "data": []})

    async def _exchange_info(self, request: web.Request) -> web.Response:
        symbols = [_market(market) for market in self.markets.values()]
        return answer({"timezone": "CST", "serverTime": self.milliseconds, "rateLimits": [], "exchangeFilters": [], "symbols": symbols})

    async def _tickers(self, request: web.Request) -> web.Response:
        at = self.milliseconds
        if "symbol" in request.query:
            return answer(self._ticker(self.asked(request), at))
        return answer([self._ticker(market, at) for market in self.markets.values()])

    def _ticker(self, market: Market, at: int) -> dict[str, object]:
        day, (bids, asks), last = self.statistics(market), market.book(), market.trades[-1].price
        change = float(last) - float(day.open)
        return {
            "symbol": _symbol(market),
            "priceChange": price(market, change),
            "priceChangePercent": f"{change / float(day.open):.4f}" if float(day.open) else "0",
            "prevClosePrice": day.open,
            "lastPrice": last,
            "bidPrice": best(bids)[0],
            "bidQty": best(bids)[1],
            "askPrice": best(asks)[0],
            "askQty": best(asks)[1],
            "openPrice": day.open,
            "highPrice": day.high,
            "lowPrice": day.low,
            "volume": day.volume,
            "quoteVolume": day.quote_volume,
            "openTime": at - DAY_MS,
            "closeTime": at,
            "count": None,
        }

    async def _depth(self, request: web.Request) -> web.Response:
        market = self.asked(request)
        # ccxt leaves a change out whose first version is not after the book's, though its last is: the book ends with a frame.
        self.streams.settle(market)
        bids, asks = market.book(limited(request, default=100, most=5000))
        return answer({"lastUpdateId": market.sequence, "bids": bids, "asks": asks, "timestamp": self.milliseconds})

    async def _aggregated_trades(self, request: web.Request) -> web.Response:
        return answer(
            [
                {
                    "a": None,
                    "f": None,
                    "l": None,
                    "p": trade.price,
                    "q": trade.quantity,
                    "T": int(trade.at * 1000),
                    "m": trade.side == "sell",
                    "M": True,
                }
                for trade in self._asked_trades(request)
            ]
        )

    async def _trades(self, request: web.Request) -> web.Response:
        return answer(
            [
                {
                    "id": None,
                    "price": trade.price,
                    "qty": trade.quantity,
                    "quoteQty": f"{float(trade.price) * float(trade.quantity):.8f}",
                    "time": int(trade.at * 1000),
                    "isBuyerMaker": trade.side == "sell",
                    "isBestMatch": True,
                }
                for trade in self._asked_trades(request)
            ]
        )

    def _asked_trades(self, request: web.Request) -> list[Trade]:
        trades = newest_first(self.asked(request), limited(request, default=500, most=1000))
        start, end = whole_number(request, "startTime", 0) or 0, whole_number(request, "endTime") or self.milliseconds
        return [trade for trade in trades if start <= trade.at * 1000 <= end]

    async def _klines(self, request: web.Request) -> web.Response:
        market = self.asked(request)
        if request.query.get("interval") != "1d":
            return answer({"code": -1121, "msg": "Invalid interval."}, status=400)
        days = self.candles(
            market,
            start=whole_number(request, "startTime"),
            end=whole_number(request, "endTime"),
            limit=limited(request, default=500, most=500),
        )
        rows: list[list[object]] = []
        for day in days:
            start = (day.day.toordinal() - 719_163) * DAY_MS
            prices = [price(market, value) for value in (day.open, day.high, day.low, day.close)]
            rows.append([start, *prices, quantity(market, day.volume), start + DAY_MS, f"{day.quote_volume:.2f}"])
        return answer(rows)

    def overdue(self, connection: Connection, now: float) -> Closing | None:
        factor = self.time_factor
        if not connection.subscriptions and now - connection.idle_since > UNSUBSCRIBED_SECONDS * factor:
            return Closing(1000, "no subscription")
        if now - max(connection.heard_at, connection.told_at) > SILENT_SECONDS * factor:
            return Closing(1000, "no data")
        return Closing(1000, "24 hours") if now - connection.opened_at > LIFE_SECONDS * factor else None

    def hear(self, connection: Connection, text: str) -> None:
        message = parse_json(text)
        method = str(message.get("method", "")).upper() if message else ""
        name = (message or {}).get("id", 0)
        if method == "PING":
            if not self.is_muted:
                connection.say(to_json({"id": name, "code": 0, "msg": "PONG"}))
        elif message is not None and method in ("SUBSCRIPTION", "UNSUBSCRIPTION"):
            for tag in texts(message.get("params")):
                said = self._subscribe(connection, tag, name) if method == "SUBSCRIPTION" else self._unsubscribe(connection, tag)
                if said is not None:
                    connection.say(to_json({"id": name, "code": 0, "msg": said}))
        else:
            connection.say(to_json({"id": name, "code": 0, "msg": "msg format invalid"}))

    def _subscribe(self, connection: Connection, tag: str, name: object) -> str | None:
        """Returns what is still to be said: the first book must follow the answer."""
        channel, symbol = self._channel(tag)
        market = self.find(symbol)
        if channel is None or market is None:
            return f"Not Subscribed successfully! [{tag}].  Reason： Blocked! "
        if tag not in connection.subscriptions and len(connection.subscriptions) >= SUBSCRIPTIONS_PER_CONNECTION:
            return f"Not Subscribed successfully! [{tag}].  Reason： Exceeded maximum subscription limit! "
        connection.say(to_json({"id": name, "code": 0, "msg": tag}))
        self.streams.subscribe(connection, market, channel, tag)
        return None

    def _channel(self, tag: str) -> tuple[AnyChannel | None, str]:
        """The channel and the symbol of a topic."""
        parts = tag.split("@")
        if len(parts) != 4 or parts[0] != "spot":
            return None, ""
        _, kind, one, other = parts
        if kind == "public.limit.depth.v3.api.pb":
            return self._books.get(other), one
        if one != "100ms":
            return None, ""
        return {"public.aggre.depth.v3.api.pb": _CHANGES, "public.aggre.deals.v3.api.pb": _TRADES}.get(kind), other

    def _unsubscribe(self, connection: Connection, tag: str) -> str:
        self.streams.unsubscribe(connection, tag)
        return tag


def _symbol(market: Market) -> str:
    return f"{market.base}USDT"


def _market(market: Market) -> dict[str, object]:
    return {
        "symbol": _symbol(market),
        "status": "1",
        "baseAsset": market.base,
        "baseAssetPrecision": market.quantity_decimals,
        "quoteAsset": "USDT",
        "quotePrecision": market.price_decimals,
        "quoteAssetPrecision": market.price_decimals,
        "baseCommissionPrecision": market.quantity_decimals,
        "quoteCommissionPrecision": market.price_decimals,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "quoteAmountPrecision": "1",
        "baseSizePrecision": increment(market.quantity_decimals),
        "permissions": ["SPOT"],
        "filters": [],
        "maxQuoteAmount": "2000000",
        "makerCommission": "0",
        "takerCommission": "0.0005",
        "fullName": market.coin.name,
        "contractAddress": market.coin.contract_address or "",
        "st": False,
    }


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _bytes(tag: bytes, value: bytes) -> bytes:
    """A length-delimited field."""
    return tag + _varint(len(value)) + value


# PushDataV3ApiWrapper's fields: channel 1, symbol 3, sendTime 6, publicLimitDepths 303, publicAggreDepths 313, publicAggreDeals 314.
_CHANNEL, _SYMBOL, _SEND_TIME = b"\x0a", b"\x1a", b"\x30"
_LIMIT_DEPTHS, _AGGREGATED_DEPTHS, _AGGREGATED_DEALS = (_varint(number << 3 | 2) for number in (303, 313, 314))
# Encoded levels, with their length before them. Emptied when it is full.
_LEVELS: dict[Level, bytes] = {}
_MOST_LEVELS = 400_000


def _wrapped(channel: str, market: Market, at: int, tag: bytes, body: bytes) -> bytes:
    return _head(channel, _symbol(market)) + _send_time(at) + tag + _varint(len(body)) + body


@lru_cache(16_384)
def _head(channel: str, symbol: str) -> bytes:
    return _bytes(_CHANNEL, channel.encode()) + _bytes(_SYMBOL, symbol.encode())


@lru_cache(8)
def _send_time(at: int) -> bytes:
    return _SEND_TIME + _varint(at)


def _levels(tag: bytes, levels: Sequence[Level]) -> bytes:
    """Repeated levels: the field's tag before each."""
    encoded = [*map(_LEVELS.get, levels)]
    if None in encoded:
        encoded = [_LEVELS.get(level) or _level(level) for level in levels]
    return tag + tag.join(cast("list[bytes]", encoded)) if encoded else b""


def _level(level: Level) -> bytes:
    if len(_LEVELS) > _MOST_LEVELS:
        _LEVELS.clear()
    item = _bytes(b"\x0a", level[0].encode()) + _bytes(b"\x12", level[1].encode())
    encoded = _LEVELS[level] = _varint(len(item)) + item
    return encoded


def _encode_changes(news: News) -> bytes:
    kind = "spot@public.aggre.depth.v3.api.pb@100ms"
    body = _levels(b"\x0a", news.asks) + _levels(b"\x12", news.bids) + _bytes(b"\x1a", kind.encode())
    body += _bytes(b"\x22", str(news.first).encode()) + _bytes(b"\x2a", str(news.last).encode())
    return _wrapped(f"{kind}@{_symbol(news.market)}", news.market, news.at, _AGGREGATED_DEPTHS, body)


def _encode_trades(market: Market, trades: Sequence[Trade], at: int) -> list[tuple[bytes, Sequence[Trade]]]:
    kind = "spot@public.aggre.deals.v3.api.pb@100ms"
    body = b"".join(_bytes(b"\x0a", _deal(trade)) for trade in trades) + _bytes(b"\x12", kind.encode())
    return [(_wrapped(f"{kind}@{_symbol(market)}", market, at, _AGGREGATED_DEALS, body), trades)]


def _deal(trade: Trade) -> bytes:
    taker = b"\x18\x01" if trade.side == "buy" else b"\x18\x02"
    printed = _bytes(b"\x0a", trade.price.encode()) + _bytes(b"\x12", trade.quantity.encode())
    return printed + taker + b"\x20" + _varint(int(trade.at * 1000))


def _book_channel(depth: int) -> BookChannel:
    kind = "spot@public.limit.depth.v3.api.pb"
    written: dict[Market, tuple[list[Level], bytes, list[Level], bytes]] = {}

    def encode(news: News) -> bytes:
        # Most changes leave one side as it was.
        old_bids, bids, old_asks, asks = written.get(news.market, _NOTHING)
        if old_bids != news.bids:
            bids = _levels(b"\x12", news.bids)
        if old_asks != news.asks:
            asks = _levels(b"\x0a", news.asks)
        written[news.market] = news.bids, bids, news.asks, asks
        body = asks + bids + _bytes(b"\x1a", kind.encode()) + _bytes(b"\x22", str(news.last).encode())
        return _wrapped(f"{kind}@{_symbol(news.market)}@{depth}", news.market, news.at, _LIMIT_DEPTHS, body)

    return BookChannel(f"limit{depth}", "snapshots", depth, 0.1, encode, is_binary=True)


_NOTHING: tuple[list[Level], bytes, list[Level], bytes] = ([], b"", [], b"")
_CHANGES = BookChannel("aggre.depth", "changes", 100, 0.1, _encode_changes, tells_at_once=False, is_binary=True)
_TRADES = TradeChannel("aggre.deals", _encode_trades, 0.1, is_binary=True)
