"""All five simulated exchanges behind one HTTP server: REST and WebSocket below /latoken, /kucoin, /mexc, /poloniex and /xt.

Clients are used as they are but for their addresses: every origin becomes the server's address and the exchange's id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from aiohttp import WSMsgType, web

from pnd_dagster.simulator.exchanges.connections import Connection
from pnd_dagster.simulator.exchanges.control import add_control_routes
from pnd_dagster.simulator.exchanges.faults import Faults
from pnd_dagster.simulator.exchanges.kucoin import Kucoin
from pnd_dagster.simulator.exchanges.latoken import Latoken
from pnd_dagster.simulator.exchanges.ledger import Ledger
from pnd_dagster.simulator.exchanges.limits import Window
from pnd_dagster.simulator.exchanges.mexc import Mexc
from pnd_dagster.simulator.exchanges.poloniex import Poloniex
from pnd_dagster.simulator.exchanges.protocol import ExchangeServer, RequestError, Route
from pnd_dagster.simulator.exchanges.streams import Streams
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.exchanges.xt import Xt

PROTOCOLS: tuple[type[ExchangeServer], ...] = (Latoken, Kucoin, Mexc, Poloniex, Xt)
HOST = "127.0.0.1"
# Seconds between two steps of the world.
STEP_SECONDS = 0.02
# A server that is later than this does all that it missed in one step.
MOST_LATE_SECONDS = 2.0
LARGEST_REQUEST = 1 << 20

_log = logging.getLogger(__name__)


class SimulatedExchanges:
    """The server; it runs, and time passes in its world, while its context lasts. All of it belongs to one event loop.

    Args:
        world: the markets.
        port: of 127.0.0.1; a free one by default.
        time_factor: stretches the durations of limits and keepalives: with 0.01, a minute lasts 0.6 s.
        extend: adds more routes before the server starts, such as the vendors'.

    Attributes:
        url: its address, without a slash at the end.
        ledger: what was sent.
        faults: what shall go wrong.
        changes: changes of the world so far.
    """

    def __init__(
        self, world: World, *, port: int = 0, time_factor: float = 1.0, extend: Callable[[web.Application], None] = lambda app: None
    ) -> None:
        self.world, self.url = world, ""
        self.ledger = Ledger()
        self.faults = Faults(world, self.ledger)
        self.changes = 0
        self._streams = Streams(world, self.ledger, self.faults)
        self._exchanges = {protocol.name: protocol(world, self._streams, self.faults, time_factor) for protocol in PROTOCOLS}
        self._windows = {name: Window(exchange.rest_rate, time_factor) for name, exchange in self._exchanges.items()}
        self._numbers, self._port = count(1), port
        self._ended: Counter[str] = Counter()
        self._app = web.Application(client_max_size=LARGEST_REQUEST)
        for exchange in self._exchanges.values():
            self._app.router.add_get(f"/{exchange.name}{exchange.socket_path}", self._socket_of(exchange))
            for route in exchange.routes():
                self._app.router.add_route(route.method, f"/{exchange.name}{route.path}", self._guarded(exchange, route))
        add_control_routes(self._app, self)
        extend(self._app)
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=0.1)
        self._stepping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> SimulatedExchanges:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"
        self._stepping = asyncio.create_task(self._step())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._stepping is not None:
            self._stepping.cancel()
            await asyncio.gather(self._stepping, return_exceptions=True)
        for connection in self.connections():
            connection.abort()
        await self._runner.cleanup()

    def connections(self, exchange: str | None = None) -> list[Connection]:
        """Open connections, of one exchange or all."""
        return [it for it in self._streams.connections.values() if exchange in (None, it.exchange)]

    def sent(self) -> dict[str, int]:
        """How much was sent so far, over all connections that are or were: frames, books, trades."""
        total = Counter(self._ended)
        for connection in self.connections():
            total.update(_counts(connection))
        return {name: total[name] for name in ("frames", "books", "trades")}

    def kick(self, exchange: str | None = None, *, connection: int | None = None, code: int | None = None) -> list[int]:
        """Ends connections, with a WebSocket close of that code or, without one, abruptly. Returns their numbers.

        Raises:
            ValueError: there is no such connection.
        """
        touched = self._touch("kick", exchange, connection, f"code {code}")
        for one in touched:
            one.abort() if code is None else one.close(code, "kicked")
        return [one.number for one in touched]

    def stall(self, exchange: str | None = None, *, connection: int | None = None, is_stalled: bool = True) -> list[int]:
        """Sends nothing any more on connections that stay open, or ends that. Returns their numbers.

        Raises:
            ValueError: there is no such connection.
        """
        touched = self._touch("stall" if is_stalled else "stall ends", exchange, connection, "")
        for one in touched:
            one.is_stalled = is_stalled
        return [one.number for one in touched]

    def _touch(self, kind: str, exchange: str | None, number: int | None, detail: str) -> list[Connection]:
        touched = [it for it in self.connections(exchange) if number in (None, it.number)]
        if not touched:
            raise ValueError(f"{exchange or 'any exchange'}: there is no connection{'' if number is None else f' {number}'}")
        for it in touched:
            bases = sorted({subscription.stream.market.base for subscription in it.subscriptions.values()})
            self.ledger.fault(kind, time.time(), exchange=it.exchange, bases=bases, connection=it.number, detail=detail)
        return touched

    async def _step(self) -> None:
        """Lets time pass, in short steps also when the server is late, so that clients get their turn between two. A step that fails is
        told and does not end the world."""
        passed = time.time()
        while True:
            now = time.time()
            passed = now if now - passed > MOST_LATE_SECONDS else min(now, passed + 2 * STEP_SECONDS)
            try:
                self.changes += self._streams.advance(passed)
                self._close_overdue()
            except Exception:  # noqa: BLE001
                _log.exception("a step of the simulated exchanges failed")
            await asyncio.sleep(max(0.0, passed + STEP_SECONDS - time.time()))

    def _close_overdue(self) -> None:
        now = time.time()
        for connection in self.connections():
            closing = self._exchanges[connection.exchange].overdue(connection, now) if connection.is_open else None
            if closing is not None:
                connection.close(*closing)

    def _guarded(self, exchange: ExchangeServer, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        window = self._windows[exchange.name]

        async def handle(request: web.Request) -> web.StreamResponse:
            if self._cuts_off(exchange, request):
                return web.Response(status=503)
            symbol = request.match_info.get("symbol") or request.query.get("symbol")
            fault = self.faults.rest_fault(exchange.name, exchange.base_of(symbol) if symbol else None)
            if fault is not None:
                return exchange.error(fault.status, fault.retry_after)
            if wait := window.take(route.units):
                return exchange.error(429, wait)
            try:
                return await route.handler(request)
            except RequestError as refused:
                return refused.answer

        return handle

    def _cuts_off(self, exchange: ExchangeServer, request: web.Request) -> bool:
        if not self.faults.is_refusing(exchange.name):
            return False
        if request.transport is not None:
            request.transport.abort()
        return True

    def _socket_of(self, exchange: ExchangeServer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if self._cuts_off(exchange, request):
                return web.Response(status=503)
            refusal = exchange.admit(request)
            if refusal is not None:
                return refusal
            socket = web.WebSocketResponse(compress=False, autoping=False)
            await socket.prepare(request)
            transport = request.transport
            if not isinstance(transport, asyncio.Transport):
                return socket
            connection = Connection(next(self._numbers), exchange.name, socket, transport)
            self._streams.connections[connection.number] = connection
            try:
                exchange.greet(connection, request)
                await self._listen(exchange, connection, socket)
            finally:
                self._ended.update(_counts(connection))
                self._streams.forget(connection)
            return socket

        return handle

    async def _listen(self, exchange: ExchangeServer, connection: Connection, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            connection.heard_at = time.time()
            data: Any = message.data
            if message.type is WSMsgType.TEXT:
                exchange.hear(connection, data)
            elif message.type is WSMsgType.BINARY:
                exchange.hear(connection, bytes(data).decode(errors="replace"))
            elif message.type is WSMsgType.PING and not exchange.is_muted:
                connection.pong(bytes(data))


def _counts(connection: Connection) -> dict[str, int]:
    return {"frames": connection.frames, "books": connection.books, "trades": connection.trades}
