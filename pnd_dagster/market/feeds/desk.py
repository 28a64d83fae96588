"""Where the frames of one connection arrive: what is out of order, twice or absurd stays out of the sink, and what is seen is known."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from pnd_dagster.market.feeds.books import ABSURD_PRICE, ABSURD_QUANTITY, is_sound
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.protocol import Sink

Channel = Literal["trades", "books"]
CHANNELS: tuple[Channel, ...] = ("trades", "books")
# So many books in a row that are older than the last mean that the exchange counts anew, or that the last one's number was wrong.
RESTARTED_AFTER = 5


class Asked:
    """A subscribe request that is under way.

    Attributes:
        number: of the request, as its answer names it.
        channel: what it asks for.
        coins: those of which nothing was heard yet, by key.
        words: what the exchange said when it refused the request as a whole, for the sake of some of its coins.
        is_narrowed: it said which, and they are gone.
        done: set when there is nothing more to hear.
    """

    def __init__(self, number: int, channel: Channel, coins: Iterable[Coin]) -> None:
        self.number = number
        self.channel: Channel = channel
        self.coins = {coin.key: coin for coin in coins}
        self.words: str | None = None
        self.is_narrowed = False
        self.done = asyncio.Event()


class Desk:
    """What a codec tells of the frames of one connection.

    Args:
        sink: where books and trades go.
        refused: called with a coin that the exchange refuses, its words, and whether it is only this connection that is full.
    """

    def __init__(self, sink: Sink, refused: Callable[[Coin, str, bool], None]) -> None:
        self.coins: dict[str, Coin] = {}
        self.unsighted: dict[str, Coin] = {}
        self.asked: Asked | None = None
        self.is_ready = asyncio.Event()
        self.last_data_at = 0.0
        self.broken = list[Coin]()
        self.has_broken = asyncio.Event()
        self._sink = sink
        self._refused = refused

    # Data

    def book(
        self,
        coin: Coin,
        version: int,
        bid_price: float,
        bid_quantity: float,
        ask_price: float,
        ask_quantity: float,
        frame: object,
        at: float,
    ) -> None:
        """A whole book of the coin. One that is not newer than the last is a duplicate; one with an impossible best level is refused.

        Args:
            coin: whose.
            version: a number that grows with every book of the coin.
            bid_price, bid_quantity, ask_price, ask_quantity: best levels, NaN for an empty side.
            frame: what `Codec.levels` reads.
            at: Unix seconds of receipt.
        """
        self.last_data_at = at
        if version <= coin.version:
            coin.late += 1
            if coin.late < RESTARTED_AFTER:
                self._sink.duplicate(coin.slot)
                return
            self.lose((coin,), coin.book_at, "numbers of books began anew")
        if not (0 < bid_price < ABSURD_PRICE and 0 < bid_quantity < ABSURD_QUANTITY) and not _is_empty(bid_price, bid_quantity):
            self.refuse_data(coin, f"a bid of {bid_quantity!r} at {bid_price!r}", at)
            return
        if not (0 < ask_price < ABSURD_PRICE and 0 < ask_quantity < ABSURD_QUANTITY) and not _is_empty(ask_price, ask_quantity):
            self.refuse_data(coin, f"an ask of {ask_quantity!r} at {ask_price!r}", at)
            return
        coin.version = version
        coin.book_at = at
        coin.late = 0
        self._sink.book(coin.slot, bid_price, bid_quantity, ask_price, ask_quantity, frame, at)
        if not coin.is_sighted:
            coin.has_book = True
            self._look(coin, at)

    def trade(self, coin: Coin, trade_id: str | int | None, price: float, quantity: float, side: int, at: float) -> None:
        """A trade of the coin; `trade_id` is None where the exchange gives none and the codec knows what comes twice."""
        self.last_data_at = at
        if not is_sound(price, quantity):
            self._sink.reject(coin.slot, f"{coin.listing.symbol}: a trade of {quantity!r} at {price!r}")
            self.missed(coin, at, at, "refused trade")
        elif trade_id is not None and not coin.is_new_trade(trade_id):
            self._sink.duplicate(coin.slot)
        else:
            self._sink.trade(coin.slot, price, quantity, side, at)

    def repeated(self, coin: Coin, at: float) -> None:
        """A frame of the coin came twice."""
        self.last_data_at = at
        self._sink.duplicate(coin.slot)

    def refuse_data(self, coin: Coin, reason: str, at: float) -> None:
        """A book of the coin makes no sense: the coin is out of sight until the next one."""
        self._sink.reject(coin.slot, f"{coin.listing.symbol}: {reason}")
        self.lose((coin,), at, "refused frame")

    def refuse_frame(self, reason: str, payload: bytes, at: float) -> None:
        """A frame cannot be read. The coins it names, or all if it names none, are out of sight until their next book."""
        text = payload[:65536].decode("latin-1").lower()
        named = [coin for key, coin in self.coins.items() if _names(text, key.lower())]
        self._sink.reject(named[0].slot if len(named) == 1 else None, reason)
        self.lose(named or self.coins.values(), at, "refused frame")

    def unknown(self, reason: str) -> None:
        """A sound message that says nothing we know, of no coin."""
        self._sink.reject(None, reason)

    # Sight

    def lose(self, coins: Iterable[Coin], since: float, reason: str) -> None:
        """These are out of sight since then, until their next book."""
        slots = list[int]()
        for coin in coins:
            coin.has_book = False
            coin.waits_since = time.monotonic()
            self.unsighted[coin.key] = coin
            if coin.is_sighted:
                coin.is_sighted = False
                slots.append(coin.slot)
        if slots:
            self._sink.blind(slots, since, reason)

    def missed(self, coin: Coin, since: float, at: float, reason: str) -> None:
        """Something of the coin was missed in that span, but what comes next is whole."""
        if coin.is_sighted:
            self._sink.blind((coin.slot,), since, reason)
            self._sink.sighted((coin.slot,), at)

    def break_off(self, coin: Coin, since: float, reason: str) -> None:
        """The changes of the coin's book do not join: it is out of sight, and its books are to be asked for anew."""
        self.lose((coin,), since, reason)
        coin.has_books = False
        self.broken.append(coin)
        self.has_broken.set()

    def _look(self, coin: Coin, at: float) -> None:
        if coin.has_book and coin.has_trades and not coin.is_sighted:
            coin.is_sighted = True
            coin.attempts = 0
            self.unsighted.pop(coin.key, None)
            self._sink.sighted((coin.slot,), at)

    # Answers to what the connection asked for

    def ready(self) -> None:
        """The exchange has greeted us: it can be asked now."""
        self.is_ready.set()

    def confirm(self, channel: Channel | None = None, keys: Sequence[str] | None = None, *, number: int | None = None) -> None:
        """The exchange sends this channel of these coins from now on; without keys: all that request `number` (or the last) asked for."""
        asked = self.asked
        if keys is None:
            if asked is None or (number is not None and asked.number != number):
                return
            channel, keys = asked.channel, tuple(asked.coins)
        now = time.time()
        for key in keys:
            coin = self.coins.get(key)
            if coin is None:
                continue
            if channel == "trades":
                coin.has_trades = True
            else:
                coin.has_books = True
                coin.waits_since = time.monotonic()
            self._look(coin, now)
            if asked is not None and asked.channel == channel:
                asked.coins.pop(key, None)
        if asked is not None and not asked.coins:
            asked.done.set()

    def refuse(self, words: str, keys: Sequence[str] | None = None, *, number: int | None = None, is_full: bool = False) -> None:
        """The exchange refuses these coins; without keys: all that request `number` (or the last) asked for."""
        asked = self.asked
        if keys is None:
            if asked is None or (number is not None and asked.number != number):
                self.unknown(words)
                return
            named = [key for key in asked.coins if _names(words.lower(), key.lower())]
            if len(named) == len(asked.coins) > 1:
                named = []  # it repeats the request
            if not named and len(asked.coins) > 1 and not is_full:
                # One of them is wrong, or several: the connection asks for each half again.
                asked.words = words
                asked.done.set()
                return
            keys = named or tuple(asked.coins)
            # A request that is refused for some of its coins is refused as a whole.
            if len(keys) < len(asked.coins):
                asked.words, asked.is_narrowed = words, True
        for key in keys:
            if asked is not None:
                asked.coins.pop(key, None)
            if key in self.coins:
                self._refused(self.coins[key], words, is_full)
        if asked is not None and (not asked.coins or asked.words is not None):
            asked.done.set()


def _is_empty(price: float, quantity: float) -> bool:
    return math.isnan(price) and math.isnan(quantity)


def _names(text: str, key: str) -> bool:
    """Whether the key stands in the text as a word of its own."""
    start = text.find(key)
    while start >= 0:
        end = start + len(key)
        if not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
            return True
        start = text.find(key, end)
    return False
