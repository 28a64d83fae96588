"""What the five simulated exchanges have in common: their markets under their own names, REST answers, and a WebSocket that listens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar, NamedTuple

import msgspec
from aiohttp import web

from pnd_dagster.simulator.exchanges.candles import Candle
from pnd_dagster.simulator.exchanges.connections import Connection
from pnd_dagster.simulator.exchanges.faults import Faults
from pnd_dagster.simulator.exchanges.limits import Closing, Rate
from pnd_dagster.simulator.exchanges.market import Level, Market, Trade
from pnd_dagster.simulator.exchanges.streams import Streams
from pnd_dagster.simulator.exchanges.world import World

DAY_MS = 86_400_000
to_json = msgspec.json.encode
Handler = Callable[[web.Request], Awaitable[web.Response]]


class RequestError(Exception):
    """A request that the exchange refuses; the answer is the exchange's own."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Route(NamedTuple):
    """A REST route below the exchange's prefix. `units` is what it weighs against the rate limit; `{symbol}` names a market."""

    path: str
    handler: Handler
    units: float = 1.0
    method: str = "GET"


class DayStatistics(NamedTuple):
    """What tickers say of a day, as printed: the first price, the extremes, volumes in base units and USDT, the number of trades."""

    open: str
    high: str
    low: str
    volume: str
    quote_volume: str
    trade_count: int


def answer(payload: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=to_json(payload), status=status, headers=headers, content_type="application/json")


class ExchangeServer(ABC):
    """One simulated exchange.

    Attributes:
        name: canonical id, and the prefix of all its routes.
        socket_path: of its WebSocket, below the prefix.
        rest_rate: what its REST interface allows, in the units of its routes.
        time_factor: stretches all durations of limits and keepalives.
    """

    name: ClassVar[str]
    socket_path: ClassVar[str]
    rest_rate: ClassVar[Rate]

    def __init__(self, world: World, streams: Streams, faults: Faults, time_factor: float) -> None:
        self.world, self.streams, self.faults, self.time_factor = world, streams, faults, time_factor
        self._statistics: dict[str, tuple[date, DayStatistics]] = {}

    @abstractmethod
    def routes(self) -> Sequence[Route]:
        """Its REST interface."""

    @abstractmethod
    def error(self, status: int, retry_after: float | None = None) -> web.Response:
        """What it answers when it is asked too often (429) or fails (5xx)."""

    @abstractmethod
    def unknown_symbol(self, symbol: str) -> web.Response:
        """What it answers when a market does not exist."""

    @abstractmethod
    def base_of(self, symbol: str) -> str:
        """The base currency of a market as the exchange names it; anything if there is no such market."""

    @abstractmethod
    def hear(self, connection: Connection, text: str) -> None:
        """Takes a text frame of a client."""

    @abstractmethod
    def overdue(self, connection: Connection, now: float) -> Closing | None:
        """Why a connection is to be closed now. Called often; the place for heart-beats, too."""

    def admit(self, request: web.Request) -> web.Response | None:
        """A refusal of a WebSocket before its handshake; None lets it in."""
        return None

    def greet(self, connection: Connection, request: web.Request) -> None:  # noqa: B027
        """Tells a new WebSocket what it is told first, if anything."""

    @property
    def markets(self) -> dict[str, Market]:
        """Listed markets by base."""
        return self.world.markets[self.name]

    @property
    def milliseconds(self) -> int:
        """Its clock."""
        return self.streams.milliseconds(self.name)

    @property
    def is_muted(self) -> bool:
        """Whether pings are left without an answer."""
        return self.name in self.faults.muted

    def find(self, symbol: str) -> Market | None:
        """The market that the exchange names so."""
        return self.markets.get(self.base_of(symbol))

    def asked(self, request: web.Request) -> Market:
        """The market that a request is about.

        Raises:
            RequestError: there is no such market.
        """
        symbol = request.match_info.get("symbol") or request.query.get("symbol", "")
        market = self.find(symbol)
        if market is None:
            raise RequestError(self.unknown_symbol(symbol))
        return market

    def candles(self, market: Market, *, start: int | None, end: int | None, limit: int) -> list[Candle]:
        """Daily candles that begin from `start` to `end` (milliseconds; None: as late as `limit` allows, now), oldest first."""
        today = datetime.fromtimestamp(self.milliseconds / 1000, UTC).date()
        last = min(today, _day(end)) if end is not None else today
        first = _day(start + DAY_MS - 1) if start is not None else last - timedelta(days=limit - 1)
        if start is not None:
            last = min(last, first + timedelta(days=limit - 1))
        return self.world.candles(self.name, market.base, first, last) if first <= last else []

    def statistics(self, market: Market) -> DayStatistics:
        """Today's statistics, made once a day."""
        today = datetime.fromtimestamp(self.milliseconds / 1000, UTC).date()
        known = self._statistics.get(market.base)
        if known is None or known[0] != today:
            days = self.world.candles(self.name, market.base, today, today)
            if days:
                day = days[0]
                made = DayStatistics(
                    price(market, day.open),
                    price(market, day.high),
                    price(market, day.low),
                    quantity(market, day.volume),
                    f"{day.quote_volume:.8f}",
                    day.trade_count,
                )
            else:
                at = market.trades[-1].price
                made = DayStatistics(at, at, at, "0", "0", 0)
            known = self._statistics[market.base] = today, made
        return known[1]


def _day(milliseconds: int) -> date:
    return datetime.fromtimestamp(max(0, min(milliseconds, 253_402_000_000_000)) / 1000, UTC).date()


def whole_number(request: web.Request, name: str, default: int | None = None) -> int | None:
    """A whole number of a request's query; `default` where it is missing or none."""
    text = request.query.get(name, "")
    return int(text) if text.isdigit() else default


def limited(request: web.Request, *, default: int, most: int, name: str = "limit") -> int:
    """How many rows a request asks for."""
    return max(1, min(most, whole_number(request, name) or default))


def price(market: Market, value: float) -> str:
    """A price as the market prints it."""
    return f"{value:.{market.price_decimals}f}"


def quantity(market: Market, value: float) -> str:
    """A quantity as the market prints it."""
    return f"{value:.{market.quantity_decimals}f}"


def increment(decimals: int) -> str:
    """The smallest step with so many decimals."""
    return f"{10**-decimals:.{decimals}f}" if decimals > 0 else "1"


def cost(trade: Trade) -> str:
    """Price times quantity, USDT."""
    return f"{float(trade.price) * float(trade.quantity):.8f}"


def best(levels: Sequence[Level]) -> Level:
    """The best level of a side, zeros where it is empty."""
    return levels[0] if levels else ("0", "0")


def newest_first(market: Market, limit: int) -> list[Trade]:
    """The market's last trades."""
    return list(market.trades)[: -limit - 1 : -1]


def parse_json(text: str) -> dict[str, Any] | None:
    """A JSON object of a client, None if it is none."""
    try:
        message = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return message if isinstance(message, dict) else None


def texts(value: object) -> list[str]:
    """The strings of a list of a client, none if it is not a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
