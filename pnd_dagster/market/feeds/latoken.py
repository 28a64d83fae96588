"""LATOKEN's stream: STOMP over WebSocket, `/v1/book/{base}/{quote}` (a first book, then changes) and `/v1/trade/{base}/{quote}`.

Every message of a subscription has a nonce, one more than the last one's. On a gap the coin's book is asked for anew.
Not documented: limits. We take 100 coins per connection. A subscription is not answered; trades are asked for first, and as frames keep
their order the first book answers both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pnd_dagster.market.feeds.codec import Address, Limits, web_socket_base
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.desk import Channel, Desk
from pnd_dagster.market.feeds.ladder import Change, Ladder, as_book
from pnd_dagster.market.feeds.protocol import BUY, SELL, UNKNOWN, FrameError, Level, Listing

_HEART_BEAT_MILLISECONDS = 10_000
_PATHS: dict[Channel, str] = {"trades": "trade", "books": "book"}


class _Changes(msgspec.Struct, gc=False):
    ask: list[Change]
    bid: list[Change]


class _BookBody(msgspec.Struct):
    payload: _Changes
    nonce: int


class _Trade(msgspec.Struct, gc=False):
    id: str
    price: float
    quantity: float
    makerBuyer: bool | None = None  # noqa: N815 - the wire's name


class _TradesBody(msgspec.Struct):
    payload: list[_Trade]
    nonce: int


_decode_book = msgspec.json.Decoder(_BookBody, strict=False).decode
_decode_trades = msgspec.json.Decoder(_TradesBody, strict=False).decode


class _State:
    """What is kept of a coin: its book, and number, last nonce and last time of both subscriptions."""

    __slots__ = ("asks", "bids", "is_broken", "last_at", "nonces", "numbers")

    def __init__(self) -> None:
        self.bids, self.asks = Ladder(-1), Ladder(1)
        self.is_broken = False
        self.numbers: dict[str, str] = {}
        self.nonces: dict[str, int] = {}
        self.last_at: dict[str, float] = {}


class LatokenCodec:
    """See the module. `url` is the base address of simulated exchanges, None for the real one."""

    exchange = "latoken"
    answered: frozenset[Channel] = frozenset({"books"})
    sends_changes = True
    limits = Limits(coins=100, batch=1, request_seconds=0.02, answer_seconds=5, keepalive_seconds=10, data_seconds=120)

    def __init__(self, url: str | None = None) -> None:
        base = "wss://api.latoken.com" if url is None else web_socket_base(url, self.exchange)
        self._address = Address(f"{base}/stomp")
        self._host = "api.latoken.com"

    async def address(self) -> Address:
        """Always the same."""
        return self._address

    def greeting(self) -> Sequence[str]:
        """STOMP's CONNECT, with heart-beats in both directions."""
        beat = _HEART_BEAT_MILLISECONDS
        return (_frame("CONNECT", {"accept-version": "1.1,1.2", "host": self._host, "heart-beat": f"{beat},{beat}"}),)

    def waits_for_greeting(self) -> bool:
        """For CONNECTED."""
        return True

    def ping(self) -> str:
        """STOMP's heart-beat."""
        return "\n"

    def key(self, listing: Listing) -> str:
        """The currencies' uuids, as they stand in destinations."""
        return f"{listing.base_id}/{listing.quote_id}"

    def subscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """One frame per coin. Subscriptions are called after the request, so that late frames of an earlier one are known."""
        frames = list[str]()
        for coin in coins:
            state: _State = coin.state or _State()
            coin.state = state
            if (before := state.numbers.get(channel)) is not None:
                frames.append(_frame("UNSUBSCRIBE", {"id": before}))
            if channel == "books":
                state.bids, state.asks = Ladder(-1), Ladder(1)
                state.is_broken = False
            state.nonces.pop(channel, None)
            state.numbers[channel] = name = f"{channel}.{number}.{coin.key}"
            frames.append(_frame("SUBSCRIBE", {"id": name, "destination": f"/v1/{_PATHS[channel]}/{coin.key}", "ack": "auto"}))
        return frames

    def unsubscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """One frame per coin."""
        states = [coin.state for coin in coins if coin.state is not None]
        return [_frame("UNSUBSCRIBE", {"id": name}) for state in states if (name := state.numbers.pop(channel, None))]

    def decode(self, payload: bytes, at: float, desk: Desk) -> None:
        """See `Codec.decode`."""
        if b"\r" in payload:
            payload = payload.replace(b"\r\n", b"\n")  # which STOMP 1.2 allows
        if payload.startswith(b"MESSAGE\n"):
            start = payload.index(b"\nsubscription:") + 14
            name = payload[start : payload.index(b"\n", start)].decode()
            body = payload[payload.index(b"\n\n", start) + 2 :].rstrip(b"\0\n")
            channel, _, key = name.split(".", 2)
            coin = desk.coins.get(key)
            # A subscription that we have ended may still send.
            if coin is not None and coin.state is not None and coin.state.numbers.get(channel) == name:
                (self._book if channel == "books" else self._trades)(coin, coin.state, body, at, desk)
            return
        command, _, rest = payload.partition(b"\n")
        if command == b"CONNECTED":
            desk.ready()
        elif command == b"ERROR":
            words = next((line[8:] for line in rest.split(b"\n") if line.startswith(b"message:")), rest[:200])
            # STOMP servers may close the connection after an error.
            desk.refuse(words.decode(errors="replace"))
        elif payload.strip(b"\n\0") and command != b"RECEIPT":
            raise FrameError(f"unknown frame {command[:50]!r}")

    def _book(self, coin: Coin, state: _State, body: bytes, at: float, desk: Desk) -> None:
        message = _decode_book(body)
        before, last_at = state.nonces.get("books"), state.last_at.get("books", at)
        if state.is_broken:
            return
        if before is not None and message.nonce <= before:
            desk.repeated(coin, at)
            return
        if before is not None and message.nonce != before + 1:
            state.is_broken = True
            desk.break_off(coin, last_at, "sequence gap")
            return
        state.nonces["books"], state.last_at["books"] = message.nonce, at
        try:
            state.bids.change(message.payload.bid)
            state.asks.change(message.payload.ask)
        except FrameError as error:
            # A change we could not make: the rest of the book would be wrong from here on.
            state.is_broken = True
            desk.refuse_data(coin, str(error), at)
            desk.break_off(coin, at, "refused frame")
            return
        if before is None:
            desk.confirm("trades", (coin.key,))
            desk.confirm("books", (coin.key,))
        frame = (state.bids.top(), state.asks.top())
        desk.book(coin, coin.version + 1, *state.bids.best(), *state.asks.best(), frame, at)

    def _trades(self, coin: Coin, state: _State, body: bytes, at: float, desk: Desk) -> None:
        message = _decode_trades(body)
        before, last_at = state.nonces.get("trades"), state.last_at.get("trades", at)
        if before is not None and message.nonce <= before:
            # Late, not lost: its trades are told apart by their ids.
            last_at = at
        elif before is not None and message.nonce != before + 1:
            desk.missed(coin, last_at, at, "sequence gap")
        state.nonces["trades"], state.last_at["trades"] = max(message.nonce, before or 0), at
        for trade in message.payload:
            side = UNKNOWN if trade.makerBuyer is None else SELL if trade.makerBuyer else BUY
            desk.trade(coin, trade.id, trade.price, trade.quantity, side, at)

    def levels(self, frame: object) -> tuple[Sequence[Level], Sequence[Level]]:
        """See `Feed.levels`."""
        bids, asks = frame  # pyright: ignore[reportGeneralTypeIssues]
        return as_book(bids, asks)


def _frame(command: str, headers: dict[str, Any]) -> str:
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    return f"{command}\n{lines}\n\0"
