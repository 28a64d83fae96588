"""XT's spot stream: `depth@{symbol},20` (the top levels, whole, by default every second) and `trade@{symbol}`, in JSON.

Not documented: how many subscriptions a connection bears. We take 100 coins, so that a lost one blinds no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from pnd_dagster.market.feeds.books import NOTHING, best, read_levels
from pnd_dagster.market.feeds.codec import Address, Limits, web_socket_base
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.desk import Channel, Desk
from pnd_dagster.market.feeds.protocol import BUY, SELL, FrameError, Level, Listing
from pnd_dagster.tables import BOOK_LEVELS


class _Data(msgspec.Struct, gc=False):
    s: str
    i: int = 0
    a: msgspec.Raw = NOTHING
    b: msgspec.Raw = NOTHING  # bids, or whether the buyer was the maker
    p: float = 0.0
    q: float = 0.0


class _Message(msgspec.Struct):
    topic: str = ""
    data: _Data | None = None
    id: str = ""
    code: int = 0
    msg: str = ""


_decode = msgspec.json.Decoder(_Message, strict=False).decode


class XtCodec:
    """See the module. `url` is the base address of simulated exchanges, None for the real one."""

    exchange = "xt"
    answered: frozenset[Channel] = frozenset({"trades", "books"})
    sends_changes = False
    limits = Limits(coins=100, batch=50, request_seconds=0.1, answer_seconds=5, keepalive_seconds=20, data_seconds=60)

    def __init__(self, url: str | None = None) -> None:
        base = "wss://stream.xt.com" if url is None else web_socket_base(url, self.exchange)
        self._address = Address(f"{base}/public")

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
        """A word."""
        return "ping"

    def key(self, listing: Listing) -> str:
        """E.g. abc_usdt."""
        return listing.market_id

    def subscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """One request for all; the answer names its number."""
        return (self._request("subscribe", channel, coins, number),)

    def unsubscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """One request for all."""
        return (self._request("unsubscribe", channel, coins, number),)

    def _request(self, method: str, channel: Channel, coins: Sequence[Coin], number: int) -> str:
        topics = [f"trade@{coin.key}" if channel == "trades" else f"depth@{coin.key},{BOOK_LEVELS}" for coin in coins]
        return msgspec.json.encode({"method": method, "params": topics, "id": str(number)}).decode()

    def decode(self, payload: bytes, at: float, desk: Desk) -> None:
        """See `Codec.decode`."""
        if payload == b"pong":
            return
        message = _decode(payload)
        data = message.data
        if data is not None:
            coin = desk.coins.get(data.s)
            if message.topic == "depth":
                if coin is not None:
                    desk.book(coin, data.i, *best(data.b, data.a), data, at)
            elif message.topic == "trade":
                if coin is not None:
                    desk.trade(coin, data.i, data.p, data.q, SELL if bytes(data.b) == b"true" else BUY, at)
            else:
                raise FrameError(f"data of topic {message.topic!r}, which we did not ask for")
        elif message.id:
            number = int(message.id) if message.id.isdecimal() else -1
            if message.code == 0:
                desk.confirm(number=number)
            else:
                desk.refuse(f"{message.code} {message.msg}", number=number)
        else:
            desk.unknown(f"unknown message {payload[:100]!r}")

    def levels(self, frame: object) -> tuple[Sequence[Level], Sequence[Level]]:
        """See `Feed.levels`."""
        data = cast("_Data", frame)
        return read_levels(data.b, data.a)
