"""Channels of markets and who listens to them: a change marks its streams as due, and a flush sends each due stream once.

A frame is made once per stream, however many connections listen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Literal, NamedTuple

from pnd_dagster.simulator.exchanges.connections import BINARY, TEXT, Connection, Sent, websocket_frame
from pnd_dagster.simulator.exchanges.faults import Faults, Piece, spoil_book, spoil_trade
from pnd_dagster.simulator.exchanges.ledger import Ledger
from pnd_dagster.simulator.exchanges.market import Change, Level, Market, Trade
from pnd_dagster.simulator.exchanges.world import World

Book = tuple[list[Level], list[Level]]
# A ledger's summary is over at most this many levels a side.
SUMMARY_DEPTH = 20


class News(NamedTuple):
    """What a frame of a book channel tells.

    Attributes:
        bids, asks: the whole book, or the changed levels (quantity "0": gone).
        first, last: sequence of the first and last change in it; for differences `first` is the sequence sent before.
        at: milliseconds of the exchange's clock.
        is_whole: all levels, not changes.
        before: the book sent before, for differences.
    """

    market: Market
    bids: list[Level]
    asks: list[Level]
    first: int
    last: int
    at: int
    is_whole: bool
    before: Book | None = None


class BookChannel(NamedTuple):
    """How an exchange tells of books.

    Attributes:
        name: tells channels of the exchange apart.
        kind: "snapshots": the whole book each time. "differences": the whole book first, then what changed within `depth`.
            "changes": every change, at any depth; the client finds the book by REST.
        depth: levels per side.
        interval: seconds between two frames of a market, at least.
        encode: makes the payload.
        tells_at_once: whether a new subscriber gets the book at once.
    """

    name: str
    kind: Literal["snapshots", "differences", "changes"]
    depth: int
    interval: float
    encode: Callable[[News], bytes]
    tells_at_once: bool = True
    is_binary: bool = False


class TradeChannel(NamedTuple):
    """How an exchange tells of trades; `encode` (market, trades, milliseconds) makes payloads, with the trades in each."""

    name: str
    encode: Callable[[Market, Sequence[Trade], int], list[tuple[bytes, Sequence[Trade]]]]
    interval: float = 0.0
    is_binary: bool = False


AnyChannel = BookChannel | TradeChannel
# (subscription, payload, nonce) to payload: what makes a frame one subscriber's own. None where all get the same.
Wrap = Callable[["Subscription", bytes, int], bytes] | None


class Subscription:
    """A connection's interest in a stream. `tag` is the client's name of it, `start` the number of the first frame it is sent."""

    __slots__ = ("connection", "start", "stream", "tag")

    def __init__(self, connection: Connection, stream: Stream, tag: str, start: int) -> None:
        self.connection, self.stream, self.tag, self.start = connection, stream, tag, start


class Stream:
    """One channel of one market."""

    __slots__ = (
        "before",
        "changes",
        "channel",
        "due_at",
        "is_waiting",
        "market",
        "number",
        "sent_sequence",
        "subscribers",
        "trades",
        "wrap",
    )

    def __init__(self, market: Market, channel: AnyChannel, wrap: Wrap) -> None:
        self.market, self.channel, self.wrap = market, channel, wrap
        self.subscribers: dict[Subscription, None] = {}
        self.is_waiting, self.due_at, self.number = False, 0.0, 0
        self.changes: list[Change] = []
        self.trades: list[Trade] = []
        self.before: Book = ([], [])
        self.sent_sequence = 0

    def note(self, change: Change) -> bool:
        """Takes a change of the market. Returns whether it is to be sent in this channel."""
        self.market = change.market
        if isinstance(self.channel, TradeChannel):
            if change.trade is None:
                return False
            self.trades.append(change.trade)
        elif self.channel.kind == "changes":
            self.changes.append(change)
        return True

    def whole(self, at: int) -> News:
        """The book for a new subscriber; for differences the one that was last sent to the others."""
        assert isinstance(self.channel, BookChannel)  # noqa: S101
        market = self.market
        if self.channel.kind == "differences" and len(self.subscribers) > 1:
            return News(market, *self.before, self.sent_sequence - 1, self.sent_sequence, at, True)
        self.before, self.sent_sequence = market.book(self.channel.depth), market.sequence
        return News(market, *self.before, market.sequence - 1, market.sequence, at, True)

    def news(self, at: int) -> News | None:
        """What the next frame tells; None if nothing that the channel shows has changed."""
        assert isinstance(self.channel, BookChannel)  # noqa: S101
        market, sequence = self.market, self.market.sequence
        if self.channel.kind == "snapshots":
            return News(market, *market.book(self.channel.depth), sequence, sequence, at, True)
        if self.channel.kind == "changes":
            changes, self.changes = self.changes, []
            if not changes:
                return None
            bids = {level[0]: level for change in changes for level in change.bids}
            asks = {level[0]: level for change in changes for level in change.asks}
            return News(market, [*bids.values()], [*asks.values()], changes[0].sequence, changes[-1].sequence, at, False)
        before, last = self.before, self.sent_sequence
        self.before, self.sent_sequence = book, _ = market.book(self.channel.depth), sequence
        bids, asks = _difference(before[0], book[0]), _difference(before[1], book[1])
        if not bids and not asks:
            self.sent_sequence = last
            return None
        return News(market, bids, asks, last, sequence, at, False, before)


def _difference(before: list[Level], now: list[Level]) -> list[Level]:
    old, new = dict(before), dict(now)
    return [level for level in now if old.get(level[0]) != level[1]] + [(price, "0") for price in old if price not in new]


class Streams:
    """All streams of all exchanges, and the passing of time for them.

    Attributes:
        connections: open ones, by number.
    """

    def __init__(self, world: World, ledger: Ledger, faults: Faults) -> None:
        self._world, self._ledger, self._faults = world, ledger, faults
        self._streams: dict[tuple[str, str, str], Stream] = {}
        self._by_market: dict[int, list[Stream]] = {}
        self._due: list[Stream] = []
        self._later: list[tuple[float, int, Stream]] = []
        self._tickets = count()
        self.connections: dict[int, Connection] = {}

    def milliseconds(self, exchange: str) -> int:
        """The exchange's clock."""
        return int((time.time() + self._faults.skew.get(exchange, 0.0)) * 1000)

    def subscribe(self, connection: Connection, market: Market, channel: AnyChannel, tag: str, wrap: Wrap = None) -> None:
        """Adds a subscriber, who is told the book at once if the channel does so. A tag that is taken already is left as it is."""
        if tag in connection.subscriptions:
            return
        key = (market.exchange, channel.name, market.base)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(market, channel, wrap)
            self._by_market.setdefault(market.index, []).append(stream)
        tells_at_once = isinstance(channel, BookChannel) and channel.tells_at_once
        subscription = Subscription(connection, stream, tag, stream.number if tells_at_once else stream.number + 1)
        connection.subscriptions[tag] = subscription
        stream.subscribers[subscription] = None
        if isinstance(channel, BookChannel) and tells_at_once:
            self._put([subscription], self._book_piece(stream, stream.whole(self.milliseconds(market.exchange)), channel, is_first=True))
            connection.flush(self._ledger)

    def unsubscribe(self, connection: Connection, tag: str) -> bool:
        """Ends a subscription. Returns whether there was one. A stream without subscribers is forgotten."""
        subscription = connection.subscriptions.pop(tag, None)
        if subscription is None:
            return False
        if not connection.subscriptions:
            connection.idle_since = time.time()
        stream = subscription.stream
        del stream.subscribers[subscription]
        if not stream.subscribers:
            market = stream.market
            del self._streams[market.exchange, stream.channel.name, market.base]
            self._by_market[market.index].remove(stream)
        return True

    def forget(self, connection: Connection) -> None:
        """Removes a connection that has ended."""
        for tag in list(connection.subscriptions):
            self.unsubscribe(connection, tag)
        self.connections.pop(connection.number, None)

    def advance(self, now: float) -> int:
        """Lets time pass in the world, and sends what is due. Returns the number of changes."""
        changes = self._world.advance(now)
        by_market, due, later = self._by_market, self._due, self._later
        for change in changes:
            for stream in by_market.get(change.market.index, ()):
                if stream.note(change) and not stream.is_waiting:
                    stream.is_waiting = True
                    if stream.due_at <= now:
                        due.append(stream)
                    else:
                        heappush(later, (stream.due_at, next(self._tickets), stream))
        while later and later[0][0] <= now:
            due.append(heappop(later)[2])
        self._flush(now)
        return len(changes)

    def settle(self, market: Market) -> None:
        """Sends the changes of a market that wait, so that no frame reaches across the book of this moment."""
        for stream in self._by_market.get(market.index, ()):
            if stream.changes:
                self._send([stream])

    def _flush(self, now: float) -> None:
        due, self._due = self._due, []
        for stream in due:
            stream.is_waiting, stream.due_at = False, now + stream.channel.interval
        self._send(due)

    def _send(self, streams: list[Stream]) -> None:
        touched: dict[Connection, None] = {}
        for stream in streams:
            if not stream.subscribers:
                continue
            for piece in self._pieces(stream):
                self._put(stream.subscribers, piece)
            for subscription in stream.subscribers:
                touched[subscription.connection] = None
        for connection in touched:
            connection.flush(self._ledger)

    def _pieces(self, stream: Stream) -> list[Piece]:
        market, channel = stream.market, stream.channel
        at = self.milliseconds(market.exchange)
        if isinstance(channel, TradeChannel):
            trades, stream.trades = stream.trades, []
            if not self._faults.pending(market.exchange, market.base, "trade"):
                return self._trade_pieces(stream, channel, trades, at)
            return [piece for trade in trades for piece in self._spoil_trade(stream, channel, trade, at)]
        news = stream.news(at)
        if news is None:
            return []
        if not self._faults.pending(market.exchange, market.base, "book"):
            return [self._book_piece(stream, news, channel)]
        bids, asks = spoil_book(news.bids, news.asks, self._faults.corruption(market.exchange, market.base, "book"))
        piece = self._book_piece(stream, news._replace(bids=bids, asks=asks), channel)
        return self._faults.apply(market.exchange, market.base, "book", stream, piece)

    def _trade_pieces(self, stream: Stream, channel: TradeChannel, trades: Sequence[Trade], at: int) -> list[Piece]:
        pieces: list[Piece] = []
        for payload, those in channel.encode(stream.market, trades, at):
            stream.number += 1
            pieces.append(Piece(payload, [Sent(stream.market, 0, trade) for trade in those], stream.number))
        return pieces

    def _spoil_trade(self, stream: Stream, channel: TradeChannel, trade: Trade, at: int) -> list[Piece]:
        place = (stream.market.exchange, stream.market.base, "trade")
        if not self._faults.pending(*place):
            return self._trade_pieces(stream, channel, [trade], at)
        (piece,) = self._trade_pieces(stream, channel, [spoil_trade(trade, self._faults.corruption(*place))], at)
        return self._faults.apply(*place, stream, piece)

    @staticmethod
    def _book_piece(stream: Stream, news: News, channel: BookChannel, *, is_first: bool = False) -> Piece:
        if not is_first:
            stream.number += 1
        return Piece(channel.encode(news), [Sent(stream.market, min(channel.depth, SUMMARY_DEPTH))], stream.number)

    @staticmethod
    def _put(subscriptions: dict[Subscription, None] | list[Subscription], piece: Piece) -> None:
        frame = None
        for subscription in subscriptions:
            stream = subscription.stream
            if stream.wrap is not None:
                frame = websocket_frame(stream.wrap(subscription, piece.payload, piece.number - subscription.start))
            elif frame is None:
                frame = websocket_frame(piece.payload, BINARY if stream.channel.is_binary else TEXT)
            subscription.connection.put(frame, piece.sent)
