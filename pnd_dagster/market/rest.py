"""The exchanges' REST APIs through ccxt: a client that is set up, throttled and always closed, and its errors in our terms.

Belongs here: how a client is opened and asked. Does not belong here: what is asked for (`instruments`, `ohlcv`) and live streams (`feeds`).
"""

from __future__ import annotations

import asyncio
import email.utils
import math
import random
import re
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

from pnd_dagster.errors import SettingError, SourceError, TransientError
from pnd_dagster.market.feeds.protocol import BUY, SELL, UNKNOWN, Level

MAX_ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.5
# An exchange that asks for a longer pause is left alone: the caller goes on with the others and may come back.
MAX_PAUSE_SECONDS = 60.0
MAX_ERROR_CHARACTERS = 200

_ORIGIN = re.compile(r"^(https?|wss?)://[^/]+")
# ccxt calls nearly every status an outage; its texts read "id METHOD address status reason body".
_STATUS = re.compile(r"^\S+ [A-Z]+ \S+ (\d{3})\b")
_LASTING_STATUSES = frozenset({400, 401, 403, 404, 405, 407, 410, 422, 451})


class PublicTrade(NamedTuple):
    """A trade of the public tape: Unix seconds, USDT per base unit, base units, the taker's side."""

    trade_id: str | None
    at: float
    price: float
    quantity: float
    side: int


@asynccontextmanager
async def open_client(exchange: str, *, url: str | None = None, with_currencies: bool = False) -> AsyncGenerator[Any]:
    """A throttled ccxt client of the exchange's spot markets, closed at the end whatever happens.

    Args:
        exchange: ccxt's id.
        url: base address of simulated exchanges; every origin becomes `{url}/{exchange}`. None for the real exchange.
        with_currencies: also read the currencies with the markets, for their names and contracts.

    Raises:
        SettingError: ccxt knows no such exchange.
    """
    import ccxt.async_support as ccxt  # 1 s, and only what asks an exchange needs it

    if exchange not in ccxt.exchanges:
        raise SettingError(f"PND_EXCHANGES: ccxt knows no exchange {exchange!r}")
    client: Any = getattr(ccxt, exchange)({"enableRateLimit": True, "timeout": 20_000})
    configure(client, url=url, with_currencies=with_currencies)
    try:
        yield client
    finally:
        await client.close()


def configure(client: Any, *, url: str | None = None, with_currencies: bool = False) -> None:
    """Spot markets only, no currencies unless wanted, and all addresses below `url` where one is given. Works for ccxt.pro too."""
    # LATOKEN's markets are uuids of currencies: without the list they have no symbols.
    client.has["fetchCurrencies"] = client.id == "latoken" or (with_currencies and bool(client.has["fetchCurrencies"]))
    client.options["adjustForTimeDifference"] = False  # we sign nothing
    if client.id == "latoken":
        # ccxt keeps one currency of each symbol and drops the markets of the others.
        client.parse_currencies = lambda raw: {each["id"]: each for each in map(client.parse_currency, raw)}  # type: ignore[misc]
    if client.id == "kucoin":
        client.options["fetchMarkets"] = {"types": ["spot"], "fetchTickersFees": False}
    if hasattr(client, "fetch_spot_markets"):
        # MEXC, Poloniex and XT ask for their derivatives' markets too, whatever the options say (ccxt 4.5).
        client.fetch_markets = client.fetch_spot_markets
    client.handle_errors = _transient_first(client.id, client.handle_errors)
    if url is not None:
        client.urls["api"] = rebase(client.urls["api"], f"{url.rstrip('/')}/{client.id}")


def rebase(addresses: Any, base: str) -> Any:
    """`addresses` (a text, or dictionaries of them) with each origin replaced by `base`, paths kept; ws stays ws.

    Args:
        addresses: as in a ccxt client's `urls["api"]`.
        base: an http address, e.g. `http://127.0.0.1:18080/kucoin`.
    """
    if isinstance(addresses, Mapping):
        return {name: rebase(address, base) for name, address in addresses.items()}
    if not isinstance(addresses, str):
        return addresses
    socket_base = re.sub(r"^http", "ws", base)
    return _ORIGIN.sub(lambda origin: socket_base if origin[1].startswith("ws") else base, addresses)


async def ask(client: Any, method: str, *arguments: Any, attempts: int = MAX_ATTEMPTS, **parameters: Any) -> Any:
    """The answer of one of the client's methods, asked again with growing, jittered pauses while it fails for a moment.

    Raises:
        TransientError: it failed `attempts` times, or the exchange asks for a pause of more than a minute.
        SourceError: it refused, or answered what cannot be read.
    """
    for attempt in range(1, attempts + 1):
        try:
            with translated(client):
                return await getattr(client, method)(*arguments, **parameters)
        except TransientError as error:
            wanted = error.retry_after_seconds
            if attempt == attempts or (wanted is not None and wanted > MAX_PAUSE_SECONDS):
                raise
            backoff = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(1, 2)  # noqa: S311 - no secret hangs on it
            await asyncio.sleep(backoff if wanted is None else wanted + backoff / 10)
    raise AssertionError("attempts must be at least 1")


def _transient_first(exchange: str, handle_errors: Callable[..., Any]) -> Callable[..., Any]:
    """`handle_errors` of a ccxt client, after the status: an exchange's own error text would hide that it only wants to be left alone."""

    def checked(code: int, reason: str, url: str, method: str, headers: Mapping[str, str], *answer: Any) -> Any:
        if code in (408, 418, 425, 429) or code >= 500:
            text = f"{exchange}: {method} {url.partition('?')[0]} was answered {code} {reason}"
            raise TransientError(text[:MAX_ERROR_CHARACTERS], retry_after_seconds=_retry_after(headers))
        return handle_errors(code, reason, url, method, headers, *answer)

    return checked


@contextmanager
def translated(client: Any) -> Generator[None]:
    """Turns the errors of `client` into ours: time-outs, 408, 429 and 5xx into TransientError, all others into SourceError."""
    import ccxt

    try:
        yield
    except ccxt.NetworkError as error:
        status = _STATUS.match(str(error))
        if status is not None and int(status[1]) in _LASTING_STATUSES:
            raise SourceError(_one_line(client, error)) from error
        raise TransientError(_one_line(client, error)) from error
    except ccxt.BaseError as error:
        raise SourceError(_one_line(client, error)) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # What ccxt's parsers raise when an answer has another shape than they expect.
        raise SourceError(f"{client.id}: an answer cannot be read: {type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]) from error


async def server_time(client: Any) -> float:
    """The exchange's clock, Unix seconds.

    Raises:
        TransientError: it cannot be reached.
        SourceError: it gives no time.
    """
    # Asked once: a retry would count its pause as an offset.
    milliseconds = await ask(client, "fetch_time", attempts=1)
    if not milliseconds:
        raise SourceError(f"{client.id}: the answer names no time")
    return float(milliseconds) / 1_000


async def first_book(client: Any, symbol: str, *, depth: int = 20) -> tuple[list[Level], list[Level]]:
    """Bids and asks of the symbol, best first, at most `depth` levels each.

    Raises:
        TransientError, SourceError: see `ask`.
    """
    # Without a limit: each exchange allows other depths, and refuses the rest.
    book = await ask(client, "fetch_order_book", symbol)
    with translated(client):
        bids, asks = ([(float(level[0]), float(level[1])) for level in book[side][:depth]] for side in ("bids", "asks"))
    return bids, asks


async def recent_trades(client: Any, symbol: str, *, limit: int = 100) -> list[PublicTrade]:
    """The symbol's last trades in time order, at most `limit`; those without a time or with an absurd price or quantity are left out.

    Raises:
        TransientError, SourceError: see `ask`.
    """
    answer = await ask(client, "fetch_trades", symbol, None, limit)
    sides = {"buy": BUY, "sell": SELL}
    with translated(client):
        trades = [
            PublicTrade(
                trade["id"], trade["timestamp"] / 1_000, float(trade["price"]), float(trade["amount"]), sides.get(trade["side"], UNKNOWN)
            )
            for trade in answer
            if trade["timestamp"] and trade["price"] is not None and trade["amount"] is not None
        ]
    return sorted((trade for trade in trades if _is_positive(trade.price) and _is_positive(trade.quantity)), key=lambda trade: trade.at)


def _is_positive(number: float) -> bool:
    return math.isfinite(number) and number > 0


def _one_line(client: Any, error: Exception) -> str:
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return f"{client.id}: {kind}: {text.removeprefix(client.id).strip()}"[:MAX_ERROR_CHARACTERS]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of an answer's Retry-After, a number or an HTTP date."""
    value = next((text for name, text in headers.items() if name.lower() == "retry-after"), None)
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
