"""Poloniex's spot stream: channel `book` (the top levels, whole, at most every 100 ms) and channel `trades`, in JSON.

Not documented: how many symbols a connection bears. We take 200, so that a lost one blinds no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from pnd_dagster.market.feeds.books import NOTHING, best, read_levels
from pnd_dagster.market.feeds.codec import Address, Limits, web_socket_base
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.desk import Channel, Desk
from pnd_dagster.market.feeds.protocol import BUY, SELL, UNKNOWN, FrameError, Level, Listing
from pnd_dagster.tables import BOOK_LEVELS

_CHANNELS: dict[Channel, str] = {"trades": "trades", "books": "book"}
_NAMES: dict[str, Channel] = {name: channel for channel, name in _CHANNELS.items()}
_SIDES = {"buy": BUY, "sell": SELL}


class _Item(msgspec.Struct, gc=False):
    symbol: str
    id: int | str = 0
    bids: msgspec.Raw = NOTHING
    asks: msgspec.Raw = NOTHING
    price: float = 0.0
    quantity: float = 0.0
    takerSide: str = ""  # noqa: N815 - the wire's name


class _Message(msgspec.Struct):
    channel: str = ""
    event: str = ""
    message: str = ""
    symbols: tuple[str, ...] = ()
    data: tuple[_Item, ...] = ()


_decode = msgspec.json.Decoder(_Message, strict=False).decode


class PoloniexCodec:
    """See the module. `url` is the base address of simulated exchanges, None for the real one."""

    exchange = "poloniex"
    answered: frozenset[Channel] = frozenset({"trades", "books"})
    sends_changes = False
    # 500 requests/s per address; a ping is due every 30 s.
    limits = Limits(coins=200, batch=50, request_seconds=0.02, answer_seconds=5, keepalive_seconds=15, data_seconds=60)

    def __init__(self, url: str | None = None) -> None:
        base = "wss://ws.poloniex.com" if url is None else web_socket_base(url, self.exchange)
        self._address = Address(f"{base}/ws/public")

    async def address(self) -> Address:
        """Always the same."""
        return self._address

    def greeting(self) -> Sequence[str]:
        """None."""
        return ()

    def waits_for_greeting(self) -> bool:
        """It does not greet."""
        return False

    def ping(self) -> str:
        """An event of its own."""
        return '{"event":"ping"}'

    def key(self, listing: Listing) -> str:
        """E.g. ABC_USDT."""
        return listing.market_id

    def subscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """One request for all; the answer names channel and symbols."""
        return (self._request("subscribe", channel, coins),)

    def unsubscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """One request for all."""
        return (self._request("unsubscribe", channel, coins),)

    def _request(self, event: str, channel: Channel, coins: Sequence[Coin]) -> str:
        request: dict[str, Any] = {"event": event, "channel": [_CHANNELS[channel]], "symbols": [coin.key for coin in coins]}
        if channel == "books":
            request["depth"] = BOOK_LEVELS
        return msgspec.json.encode(request).decode()

    def decode(self, payload: bytes, at: float, desk: Desk) -> None:
        """See `Codec.decode`."""
        message = _decode(payload)
        channel = message.channel
        if message.data:
            coins = desk.coins
            if channel == "book":
                for item in message.data:
                    if coin := coins.get(item.symbol):
                        desk.book(coin, int(item.id), *best(item.bids, item.asks), item, at)
            elif channel == "trades":
                for item in message.data:
                    if coin := coins.get(item.symbol):
                        desk.trade(coin, item.id, item.price, item.quantity, _SIDES.get(item.takerSide, UNKNOWN), at)
            else:
                raise FrameError(f"data of channel {channel!r}, which we did not ask for")
        elif message.event == "subscribe":
            desk.confirm(_NAMES.get(channel), message.symbols)
        elif message.event == "error":
            desk.refuse(message.message)
        elif message.event not in ("pong", "unsubscribe") and channel not in _NAMES:
            desk.unknown(f"unknown message {payload[:100]!r}")

    def levels(self, frame: object) -> tuple[Sequence[Level], Sequence[Level]]:
        """See `Feed.levels`."""
        item = cast("_Item", frame)
        return read_levels(item.bids, item.asks)
