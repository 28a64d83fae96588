"""One WebSocket to an exchange: it connects, subscribes, pings, notices silence, and comes back after every loss."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from pnd_dagster.errors import TransientError
from pnd_dagster.market.feeds.codec import Codec
from pnd_dagster.market.feeds.coin import Coin
from pnd_dagster.market.feeds.desk import CHANNELS, Asked, Channel, Desk
from pnd_dagster.market.feeds.protocol import FrameError, Sink

FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 60.0
# A connection that lasted so long starts again with the first pause.
STEADY_SECONDS = 60.0
CONNECT_SECONDS = 10.0
MAX_FRAME_BYTES = 1 << 20
# Beyond this the connection itself is given up.
MAX_BUFFER_BYTES = 16 << 20
SILENT_DATA = "silent data"
MALFORMED = (FrameError, msgspec.MsgspecError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

_log = logging.getLogger(__name__)
_TEXT, _BINARY, _CONTINUATION, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.CLOSE
_DATA = (_TEXT, _BINARY, _CONTINUATION)


class LostError(Exception):
    """The connection is of no more use, and why."""


class Connection:
    """Keeps a WebSocket to the exchange with up to `capacity` coins.

    Args:
        codec: the exchange's wire.
        sink: where books and trades go.
        gate: bounds how many connections are opened at once.
        refused: see `Desk`; the coin is to be removed in it.

    Attributes:
        capacity: how many coins it takes; less than the codec says once the exchange called it full.
        is_connected: it can be asked and heard now.
        reconnects: how often it was lost.
    """

    def __init__(self, codec: Codec, sink: Sink, gate: asyncio.Semaphore, refused: Callable[[Connection, Coin, str, bool], None]) -> None:
        self.capacity = codec.limits.coins
        self.is_connected = False
        self.reconnects = 0
        self.desk = Desk(sink, lambda coin, words, is_full: refused(self, coin, words, is_full))
        self._codec = codec
        self._gate = gate
        self._requests = deque[tuple[bool, Channel, list[Coin]]]()
        self._has_requests = asyncio.Event()
        self._number = 0
        self._listener: _Listener | None = None
        self._allowance = 1.0

    @property
    def last_frame_at(self) -> float | None:
        """When the last frame came, Unix seconds."""
        return self._listener.last_frame_at if self._listener is not None else None

    def add(self, coins: Iterable[Coin]) -> None:
        """Takes the coins on, and subscribes to them as soon as it can."""
        added = list(coins)
        for coin in added:
            coin.forget()
            self.desk.coins[coin.key] = coin
        self.desk.lose(added, time.time(), "subscribing")
        if self.is_connected:
            self._subscribe(added)

    def remove(self, coins: Iterable[Coin]) -> None:
        """Lets the coins go, and ends their subscriptions."""
        gone = [coin for coin in coins if self.desk.coins.pop(coin.key, None) is not None]
        for coin in gone:
            self.desk.unsighted.pop(coin.key, None)
        if self.is_connected and gone:
            for channel in CHANNELS:
                self._put(False, channel, [coin for coin in gone if coin.has_trades or coin.has_books])

    def ask_again(self, coin: Coin) -> None:
        """Subscribes to the coin's books anew."""
        if self.is_connected and self.desk.coins.get(coin.key) is coin:
            self._put(True, "books", [coin])

    async def run(self) -> None:
        """Keeps the connection until it is cancelled."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await self._live()
                reason = "connection lost"
            except (LostError, TransientError) as error:
                reason = str(error)
            except (OSError, WSError, TimeoutError) as error:
                reason = f"no connection: {type(error).__name__}: {error}"
            except Exception as error:  # noqa: BLE001 - logged
                # A fault of ours in one connection must not end the others.
                _log.exception("%s: a connection failed", self._codec.exchange)
                reason = f"failed: {type(error).__name__}"
            self._lose_all(reason)
            failures = 0 if time.monotonic() - started > STEADY_SECONDS else failures + 1
            pause = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(failures, 10))
            _log.info("%s: %s; %d coins", self._codec.exchange, reason, len(self.desk.coins))
            await asyncio.sleep(random.uniform(FIRST_PAUSE_SECONDS / 5, pause))  # noqa: S311 - no secret hangs on it

    async def _live(self) -> None:
        limits = self._codec.limits
        async with self._gate:
            # Opened one after the other, not in step.
            await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311
            address = await self._codec.address()
            listener = _Listener(self._codec, self.desk)
            self._reset()
            async with asyncio.timeout(CONNECT_SECONDS):
                transport, _ = await ws_connect(
                    lambda: listener, address.url, websocket_handshake_timeout=CONNECT_SECONDS, max_frame_size=MAX_BUFFER_BYTES
                )
        self._listener = listener
        tasks = list[asyncio.Task[None]]()
        try:
            for text in self._codec.greeting():
                transport.send(_TEXT, text.encode())
            if self._codec.waits_for_greeting():
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self.desk.is_ready.wait()
            self.is_connected = True
            self._subscribe(list(self.desk.coins.values()))
            keepalive = address.keepalive_seconds or limits.keepalive_seconds
            tasks = [
                asyncio.create_task(work)
                for work in (transport.wait_disconnected(), self._ask(transport), self._mend(), self._guard(transport, listener, keepalive))
            ]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            raise LostError(listener.farewell or "connection lost")
        finally:
            self.is_connected = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            transport.disconnect(graceful=False)

    def _reset(self) -> None:
        """Before connecting: the exchange's greeting may come with the handshake."""
        self.desk.asked = None
        self.desk.broken = []
        self.desk.is_ready.clear()
        self._requests.clear()

    def _lose_all(self, reason: str) -> None:
        self.reconnects += 1
        listener, desk = self._listener, self.desk
        # A frame, pongs too, proves that all before it came; not so where data had stopped and pongs had not.
        heard_at = desk.last_data_at if reason == SILENT_DATA else listener.last_frame_at if listener else 0.0
        since = heard_at or time.time()
        coins = list(desk.coins.values())
        desk.lose(coins, since, reason)
        for coin in coins:
            coin.forget()
            desk.unsighted[coin.key] = coin

    # Requests

    def _subscribe(self, coins: list[Coin]) -> None:
        batch = self._codec.limits.batch
        for start in range(0, len(coins), batch):
            for channel in CHANNELS:
                self._put(True, channel, coins[start : start + batch])

    def _put(self, is_subscribe: bool, channel: Channel, coins: list[Coin]) -> None:
        if coins:
            self._requests.append((is_subscribe, channel, coins))
            self._has_requests.set()

    async def _ask(self, transport: WSTransport) -> None:
        """Sends requests one after the other: each is answered, or given up, before the next."""
        while True:
            if not self._requests:
                self._has_requests.clear()
                await self._has_requests.wait()
            is_subscribe, channel, coins = self._requests.popleft()
            self._number += 1
            if not is_subscribe:
                gone = [coin for coin in coins if self.desk.coins.get(coin.key) is not coin]
                await self._send(transport, self._codec.unsubscribe(channel, gone, self._number) if gone else ())
                continue
            there = [coin for coin in coins if self.desk.coins.get(coin.key) is coin]
            if not there:
                continue
            asked = self.desk.asked = Asked(self._number, channel, there)
            await self._send(transport, self._codec.subscribe(channel, there, self._number))
            if channel in self._codec.answered:
                await self._hear(asked)

    async def _send(self, transport: WSTransport, texts: Iterable[str]) -> None:
        for text in texts:
            transport.send(_TEXT, text.encode())
            await asyncio.sleep(self._codec.limits.request_seconds)

    async def _hear(self, asked: Asked) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._codec.limits.answer_seconds):
                await asked.done.wait()
        self.desk.asked = None
        left = [coin for coin in asked.coins.values() if self.desk.coins.get(coin.key) is coin]
        if asked.words is not None:
            # The exchange refused the request for the sake of some of its coins, and did not say which unless some are gone from it.
            size = max(1, len(left) if asked.is_narrowed else len(left) // 2)
            for start in reversed(range(0, len(left), size)):
                self._requests.appendleft((True, asked.channel, left[start : start + size]))
            self._has_requests.set()
            return
        for coin in left:
            coin.attempts += 1
            delay = pause_seconds(coin.attempts)
            asyncio.get_running_loop().call_later(delay, self._ask_later, asked.channel, coin)

    def _ask_later(self, channel: Channel, coin: Coin) -> None:
        has_it = coin.has_trades if channel == "trades" else coin.has_books
        if self.is_connected and not has_it and self.desk.coins.get(coin.key) is coin:
            self._put(True, channel, [coin])

    async def _mend(self) -> None:
        """Asks anew for the books of coins whose changes do not join, with growing pauses where that goes on."""
        desk = self.desk
        while True:
            await desk.has_broken.wait()
            desk.has_broken.clear()
            broken, desk.broken = desk.broken, []
            for coin in broken:
                coin.attempts += 1
                if coin.attempts == 1:
                    self._put(True, "books", [coin])
                else:
                    asyncio.get_running_loop().call_later(pause_seconds(coin.attempts), self._ask_later, "books", coin)

    # Life

    async def _guard(self, transport: WSTransport, listener: _Listener, keepalive: float) -> None:
        """Pings, and raises when the connection or its data has been silent for too long, or its time is over."""
        limits = self._codec.limits
        begun = heard = informed = pinged = time.monotonic()
        last_frame_at, last_data_at = listener.last_frame_at, self.desk.last_data_at
        life = limits.lifetime_seconds and limits.lifetime_seconds * random.uniform(0.8, 0.95)  # noqa: S311
        ping = self._codec.ping().encode()
        while True:
            await asyncio.sleep(min(keepalive / 4, limits.data_seconds / 4, 1.0))
            now = time.monotonic()
            # Frames carry wall time, which may be set; silence is measured on the clock that is not.
            if listener.last_frame_at != last_frame_at:
                last_frame_at, heard = listener.last_frame_at, now
            if self.desk.last_data_at != last_data_at or not self.desk.coins:
                if self.desk.last_data_at != last_data_at:
                    self._allowance = 1.0
                last_data_at, informed = self.desk.last_data_at, now
            if now - heard > 3 * keepalive:
                raise LostError("silent connection")
            if now - informed > limits.data_seconds * self._allowance:
                # Coins that sleep must not cost a reconnection every minute.
                self._allowance = min(2 * self._allowance, 64.0)
                raise LostError(SILENT_DATA)
            if life is not None and now - begun > life:
                raise LostError("renewed before the exchange closes it")
            if now - pinged >= keepalive:
                pinged = now
                transport.send(_TEXT, ping)


def pause_seconds(attempts: int) -> float:
    """A full-jitter exponential pause before the next attempt."""
    return random.uniform(FIRST_PAUSE_SECONDS, min(300.0, FIRST_PAUSE_SECONDS * 2 ** min(attempts + 1, 12)))  # noqa: S311


class _Listener(WSListener):
    """Hands frames to the codec; nothing that a frame holds raises beyond it."""

    def __init__(self, codec: Codec, desk: Desk) -> None:
        self.last_frame_at = time.time()
        self.farewell: str | None = None
        self._decode = codec.decode
        self._desk = desk
        self._parts: list[bytes] | None = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows with every frame."""
        self.last_frame_at = at = time.time()
        kind = frame.msg_type
        if kind in _DATA:
            payload = frame.get_payload_as_bytes()
            if not frame.fin or self._parts is not None:
                whole = self._joined(payload, kind == _CONTINUATION, frame.fin)
                if whole is None:
                    return
                payload = whole
            if len(payload) > MAX_FRAME_BYTES:
                self._desk.refuse_frame(f"a frame of {len(payload)} bytes", payload[:1024], at)
                return
            try:
                self._decode(payload, at, self._desk)
            except MALFORMED as error:
                self._desk.refuse_frame(f"{type(error).__name__}: {error}"[:200], payload, at)
        elif kind == _CLOSE:
            self.farewell = f"closed by the exchange: {_close_code(frame)}"
            transport.disconnect()

    def _joined(self, payload: bytes, is_continued: bool, is_last: bool) -> bytes | None:
        parts = self._parts if is_continued and self._parts is not None else []
        parts.append(payload)
        self._parts = None if is_last else parts
        if sum(map(len, parts)) > MAX_BUFFER_BYTES:
            raise LostError("a message without end")
        return b"".join(parts) if is_last else None


def _close_code(frame: WSFrame) -> str:
    try:
        return f"{frame.get_close_code()} {frame.get_close_reason() or ''}".strip()
    except (ValueError, TypeError, UnicodeError):
        return "no reason"
