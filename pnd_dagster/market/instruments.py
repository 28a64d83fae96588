"""What the exchanges list: spot USDT markets with the time they were listed, each listing an instrument of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.market.derivatives import classify
from pnd_dagster.market.rest import ask, open_client, translated
from pnd_dagster.settings import Settings
from pnd_dagster.storage import Written, locks, read_frame, transaction, upsert
from pnd_dagster.tables import INSTRUMENTS, polars_schema

QUOTE = "USDT"
# A list that lost more than this share since the last one is a broken answer, not a mass delisting.
MIN_REMAINING_RATIO = 0.5
# Of a token that lives on several networks, CoinMarketCap mostly names the contract of the first of these.
_NETWORKS = ("ERC20", "ETH", "BEP20", "BSC", "SOL", "SPL", "TRC20", "TRX", "MATIC", "POLYGON", "ARBONE", "ARBITRUM", "BASE", "AVAXC")
_CONTRACT_FIELDS = ("contractAddress", "contract", "contract_address")


class ListedMarket(NamedTuple):
    """A spot USDT market that an exchange says is open; increments in USDT and base units."""

    market_id: str
    symbol: str
    base_symbol: str
    quote_symbol: str
    base_id: str
    quote_id: str
    base_name: str | None = None
    contract_address: str | None = None
    price_increment: float | None = None
    amount_increment: float | None = None


class Refreshed(NamedTuple):
    """What a refresh wrote by exchange, and which exchanges failed and why."""

    written: dict[str, Written]
    errors: dict[str, str]


def refresh_exchanges(
    engine: sa.Engine, settings: Settings, now: datetime, *, on_progress: Callable[[str], object] = lambda message: None
) -> Refreshed:
    """Brings core.instruments up to date with the market lists of all exchanges of the settings; one that fails stops no other.

    Raises:
        TransientError: none could be read.
        SettingError: ccxt does not know an exchange.
    """
    answers = asyncio.run(_read_all(settings))
    refreshed = Refreshed({}, {})
    for exchange, answer in answers.items():
        try:
            if isinstance(answer, BaseException):
                raise answer
            refreshed.written[exchange] = refresh_instruments(engine, exchange, answer, now)
            on_progress(f"{exchange}: {len(answer)} markets")
        except (SourceError, TransientError) as error:
            refreshed.errors[exchange] = str(error)
            on_progress(f"{exchange}: left as it was: {error}")
    if not refreshed.written and refreshed.errors:
        raise TransientError("no exchange gave its markets: " + "; ".join(refreshed.errors.values()))
    return refreshed


async def _read_all(settings: Settings) -> dict[str, list[ListedMarket] | BaseException]:
    answers = await asyncio.gather(*(_read(exchange, settings.exchange_url) for exchange in settings.exchanges), return_exceptions=True)
    if wrong := [
        answer for answer in answers if isinstance(answer, BaseException) and not isinstance(answer, SourceError | TransientError)
    ]:
        raise wrong[0]
    return dict(zip(settings.exchanges, answers, strict=True))


async def _read(exchange: str, url: str | None) -> list[ListedMarket]:
    async with open_client(exchange, url=url, with_currencies=True) as client:
        return await listed_markets(client)


async def listed_markets(client: Any) -> list[ListedMarket]:
    """The open spot USDT markets of a ccxt client, ordered by id.

    Raises:
        TransientError, SourceError: the exchange cannot be read.
    """
    await ask(client, "load_markets")
    with translated(client):
        # By id and not by symbol: ccxt keeps one market of each symbol only.
        markets = [market for same_id in client.markets_by_id.values() for market in same_id]
        return sorted((_listed(client, market) for market in markets if is_open_spot_market(market)), key=lambda market: market.market_id)


def is_open_spot_market(market: Mapping[str, Any]) -> bool:
    """True for a ccxt market that is spot, quoted in USDT and not closed."""
    return bool(market["spot"]) and market["quote"] == QUOTE and market["active"] is not False


def refresh_instruments(engine: sa.Engine, exchange: str, markets: Iterable[ListedMarket], now: datetime) -> Written:
    """Brings the instruments of one exchange up to date with its list of open markets.

    A market seen for the first time, back again, or whose base currency has another id becomes a new instrument, valid from `now`; one
    that is gone is kept, valid to `now`. Run twice, nothing changes.

    Raises:
        SourceError: the list is empty or lost more than half of what it held: nothing is changed.
    """
    found = {market.market_id: market for market in markets}
    with transaction(engine) as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(locks.INSTRUMENTS, sa.func.hashtext(exchange))))
        current = read_frame(engine, sa.select(INSTRUMENTS).where(INSTRUMENTS.c.exchange == exchange, INSTRUMENTS.c.valid_to.is_(None)))
        if not found or len(found) < MIN_REMAINING_RATIO * current.height:
            raise SourceError(
                f"{exchange}: lists {len(found)} markets, {current.height} before; taken for a broken answer, nothing changed"
            )
        others = sa.select(INSTRUMENTS.c.base_symbol).distinct().where(~INSTRUMENTS.c.is_derivative, INSTRUMENTS.c.valid_to.is_(None))
        rows = _instruments(exchange, found, current, read_frame(engine, others)["base_symbol"].to_list(), now)
        gone = current.join(rows, on="instrument_id", how="anti").with_columns(valid_to=pl.lit(now))
        return upsert(connection, INSTRUMENTS, pl.concat([gone, rows]))


def _instruments(exchange: str, found: Mapping[str, ListedMarket], current: pl.DataFrame, known: list[str], now: datetime) -> pl.DataFrame:
    same = {(row["market_id"], row["base_id"]): row for row in current.iter_rows(named=True)}
    names = {market.base_symbol: market.base_name for market in found.values()}
    derivatives = classify(names, known, names=names)
    rows: list[dict[str, Any]] = []
    for market in found.values():
        before = same.get((market.market_id, market.base_id))
        valid_from = before["valid_from"] if before else now
        derivative = derivatives[market.base_symbol]
        rows.append(
            {
                "instrument_id": before["instrument_id"] if before else instrument_id(exchange, market.market_id, valid_from),
                "exchange": exchange,
                **market._asdict(),
                "is_derivative": derivative is not None,
                "derivative_of": derivative.base if derivative else None,
                "valid_from": valid_from,
            }
        )
    return pl.DataFrame(rows, schema=polars_schema(INSTRUMENTS))


def instrument_id(exchange: str, market_id: str, valid_from: datetime) -> int:
    """Hash of 63 bits that names a listing."""
    text = f"{exchange}\0{market_id}\0{valid_from.timestamp():.6f}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _listed(client: Any, market: Mapping[str, Any]) -> ListedMarket:
    info = market["info"]
    currency: Mapping[str, Any] = (client.currencies_by_id or {}).get(market["baseId"]) or {}
    details = currency.get("info") or {}
    # The exchange's own ticker, as channels and vendors write it; ccxt renames some to tell namesakes apart.
    ticker = details.get("tag") if client.id == "latoken" else market["baseId"]
    return ListedMarket(
        market_id=str(market["id"]),
        symbol=market["symbol"],
        base_symbol=_clean(ticker or market["base"] or "").upper(),
        quote_symbol=QUOTE,
        base_id=str(market["baseId"]),
        quote_id=str(market["quoteId"]),
        base_name=_clean(details.get("fullName") or currency.get("name") or info.get("fullName") or "") or None,
        contract_address=_contract(currency, details, info),
        price_increment=market["precision"]["price"],
        amount_increment=market["precision"]["amount"],
    )


def _contract(currency: Mapping[str, Any], details: Mapping[str, Any], info: Mapping[str, Any]) -> str | None:
    networks = [network for network in (currency.get("networks") or {}).values() if isinstance(network, Mapping)]
    ranked = sorted(networks, key=lambda network: _rank(network))
    sources = [*(network.get("info") or {} for network in ranked), details, info]
    addresses = (str(source.get(field) or "") for source in sources for field in _CONTRACT_FIELDS)
    return next((_clean(address).lower() for address in addresses if len(address) > 10), None)


def _rank(network: Mapping[str, Any]) -> int:
    names = {str(network.get(field)).upper() for field in ("network", "code", "id")}
    return next((place for place, name in enumerate(_NETWORKS) if name in names), len(_NETWORKS))


def _clean(text: str) -> str:
    """Text that Postgres stores: no NUL, no lone surrogate, no space around."""
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip()
