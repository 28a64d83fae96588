"""Fixtures of the simulated exchanges' tests: a server in the test's own loop, WebSocket clients, real ccxt clients."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from pnd_dagster.simulator.exchanges.server import SimulatedExchanges
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.universe import Universe, make_universe

SECONDS = 20.0
# Switches of ccxt: only spot markets, and books at once instead of after 25 changes. Its own pacing is off, to save time.
OPTIONS = {"fetchMarkets": {"types": ["spot"], "fetchTickersFees": False}, "watchOrderBook": {"snapshotDelay": 0}}


@pytest.fixture(scope="session")
def universe() -> Universe:
    """Coins of a small world."""
    return make_universe(7, 60)


class Client:
    """A WebSocket client that keeps all that it hears."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames: list[Any] = []
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for message in self.socket:
            self.frames.append(message.data)

    async def say(self, message: Any) -> None:
        """Sends a text, or an object as JSON."""
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    @property
    def messages(self) -> list[Any]:
        """The text frames that are JSON, decoded."""
        return [json.loads(frame) for frame in self.frames if isinstance(frame, str) and frame.startswith("{")]

    async def hears(self, found: Callable[[Any], Any], count: int = 1) -> list[Any]:
        """Waits for that many messages of a kind (raw frames where they are no JSON)."""

        def matching() -> list[Any]:
            decoded = [json.loads(it) if isinstance(it, str) and it.startswith("{") else it for it in self.frames]
            return [it for it in decoded if found(it)]

        await until(lambda: len(matching()) >= count, lambda: f"heard only {self.frames[:5]}")
        return matching()

    async def is_ended(self) -> int | None:
        """Waits for the end of the connection; the close code, if there was a handshake."""
        await asyncio.wait_for(self._listening, SECONDS)
        return self.socket.close_code


async def until(condition: Callable[[], Any], otherwise: Callable[[], str] = lambda: "it did not happen") -> None:
    """Waits for something to become true."""
    for _ in range(int(SECONDS / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(otherwise())


class Exchanges:
    """A running server and its clients."""

    def __init__(self, server: SimulatedExchanges, session: aiohttp.ClientSession) -> None:
        self.server, self.session = server, session

    async def connect(self, exchange: str) -> Client:
        """A WebSocket of an exchange, as its clients open it."""
        paths = {"latoken": "/stomp", "kucoin": "/endpoint", "mexc": "/ws", "poloniex": "/ws/public", "xt": "/public"}
        query = f"?token={await self.token()}&connectId=me" if exchange == "kucoin" else ""
        return Client(await self.session.ws_connect(f"{self.server.url}/{exchange}{paths[exchange]}{query}"))

    async def token(self) -> str:
        """KuCoin's."""
        async with self.session.post(f"{self.server.url}/kucoin/api/v1/bullet-public") as answer:
            return (await answer.json())["data"]["token"]

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a request."""
        async with self.session.get(f"{self.server.url}{path}") as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of a request with a JSON body."""
        async with self.session.post(f"{self.server.url}{path}", json=body) as answer:
            return answer.status, await answer.json()


@pytest.fixture
def serve(universe: Universe) -> Callable[..., Any]:
    """Starts a server: `async with serve(rate=..., time_factor=...) as exchanges`."""

    @asynccontextmanager
    async def serving(*, rate: float = 500.0, time_factor: float = 1.0) -> AsyncIterator[Exchanges]:
        world = World(universe, seed=3, rate=rate)
        async with SimulatedExchanges(world, time_factor=time_factor) as server, aiohttp.ClientSession() as session:
            yield Exchanges(server, session)

    return serving


@pytest.fixture
def point_at() -> Callable[[Any, str], Any]:
    """Points a real ccxt client at a server: every origin is replaced, nothing else."""

    def rebase(addresses: Any, base: str) -> Any:
        if isinstance(addresses, dict):
            return {key: rebase(value, base) for key, value in addresses.items()}
        return re.sub(r"^(http|ws)s?://[^/]+", lambda found: base.replace("http", found[1], 1), addresses)

    def point(client_class: Any, url: str) -> Any:
        client = client_class({"options": OPTIONS, "enableRateLimit": False})
        client.urls["api"] = rebase(client.urls["api"], f"{url}/{client.id}")
        return client

    return point


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
