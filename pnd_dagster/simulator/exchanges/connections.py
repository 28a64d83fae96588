"""A WebSocket connection of a simulated exchange: frames are collected, and written at once by one write per flush."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from pnd_dagster.simulator.exchanges.ledger import Ledger
from pnd_dagster.simulator.exchanges.market import Market, Trade

if TYPE_CHECKING:
    from pnd_dagster.simulator.exchanges.streams import Subscription

TEXT, BINARY, CLOSE, PONG = 1, 2, 8, 10
# A client that lets this much pile up is cut off, as real exchanges do with slow ones.
MOST_UNREAD_BYTES = 64 << 20


class Sent(NamedTuple):
    """What a frame told of a market, for the ledger: its present book with so many levels a side, or, if it is there, a trade."""

    market: Market
    depth: int
    trade: Trade | None = None


def websocket_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """An unfragmented, unmasked WebSocket frame, as servers send them (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


class Connection:
    """One client's WebSocket.

    Attributes:
        number: unlike that of any other connection of the server; the ledger's name for it.
        exchange: canonical id.
        subscriptions: by the client's own name of them (a topic, or a STOMP id).
        opened_at, heard_at, told_at: Unix seconds of its beginning, of the client's last frame, of the last frame to it.
        idle_since: since when it has no subscription, if it has none.
        is_stalled: it stays open, but nothing is sent any more, not even an answer.
        frames, books, trades: how many were sent.
    """

    def __init__(self, number: int, exchange: str, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self.number, self.exchange = number, exchange
        self.subscriptions: dict[str, Subscription] = {}
        self.opened_at = self.heard_at = self.told_at = self.idle_since = time.time()
        self.is_stalled = False
        self.frames = self.books = self.trades = 0
        self._socket, self._transport = socket, transport
        self._outbox: list[bytes] = []
        self._sent: list[Sent] = []
        self._closing: asyncio.Task[bool] | None = None

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return self._closing is None and not self._transport.is_closing()

    def put(self, frame: bytes, sent: list[Sent]) -> None:
        """Adds a frame, complete with its header, to what the next flush writes."""
        self._outbox.append(frame)
        self._sent += sent

    def flush(self, ledger: Ledger) -> None:
        """Writes what was put, and notes it in the ledger. A connection that is closed or stalled gets nothing."""
        outbox, sent = self._outbox, self._sent
        self._outbox, self._sent = [], []
        if self.is_stalled or not self.is_open:
            return
        at = time.time()
        self._write(b"".join(outbox), at, len(outbox))
        if self._transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            ledger.fault("cut off a slow client", at, exchange=self.exchange, connection=self.number)
            self._transport.abort()
        for market, depth, trade in sent:
            if trade is None:
                self.books += 1
                ledger.book(market, at, connection=self.number, depth=depth)
            else:
                self.trades += 1
                ledger.trade(market, trade, at, connection=self.number)

    def say(self, text: str | bytes) -> None:
        """Sends an answer at once, after what was put before."""
        if not self.is_stalled and self.is_open:
            self._write(websocket_frame(text.encode() if isinstance(text, str) else text), time.time(), 1)

    def pong(self, payload: bytes) -> None:
        """Answers a ping of the WebSocket protocol itself."""
        if not self.is_stalled and self.is_open:
            self._write(websocket_frame(payload, PONG), time.time(), 1)

    def close(self, code: int, reason: str) -> None:
        """Ends it with a closing handshake."""
        if self.is_open:
            self._closing = asyncio.ensure_future(self._socket.close(code=code, message=reason.encode()))

    def abort(self) -> None:
        """Cuts it off without a word."""
        self._transport.abort()

    def _write(self, data: bytes, at: float, frames: int) -> None:
        self._transport.write(data)
        self.told_at = at
        self.frames += frames
