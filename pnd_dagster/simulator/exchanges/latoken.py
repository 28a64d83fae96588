"""LATOKEN: REST (https://api.latoken.com/doc/v2/) and a WebSocket that speaks STOMP 1.1 or 1.2, with JSON inside. Ids are UUIDs.

Not documented, so assumed: the limit of REST requests, and that a SUBSCRIBE to an unknown pair is answered by ERROR on an open connection.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import count

from aiohttp import web

from pnd_dagster.simulator.exchanges.connections import Connection
from pnd_dagster.simulator.exchanges.faults import Faults
from pnd_dagster.simulator.exchanges.limits import Closing, Rate
from pnd_dagster.simulator.exchanges.market import Level, Market, Trade
from pnd_dagster.simulator.exchanges.protocol import (
    ExchangeServer,
    Route,
    answer,
    best,
    cost,
    increment,
    limited,
    newest_first,
    quantity,
    to_json,
)
from pnd_dagster.simulator.exchanges.streams import BookChannel, News, Streams, Subscription, TradeChannel
from pnd_dagster.simulator.exchanges.world import World

USDT_ID = "0c3a106d-bde3-4c13-a26e-3fd2394529e5"
HEARTBEAT_MS = 10_000
_NAMESPACE = uuid.UUID("8e6e1f0c-4c3b-4ec6-9a2f-9f0f5a4d7b11")
_message_ids = count(1)


class Latoken(ExchangeServer):
    """Currencies are UUIDs, of the coin: another coin of the same symbol has another. `/v1/book` gives a book, then changes by nonce."""

    name = "latoken"
    socket_path = "/stomp"
    rest_rate = Rate(20, 10.0)

    def __init__(self, world: World, streams: Streams, faults: Faults, time_factor: float) -> None:
        super().__init__(world, streams, faults, time_factor)
        self._bases: dict[str, str] = {}
        self._heartbeats: dict[Connection, tuple[float, float]] = {}

    def base_of(self, symbol: str) -> str:
        if symbol in self.markets:
            return symbol
        base = self._bases.get(symbol)
        if base is None or base not in self.markets or _currency_id(self.markets[base]) != symbol:
            self._bases = {_currency_id(market): market.base for market in self.markets.values()}
        return self._bases.get(symbol, "")

    def error(self, status: int, retry_after: float | None = None) -> web.Response:
        if status != 429:
            return answer({"message": "Internal Server Error", "error": "INTERNAL_ERROR", "status": "FAILURE"}, status=status)
        headers = {"X-Rate-Limit-Remaining": "0"}
        return answer({"message": "Too many requests", "error": "TOO_MANY_REQUESTS", "status": "FAILURE"}, status=429, headers=headers)

    def unknown_symbol(self, symbol: str) -> web.Response:
        message = f"Can't find currency with tag = {symbol}"
        return answer({"result": False, "message": message, "error": "NOT_FOUND", "status": "FAILURE"}, status=404)

    def routes(self) -> Sequence[Route]:
        return (
            Route("/v2/time", self._time),
            Route("/v2/pair", self._pairs),
            Route("/v2/currency", self._currencies),
            Route("/v2/ticker", self._tickers),
            Route("/v2/book/{symbol}/{quote}", self._book),
            Route("/v2/trade/history/{symbol}/{quote}", self._trades),
        )

    async def _time(self, request: web.Request) -> web.Response:
        return answer({"serverTime": self.milliseconds})

    async def _pairs(self, request: web.Request) -> web.Response:
        return answer([_pair(market) for market in self.markets.values()])

    async def _currencies(self, request: web.Request) -> web.Response:
        coins = [_currency(_currency_id(market), market.base, market.coin.name) for market in self.markets.values()]
        return answer([*coins, _currency(USDT_ID, "USDT", "Tether")])

    async def _tickers(self, request: web.Request) -> web.Response:
        at = self.milliseconds
        return answer([self._ticker(market, at) for market in self.markets.values()])

    def _ticker(self, market: Market, at: int) -> dict[str, object]:
        day, (bids, asks), last = self.statistics(market), market.book(), market.trades[-1]
        change = (float(last.price) / float(day.open) - 1) * 100 if float(day.open) else 0.0
        return {
            "symbol": f"{market.base}/USDT",
            "baseCurrency": _currency_id(market),
            "quoteCurrency": USDT_ID,
            "volume24h": day.quote_volume,
            "volume7d": "0",
            "change24h": f"{change:.4f}",
            "change7d": "0",
            "amount24h": day.volume,
            "amount7d": "0",
            "lastPrice": last.price,
            "lastQuantity": last.quantity,
            "bestBid": best(bids)[0],
            "bestBidQuantity": best(bids)[1],
            "bestAsk": best(asks)[0],
            "bestAskQuantity": best(asks)[1],
            "updateTimestamp": at,
        }

    async def _book(self, request: web.Request) -> web.Response:
        bids, asks = self.asked(request).book(limited(request, default=100, most=1000))
        return answer({"ask": _rest_levels(asks), "bid": _rest_levels(bids), "totalAsk": _total(asks), "totalBid": _total(bids)})

    async def _trades(self, request: web.Request) -> web.Response:
        market = self.asked(request)
        return answer([_trade(market, trade) for trade in newest_first(market, limited(request, default=100, most=100))])

    def overdue(self, connection: Connection, now: float) -> Closing | None:
        expects, promises = self._heartbeats.get(connection, (0.0, 0.0))
        if promises and now - connection.told_at > promises and not self.is_muted:
            connection.say(b"\n")
        if expects and now - connection.heard_at > 2 * expects:
            return Closing(1002, "no heart-beat")
        return None

    def hear(self, connection: Connection, text: str) -> None:
        if not text.strip("\r\n\0"):
            return None
        command, headers = _parse(text)
        if command in ("CONNECT", "STOMP"):
            return self._connect(connection, headers)
        if connection not in self._heartbeats:
            return connection.say(_frame("ERROR", {"message": "not connected"}))
        name = headers.get("id", "")
        if command == "SUBSCRIBE":
            self._subscribe(connection, name, headers.get("destination", ""))
        elif command == "UNSUBSCRIBE":
            self.streams.unsubscribe(connection, name)
        elif command != "DISCONNECT":
            connection.say(_frame("ERROR", {"message": f"unknown command {command}"}))
        if "receipt" in headers:
            connection.say(_frame("RECEIPT", {"receipt-id": headers["receipt"]}))
        if command == "DISCONNECT":
            connection.close(1000, "bye")
        return None

    def _connect(self, connection: Connection, headers: dict[str, str]) -> None:
        offered = [int(number) if number.isdigit() else 0 for number in headers.get("heart-beat", "0,0").split(",")]
        can, wants = [*offered, 0, 0][:2]
        self._heartbeats = {known: beats for known, beats in self._heartbeats.items() if known.is_open}
        ours = round(HEARTBEAT_MS * self.time_factor)
        expects, promises = (max(ours, number) / 1000 if number else 0.0 for number in (can, wants))
        self._heartbeats[connection] = expects, promises
        version = "1.2" if "1.2" in headers.get("accept-version", "1.2") else "1.1"
        connection.say(_frame("CONNECTED", {"version": version, "heart-beat": f"{ours},{ours}"}))

    def _subscribe(self, connection: Connection, name: str, destination: str) -> None:
        _, *parts = destination.split("/")
        channel = _CHANNELS.get("/".join(parts[:2])) if len(parts) == 4 and parts[3] == USDT_ID else None
        market = self.find(parts[2]) if channel is not None and parts[2] not in self.markets else None
        if not name or channel is None or market is None:
            return connection.say(_frame("ERROR", {"message": "unknown destination", "destination": destination, "subscription": name}))
        return self.streams.subscribe(connection, market, channel, name, _wrap)


def _parse(text: str) -> tuple[str, dict[str, str]]:
    head = text.lstrip("\r\n").partition("\0")[0].replace("\r\n", "\n").partition("\n\n")[0]
    command, *lines = head.split("\n")
    headers: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        headers.setdefault(key, value)
    return command, headers


def _frame(command: str, headers: dict[str, str], body: str = "") -> str:
    lines = [command, *(f"{key}:{value}" for key, value in headers.items())]
    return "\n".join(lines) + f"\n\n{body}\0"


def _wrap(subscription: Subscription, payload: bytes, nonce: int) -> bytes:
    """The subscriber's own frame of what `_open` made."""
    stream = subscription.stream
    body = b'%s,"nonce":%d}' % (payload, nonce)
    head = (
        f"MESSAGE\ndestination:/{stream.channel.name}/{_currency_id(stream.market)}/{USDT_ID}\nsubscription:{subscription.tag}\n"
        f"message-id:{next(_message_ids)}\ncontent-type:application/json\ncontent-length:{len(body)}\n\n"
    )
    return head.encode() + body + b"\0"


def _open(payload: object, at: int) -> bytes:
    """A message without its end, where the nonce goes."""
    return b'{"payload":%s,"timestamp":%d' % (to_json(payload), at)


def _currency_id(market: Market) -> str:
    return _uuid(f"currency {market.coin.coin_id} {market.base}")


_UUIDS: dict[str, str] = {}


def _uuid(name: str) -> str:
    known = _UUIDS.get(name)
    if known is None:
        known = _UUIDS[name] = str(uuid.uuid5(_NAMESPACE, name))
    return known


def _pair(market: Market) -> dict[str, object]:
    return {
        "id": _uuid(f"pair {market.coin.coin_id} {market.base}"),
        "status": "PAIR_STATUS_ACTIVE",
        "baseCurrency": _currency_id(market),
        "quoteCurrency": USDT_ID,
        "priceTick": increment(market.price_decimals),
        "priceDecimals": market.price_decimals,
        "quantityTick": increment(market.quantity_decimals),
        "quantityDecimals": market.quantity_decimals,
        "costDisplayDecimals": 3,
        "created": int(market.coin.added_at.timestamp() * 1000),
        "minOrderQuantity": "0",
        "maxOrderCostUsd": "999999999999999999",
        "minOrderCostUsd": "0",
        "externalSymbol": "",
    }


def _currency(number: str, tag: str, name: str) -> dict[str, object]:
    return {
        "id": number,
        "status": "CURRENCY_STATUS_ACTIVE",
        "type": "CURRENCY_TYPE_CRYPTO",
        "name": name,
        "tag": tag,
        "description": "",
        "logo": "",
        "decimals": 18,
        "created": 1572912000000,
        "tier": 1,
        "assetClass": "ASSET_CLASS_UNKNOWN",
        "minTransferAmount": 0,
    }


def _rest_levels(levels: Sequence[Level]) -> list[dict[str, str]]:
    rows, accumulated = list[dict[str, str]](), 0.0
    for printed_price, printed_quantity in levels:
        value = float(printed_price) * float(printed_quantity)
        accumulated += value
        rows.append({"price": printed_price, "quantity": printed_quantity, "cost": f"{value:.8f}", "accumulated": f"{accumulated:.8f}"})
    return rows


def _total(levels: Sequence[Level]) -> str:
    return f"{sum(float(printed) for _, printed in levels):.8f}"


def _trade(market: Market, trade: Trade) -> dict[str, object]:
    return {
        "id": _uuid_of_trade(market, trade),
        "isMakerBuyer": trade.side == "sell",
        "baseCurrency": _currency_id(market),
        "quoteCurrency": USDT_ID,
        "price": trade.price,
        "quantity": trade.quantity,
        "cost": cost(trade),
        "timestamp": int(trade.at * 1000),
        "makerBuyer": trade.side == "sell",
    }


def _uuid_of_trade(market: Market, trade: Trade) -> str:
    """The trade's number is the UUID's last part, so that a ledger can find it."""
    return str(uuid.UUID(int=(_NAMESPACE.int ^ market.coin.coin_id << 64) >> 48 << 48 | trade.trade_id))


def _changed_levels(market: Market, levels: Sequence[Level], before: Sequence[Level]) -> list[dict[str, str]]:
    old = dict(before)
    return [
        {
            "price": at,
            "quantity": printed,
            "quantityChange": quantity(market, float(printed) - float(old.get(at, "0"))),
            "cost": f"{float(at) * float(printed):.8f}",
        }
        for at, printed in levels
    ]


def _encode_book(news: News) -> bytes:
    bids, asks = news.before or ([], [])
    asked, bid = _changed_levels(news.market, news.asks, asks), _changed_levels(news.market, news.bids, bids)
    return _open({"ask": asked, "bid": bid}, news.at)


def _encode_trades(market: Market, trades: Sequence[Trade], at: int) -> list[tuple[bytes, Sequence[Trade]]]:
    return [(_open([_trade(market, trade) | {"direction": None, "order": None}], at), (trade,)) for trade in trades]


_CHANNELS = {
    "v1/book": BookChannel("v1/book", "differences", 100, 0.1, _encode_book),
    "v1/trade": TradeChannel("v1/trade", _encode_trades),
}
