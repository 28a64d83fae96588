"""Loopback stand-ins for LunarCrush, CoinMarketCap and CoinCodex under /lunarcrush, /coinmarketcap and /coincodex.

They answer in the vendors' shapes, ask for a key where the vendors do, keep to their page limits, count credits, and misbehave on command.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args

from aiohttp import web

from pnd_dagster.simulator import vendor_data as data
from pnd_dagster.simulator.universe import Coin, Universe

VENDOR_KEY = "simulated-vendor-key"
VENDORS = ("lunarcrush", "coinmarketcap", "coincodex")
COINMARKETCAP_MAX_LIMIT = 5_000
COINS_PER_CREDIT = 200
LUNARCRUSH_MAX_LIMIT = 1_000
COINCODEX_MAX_POINTS = 600

# status: that HTTP status, with Retry-After from `value` if it has one (seconds, or "date:seconds").
# exhausted: CoinMarketCap's 429 with the error code in `value` (1009 day, 1010 month). truncated: half of the JSON under a matching
# length. cut: the connection ends in the middle of the body. slow: `value` seconds pass before the answer. garbage: HTML with status 200.
FaultKind = Literal["429", "402", "401", "403", "404", "500", "503", "exhausted", "truncated", "cut", "slow", "garbage", "redirect"]
Change = Callable[[Any], Any]
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Fault(NamedTuple):
    """What goes wrong with one answer."""

    kind: FaultKind
    value: str = ""


class VendorFaults:
    """What shall go wrong, by vendor. Safe to use from another thread than the server's.

    Attributes:
        taken: vendor and fault of every answer that went wrong.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[str, Fault]] = []
        self._queues: dict[str, deque[Fault]] = {vendor: deque() for vendor in VENDORS}
        self._changes: dict[str, Change] = {}

    def inject(self, vendor: str, kind: FaultKind, value: str = "", *, times: int = 1) -> None:
        """The next `times` answers of `vendor` go wrong so.

        Raises:
            ValueError: no such vendor or kind.
        """
        if vendor not in VENDORS or kind not in get_args(FaultKind):
            raise ValueError(f"{vendor} {kind}: expected one of {', '.join(VENDORS)} and one of {', '.join(get_args(FaultKind))}")
        self._queues[vendor].extend([Fault(kind, value)] * times)

    def change(self, vendor: str, how: Change | None) -> None:
        """From now on `vendor` answers with what `how` makes of its JSON, until None is given."""
        if how is None:
            self._changes.pop(vendor, None)
        else:
            self._changes[vendor] = how

    def next(self, vendor: str) -> Fault | None:
        """Takes the fault of the answer that is due."""
        try:
            fault = self._queues[vendor].popleft()
        except IndexError:
            return None
        self.taken.append((vendor, fault))
        return fault

    def changed(self, vendor: str, body: Any) -> Any:
        """The answer's JSON as the vendor gives it today."""
        return self._changes[vendor](body) if vendor in self._changes else body


def rename_field(old: str, new: str | None) -> Change:
    """A change that renames a field in every object of an answer, or takes it away with None."""

    def change(body: Any) -> Any:
        if isinstance(body, list):
            return [change(part) for part in body]
        if not isinstance(body, dict):
            return body
        return {new if key == old else key: change(part) for key, part in body.items() if key != old or new is not None}

    return change


class _Vendors:
    """The routes' handlers: the universe, and the time that `clock` gives."""

    def __init__(self, universe: Universe, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        # Prices are the universe's when the server starts, as on the simulated exchanges.
        self._anchor = clock()
        listed = data.listed_ids(universe)
        coins = [coin for coin in universe.coins if not coin.is_leveraged]
        self._gone = [coin for coin in coins if data.is_gone(coin, listed)]
        gone = {coin.coin_id for coin in self._gone}
        self._active = sorted((coin for coin in coins if coin.coin_id not in gone), key=lambda coin: (coin.added_at, coin.coin_id))
        by_cap = sorted(self._active, key=lambda coin: -(coin.verified_cap or 0))
        self._ranks = {coin.coin_id: rank for rank, coin in enumerate(by_cap, 1)}
        self._followed = [coin for coin in by_cap if data.share(coin, "followed") < 0.8]
        self._by_lunarcrush_id = {data.lunarcrush_id(coin): coin for coin in self._followed}
        self._by_key = data.coincodex_keys(universe._replace(coins=tuple(coins)))

    async def coinmarketcap_listings(self, request: web.Request) -> web.Response:
        start, limit = _whole(request, "start", 1), _whole(request, "limit", 100)
        if not (1 <= limit <= COINMARKETCAP_MAX_LIMIT and start >= 1):
            return self._coinmarketcap(400, error=400, message=f'"limit" must be less than or equal to {COINMARKETCAP_MAX_LIMIT}')
        now = self._clock()
        page = self._active[start - 1 : start - 1 + limit]
        found = [data.coinmarketcap_listing(coin, self._ranks[coin.coin_id], now, anchor=self._anchor) for coin in page]
        return self._coinmarketcap(200, found, total=len(self._active), credit_count=-(-len(page) // COINS_PER_CREDIT) or 1)

    async def coinmarketcap_map(self, request: web.Request) -> web.Response:
        start, limit = _whole(request, "start", 1), _whole(request, "limit", 100)
        if not 1 <= limit <= COINMARKETCAP_MAX_LIMIT:
            return self._coinmarketcap(400, error=400, message=f'"limit" must be less than or equal to {COINMARKETCAP_MAX_LIMIT}')
        statuses = request.query.get("listing_status", "active").split(",")
        entries = [entry for entry in map(data.coinmarketcap_map_entry, self._gone) if entry["status"] in statuses]
        return self._coinmarketcap(200, sorted(entries, key=lambda entry: entry["id"])[start - 1 : start - 1 + limit], credit_count=1)

    async def lunarcrush_list(self, request: web.Request) -> web.Response:
        limit, page = min(_whole(request, "limit", 10), LUNARCRUSH_MAX_LIMIT), _whole(request, "page", 0)
        now = self._clock()
        coins = self._followed[page * limit : (page + 1) * limit]
        ranks = range(page * limit + 1, len(self._followed) + 1)
        found = [data.lunarcrush_coin(coin, rank, now, anchor=self._anchor) for coin, rank in zip(coins, ranks, strict=False)]
        config = {"sort": "market_cap_rank", "limit": limit, "page": page, "total_rows": len(self._followed)}
        return _json(200, {"config": {**config, "generated": int(now.timestamp())}, "data": found})

    async def lunarcrush_series(self, request: web.Request) -> web.Response:
        coin = self._by_lunarcrush_id.get(int(request.match_info["coin"]))
        if coin is None:
            return _json(404, {"error": "coin not found"})
        today = self._clock().date()
        days = [today - timedelta(days=back) for back in range(7, -1, -1)]
        found = [data.lunarcrush_day(coin, day, anchor=self._anchor) for day in days]
        config = {"id": f"coins:{request.match_info['coin']}", "symbol": coin.symbol, "interval": "1w", "bucket": "day"}
        return _json(200, {"config": config, "data": found})

    async def coincodex_coins(self, _request: web.Request) -> web.Response:
        now = self._clock()
        ranked = enumerate(self._by_key.items(), 1)
        return _json(200, [data.coincodex_coin(key, coin, rank, now, anchor=self._anchor) for rank, (key, coin) in ranked])

    async def coincodex_history(self, request: web.Request) -> web.Response:
        key = request.match_info["symbol"]
        coin = self._by_key.get(key)
        try:
            first, last = (date.fromisoformat(request.match_info[name]) for name in ("first", "last"))
            samples = int(request.match_info["samples"])
        except ValueError:
            return _json(422, {"error": "unprocessable"})
        if coin is None:
            return _json(200, {key: []})
        return _json(200, {key: list(self._points(coin, first, last, samples))})

    def _points(self, coin: Coin, first: date, last: date, samples: int) -> Iterator[list[Any]]:
        start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, last + timedelta(days=1)))
        count = max(1, min(samples, COINCODEX_MAX_POINTS))
        for number in range(count):
            at = start + (end - start) * (number + 0.5) / count
            if coin.added_at <= at <= self._clock():
                yield data.coincodex_point(coin, at, anchor=self._anchor)

    def _coinmarketcap(
        self, http_status: int, found: Any = None, *, total: int | None = None, credit_count: int = 0, error: int = 0, message: str = ""
    ) -> web.Response:
        status = {
            "timestamp": self._clock().strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "error_code": error,
            "error_message": message or None,
            "elapsed": 10,
            "credit_count": credit_count,
            "notice": None,
            **({} if total is None else {"total_count": total}),
        }
        return _json(http_status, {"status": status} if found is None else {"status": status, "data": found})


def add_vendor_routes(
    app: web.Application,
    universe: Universe,
    *,
    faults: VendorFaults | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    on_request: Callable[[str], object] = lambda address: None,
) -> None:
    """Adds the three vendors' routes; `{url}/lunarcrush` etc. are then their base addresses, and `VENDOR_KEY` is their key.

    Args:
        app: the server, not yet running.
        universe: the coins that the vendors know.
        faults: what shall go wrong.
        clock: what time it is for the vendors.
        on_request: called with path and query of every request.
    """
    vendors = _Vendors(universe, clock)
    failing = faults or VendorFaults()
    routes: tuple[tuple[str, str, Handler], ...] = (
        ("coinmarketcap", "/v1/cryptocurrency/listings/latest", vendors.coinmarketcap_listings),
        ("coinmarketcap", "/v1/cryptocurrency/map", vendors.coinmarketcap_map),
        ("lunarcrush", "/api4/public/coins/list/v2", vendors.lunarcrush_list),
        ("lunarcrush", r"/api4/public/coins/{coin:\d+}/time-series/v2", vendors.lunarcrush_series),
        ("coincodex", "/apps/coincodex/cache/all_coins.json", vendors.coincodex_coins),
        ("coincodex", "/api/coincodex/get_coin_history/{symbol}/{first}/{last}/{samples}", vendors.coincodex_history),
    )
    for vendor, path, handler in routes:
        app.router.add_get(f"/{vendor}{path}", _guarded(vendor, handler, failing, on_request))


def _guarded(vendor: str, handler: Handler, faults: VendorFaults, on_request: Callable[[str], object]) -> Handler:
    async def guarded(request: web.Request) -> web.Response:
        on_request(request.path_qs)
        if (denied := _denied(vendor, request)) is not None:
            return denied
        fault = faults.next(vendor)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(float(fault.value))
        elif fault is not None and (failed := _failed(fault)) is not None:
            return failed
        answer = await handler(request)
        body = answer.body if isinstance(answer.body, bytes) else b""
        if answer.status == 200:
            body = json.dumps(faults.changed(vendor, json.loads(body))).encode()
        if fault is not None and fault.kind == "truncated":
            body = body[: len(body) // 2]
        if fault is not None and fault.kind == "cut":
            return await _cut(request, body)
        return web.Response(body=body, status=answer.status, content_type="application/json")

    return guarded


def _denied(vendor: str, request: web.Request) -> web.Response | None:
    """401 for a request without the key, in the vendor's words."""
    if vendor == "coinmarketcap" and request.headers.get("X-CMC_PRO_API_KEY") != VENDOR_KEY:
        code, message = (1001, "This API Key is invalid.") if "X-CMC_PRO_API_KEY" in request.headers else (1002, "API key missing.")
        return _json(401, {"status": {"error_code": code, "error_message": message, "credit_count": 0}})
    if vendor == "lunarcrush" and request.headers.get("Authorization") != f"Bearer {VENDOR_KEY}":
        return _json(401, {"error": "Invalid or missing API key"})
    return None


def _failed(fault: Fault) -> web.Response | None:
    """The answer that stands for a fault, None for faults of an answer's body."""
    if fault.kind.isdigit():
        headers = {"Retry-After": _retry_after(fault.value)} if fault.value else {}
        answer = _json(int(fault.kind), {"status": {"error_code": 0, "error_message": f"injected {fault.kind}"}})
        answer.headers.update(headers)
        return answer
    if fault.kind == "exhausted":
        message = "You've exceeded your API Key's rate limit."
        return _json(429, {"status": {"error_code": int(fault.value or 1010), "error_message": message, "credit_count": 0}})
    if fault.kind == "garbage":
        return web.Response(text="<html><body>Just a moment...</body></html>", content_type="text/html")
    if fault.kind == "redirect":
        return web.Response(status=302, headers={"Location": fault.value or "https://example.invalid/"})
    return None


def _retry_after(value: str) -> str:
    kind, _, seconds = value.rpartition(":")
    return email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=float(seconds)), usegmt=True) if kind == "date" else value


async def _cut(request: web.Request, body: bytes) -> web.Response:
    """Ends the connection after half of the body that was announced."""
    transport = request.transport
    if transport is not None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        transport.write(head.encode() + body[: len(body) // 2])
        transport.close()
    raise asyncio.CancelledError


def _whole(request: web.Request, name: str, default: int) -> int:
    value = request.query.get(name, "")
    return int(value) if value.isdigit() else default


def _json(status: int, body: Any) -> web.Response:
    return web.Response(body=json.dumps(body).encode(), status=status, content_type="application/json")


class VendorServer(NamedTuple):
    """A running server: its address, what shall go wrong, and path and query of every request it got."""

    url: str
    faults: VendorFaults
    requests: list[str]


@contextmanager
def serve_vendors(universe: Universe, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Generator[VendorServer]:
    """Serves the vendors from a thread, on a free port of 127.0.0.1, while the context lasts."""
    loop = asyncio.new_event_loop()
    faults, asked = VendorFaults(), list[str]()

    async def start() -> tuple[web.AppRunner, int]:
        app = web.Application()
        add_vendor_routes(app, universe, faults=faults, clock=clock, on_request=asked.append)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    thread = threading.Thread(target=loop.run_forever, name="vendors", daemon=True)
    thread.start()
    try:
        runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        try:
            yield VendorServer(f"http://127.0.0.1:{port}", faults, asked)
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
