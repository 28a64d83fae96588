"""KuCoin's spot stream: `/spotMarket/level2Depth50` (the top 50 levels, whole, when they change) and `/market/match`, in JSON.

The address comes with a token from `POST /api/v1/bullet-public`. Documented: 300 topics per connection, 100 per request, 100 messages
from us in 10 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote

import msgspec

from pnd_dagster.errors import TransientError
from pnd_dagster.market.feeds.books import NOTHING, best, read_levels
from pnd_dagster.market.feeds.codec import Address, Limits
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.desk import Channel, Desk
from pnd_dagster.market.feeds.protocol import BUY, SELL, UNKNOWN, FrameError, Level, Listing

_TOPICS: dict[Channel, str] = {"trades": "/market/match", "books": "/spotMarket/level2Depth50"}
_SIDES = {"buy": BUY, "sell": SELL}
_TOKEN_SECONDS = 10


class _Data(msgspec.Struct, gc=False):
    timestamp: int = 0
    bids: msgspec.Raw = NOTHING
    asks: msgspec.Raw = NOTHING
    price: float = 0.0
    size: float = 0.0
    side: str = ""
    tradeId: str = ""  # noqa: N815 - the wire's name


class _Message(msgspec.Struct):
    type: str
    topic: str = ""
    id: str = ""
    code: int = 0
    data: _Data | str | None = None


class _Server(msgspec.Struct):
    endpoint: str
    pingInterval: float  # noqa: N815 - the wire's name


class _Grant(msgspec.Struct):
    token: str
    instanceServers: list[_Server]  # noqa: N815 - the wire's name


class _Answer(msgspec.Struct):
    data: _Grant


_decode = msgspec.json.Decoder(_Message, strict=False).decode


class KucoinCodec:
    """See the module. `url` is the base address of simulated exchanges, None for the real one."""

    exchange = "kucoin"
    answered: frozenset[Channel] = frozenset({"trades", "books"})
    sends_changes = False
    limits = Limits(coins=150, batch=100, request_seconds=0.12, answer_seconds=5, keepalive_seconds=18, data_seconds=60)

    def __init__(self, url: str | None = None) -> None:
        base = "https://api.kucoin.com" if url is None else f"{url.rstrip('/')}/{self.exchange}"
        self._token_address = f"{base}/api/v1/bullet-public"

    async def address(self) -> Address:
        """An address with a new token.

        Raises:
            TransientError: KuCoin gives none.
        """
        import aiohttp

        try:
            timeout = aiohttp.ClientTimeout(total=_TOKEN_SECONDS)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.post(self._token_address) as response:
                body = await response.read()
                if response.status != 200:
                    raise TransientError(f"kucoin: {response.status} for a token: {body[:100]!r}")
            grant = msgspec.json.decode(body, type=_Answer, strict=False).data
            server = grant.instanceServers[0]
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError, IndexError) as error:
            raise TransientError(f"kucoin gives no token: {type(error).__name__}: {error}") from error
        return Address(f"{server.endpoint}?token={quote(grant.token)}&connectId=pnd", max(server.pingInterval / 1_000, 0.1))

    def greeting(self) -> Sequence[str]:
        """None; KuCoin greets us."""
        return ()

    def waits_for_greeting(self) -> bool:
        """For its welcome."""
        return True

    def ping(self) -> str:
        """A message of type ping."""
        return '{"id":"0","type":"ping"}'

    def key(self, listing: Listing) -> str:
        """E.g. ABC-USDT."""
        return listing.market_id

    def subscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """One topic for all; the answer names its number."""
        return (self._request("subscribe", channel, coins, number),)

    def unsubscribe(self, channel: Channel, coins: Sequence[Coin], number: int) -> Sequence[str]:
        """One topic for all."""
        return (self._request("unsubscribe", channel, coins, number),)

    def _request(self, kind: str, channel: Channel, coins: Sequence[Coin], number: int) -> str:
        topic = f"{_TOPICS[channel]}:{','.join(coin.key for coin in coins)}"
        request: dict[str, Any] = {"id": str(number), "type": kind, "topic": topic, "response": True}
        return msgspec.json.encode(request).decode()

    def decode(self, payload: bytes, at: float, desk: Desk) -> None:
        """See `Codec.decode`."""
        message = _decode(payload)
        data = message.data
        if message.type == "message":
            if not isinstance(data, _Data):
                raise FrameError("a message without data")
            topic, _, key = message.topic.partition(":")
            coin = desk.coins.get(key)
            if topic == "/spotMarket/level2Depth50":
                if coin is not None:
                    self._book(coin, data, at, desk)
            elif topic == "/market/match":
                if coin is not None:
                    desk.trade(coin, data.tradeId, data.price, data.size, _SIDES.get(data.side, UNKNOWN), at)
            else:
                raise FrameError(f"data of topic {topic!r}, which we did not ask for")
        elif message.type == "ack":
            desk.confirm(number=_number(message.id))
        elif message.type == "error":
            words = f"{message.code} {data}"
            if "permits" in words:
                # We sent too much for a moment; what is not answered is asked again later.
                desk.unknown(words)
            else:
                desk.refuse(words, number=_number(message.id), is_full=message.code == 509)
        elif message.type == "welcome":
            desk.ready()
        elif message.type != "pong":
            desk.unknown(f"unknown message {payload[:100]!r}")

    def _book(self, coin: Coin, data: _Data, at: float, desk: Desk) -> None:
        """Books carry milliseconds but no number: those of one millisecond are told apart by their levels and numbered by us."""
        version = data.timestamp * 1_000
        last: _Data | None = coin.state
        if last is not None and last.timestamp == data.timestamp:
            if last.bids == data.bids and last.asks == data.asks:
                desk.repeated(coin, at)
                return
            version = coin.version + 1
        desk.book(coin, version, *best(data.bids, data.asks), data, at)
        if coin.version == version:
            coin.state = data

    def levels(self, frame: object) -> tuple[Sequence[Level], Sequence[Level]]:
        """See `Feed.levels`."""
        data = cast("_Data", frame)
        return read_levels(data.bids, data.asks)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1
