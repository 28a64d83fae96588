"""MEXC's spot stream: `limit.depth` with 20 levels (whole books with a version) and `aggre.deals`, in protobuf; answers are JSON.

Documented: 30 subscriptions per connection, so 15 coins; a connection lives for 24 hours; it is closed after 30 s without a subscription
and after 60 s of silence. A refused subscription is answered with code 0 and a text that says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from pnd_dagster.market.feeds.books import checked
from pnd_dagster.market.feeds.codec import Address, Limits, web_socket_base
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.desk import Channel, Desk
from pnd_dagster.market.feeds.protocol import BUY, SELL, UNKNOWN, FrameError, Level, Listing
from pnd_dagster.tables import BOOK_LEVELS

_DEPTH, _DEALS = "public.limit.depth.v3.api.pb", "public.aggre.deals.v3.api.pb"
_SIDES = {1: BUY, 2: SELL}
_REFUSED = "not subscribed successfully"
_EMPTY = (math.nan, math.nan)


class _Answer(msgspec.Struct):
    code: int = 0
    msg: str = ""


_decode = msgspec.json.Decoder(_Answer, strict=False).decode


class MexcCodec:
    """See the module. `url` is the base address of simulated exchanges, None for the real one."""

    exchange = "mexc"
    answered: frozenset[Channel] = frozenset({"trades", "books"})
    sends_changes = False
    limits = Limits(
        coins=15, batch=15, request_seconds=0.1, answer_seconds=5, keepalive_seconds=15, data_seconds=120, lifetime_seconds=86_400
    )

    def __init__(self, url: str | None = None) -> None:
        # ccxt takes a second to import, and brings the generated messages.
        from ccxt.protobuf.mexc import PushDataV3ApiWrapper_pb2 as messages
        from google.protobuf.message import DecodeError

        generated: Any = messages
        self._parse = generated.PushDataV3ApiWrapper.FromString
        self._decode_error = DecodeError
        base = "wss://wbs-api.mexc.com" if url is None else web_socket_base(url, self.exchange)
        self._address = Address(f"{base}/ws")

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
        """A method of its own."""
        return '{"method":"PING"}'

    def key(self, listing: Listing) -> str:
        """E.g. ABCUSDT."""
        return listing.market_id

    def subscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """One request for all; the answers name the channels."""
        return (self._request("SUBSCRIPTION", channel, coins),)

    def unsubscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """One request for all."""
        return (self._request("UNSUBSCRIPTION", channel, coins),)

    def _request(self, method: str, channel: Channel, coins: Sequence[Coin]) -> str:
        if channel == "trades":
            channels = [f"spot@{_DEALS}@100ms@{coin.key}" for coin in coins]
        else:
            channels = [f"spot@{_DEPTH}@{coin.key}@{BOOK_LEVELS}" for coin in coins]
        return msgspec.json.encode({"method": method, "params": channels}).decode()

    def decode(self, payload: bytes, at: float, desk: Desk) -> None:
        """See `Codec.decode`."""
        if payload.startswith(b"{"):
            self._answer(_decode(payload), desk)
            return
        try:
            wrapper = self._parse(payload)
        except self._decode_error as error:
            raise FrameError(f"no protobuf message: {error}") from None
        parts = wrapper.channel.split("@")
        if len(parts) < 4:
            raise FrameError(f"data of channel {wrapper.channel!r}")
        if parts[1] == _DEPTH:
            coin = desk.coins.get(parts[2])
            if coin is not None:
                depths = wrapper.publicLimitDepths
                bid, ask = _first(depths.bids), _first(depths.asks)
                desk.book(coin, int(depths.version), *bid, *ask, depths, at)
        elif parts[1] == _DEALS:
            coin = desk.coins.get(parts[3])
            if coin is None:
                return
            # Deals have no ids: only a frame that is the last one again is known to have come twice.
            if payload == coin.state:
                desk.repeated(coin, at)
                return
            coin.state = payload
            for deal in wrapper.publicAggreDeals.deals:
                desk.trade(coin, None, _number(deal.price), _number(deal.quantity), _SIDES.get(deal.tradeType, UNKNOWN), at)
        else:
            raise FrameError(f"data of channel {wrapper.channel!r}, which we did not ask for")

    def _answer(self, answer: _Answer, desk: Desk) -> None:
        text = answer.msg
        if text == "PONG":
            return
        named = [part.strip(" []") for word in text.split() for part in word.split(",") if "spot@" in part]
        for channel, place, name in (("trades", 3, _DEALS), ("books", 2, _DEPTH)):
            keys = [parts[place].split("]")[0] for part in named if (parts := part.split("@")) and len(parts) > place and parts[1] == name]
            if not keys:
                continue
            if _REFUSED in text.lower() or answer.code != 0:
                is_full = "maximum" in text.lower() or "exceed" in text.lower()
                desk.refuse(text.strip(), keys, is_full=is_full)
            else:
                desk.confirm("trades" if channel == "trades" else "books", keys)
        if not named:
            desk.refuse(f"{answer.code} {text}") if answer.code != 0 else desk.unknown(f"unknown message {text[:100]!r}")

    def levels(self, frame: object) -> tuple[Sequence[Level], Sequence[Level]]:
        """See `Feed.levels`."""
        depths: Any = frame
        return checked(map(_level, depths.bids), -1), checked(map(_level, depths.asks), 1)


def _first(side: Any) -> Level:
    return _level(side[0]) if side else _EMPTY


def _level(level: Any) -> Level:
    return _number(level.price), _number(level.quantity)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FrameError(f"{text!r} is no number") from None
