"""CoinMarketCap Pro API (https://coinmarketcap.com/api/documentation): market capitalisations and metadata of coins.

Active coins come from listings/latest with their capitalisations, inactive and untracked ones from the id map without any.
The map matters: names and contracts of coins that were delisted are needed for links and for history.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import PndError, QuotaExhaustedError, SettingError, SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.snapshots.collected import Collected, Page, Parsed, frame_of, read_pages, write_snapshot
from pnd_dagster.snapshots.fields import Field, count, identifier, lower_text, merged, number, objects, read_rows, text, timestamp
from pnd_dagster.snapshots.http import Vendor, VendorClient
from pnd_dagster.snapshots.token_standards import token_standard
from pnd_dagster.tables import COINMARKETCAP_SNAPSHOTS

LISTINGS = "v1/cryptocurrency/listings/latest"
ID_MAP = "v1/cryptocurrency/map"
PAGE_SIZE = 5_000
MAX_SUPPLY = 1e30
MAX_RANK = 2**31 - 1
_KEY_CODES = {1001, 1002, 1005, 1007}
_PLAN_CODES = {1006}
_PAYMENT_CODES = {1003, 1004}
_EXHAUSTED_CODES = {1009: "today's", 1010: "this month's"}

_COIN = (
    Field("coin_id", ("id",), identifier, "identity"),
    Field("symbol", ("symbol",), text, "identity"),
    Field("name", ("name",), text, "identity"),
    Field("slug", ("slug",), text, "identity"),
    Field("platform_name", ("platform", "name"), text),
    Field("contract_address", ("platform", "token_address"), lower_text),
)
LISTING_FIELDS = (
    *_COIN,
    Field("price_usd", ("quote", "USD", "price"), number(), "essential"),
    Field("market_cap_usd", ("quote", "USD", "market_cap"), number(), "essential"),
    Field("volume_24h_usd", ("quote", "USD", "volume_24h"), number()),
    # Projects report what they like: an absurd capitalisation of theirs does not refuse the coin.
    Field("self_reported_market_cap_usd", ("self_reported_market_cap",), number()),
    Field("self_reported_circulating_supply", ("self_reported_circulating_supply",), number(0, MAX_SUPPLY)),
    Field("circulating_supply", ("circulating_supply",), number(0, MAX_SUPPLY)),
    Field("rank", ("cmc_rank",), count(MAX_RANK)),
    Field("added_at", ("date_added",), timestamp),
)
MAP_FIELDS = _COIN


def _explain(status: int, body: Any, headers: Mapping[str, str]) -> PndError | None:
    code = _status_number(body, "error_code")
    if code in _EXHAUSTED_CODES:
        return QuotaExhaustedError(f"CoinMarketCap: {_EXHAUSTED_CODES[code]} credits of the plan are used up (error {code})")
    if code in _PAYMENT_CODES:
        return QuotaExhaustedError(f"CoinMarketCap: the subscription is not paid (error {code})")
    if code in _KEY_CODES:
        return SettingError(f"PND_COINMARKETCAP_KEY: CoinMarketCap refuses the key (error {code})")
    if code in _PLAN_CODES:
        return SettingError(f"PND_COINMARKETCAP_KEY: the key's plan does not include what was asked (error {code})")
    return None


def _status_number(body: Any, name: str) -> int:
    """A number of the answer's status; version 3 gives it as text."""
    status = body.get("status") if isinstance(body, dict) else None
    value = str(status.get(name)) if isinstance(status, dict) else ""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 15 else 0


VENDOR = Vendor(
    "coinmarketcap", "CoinMarketCap", "X-CMC_PRO_API_KEY", explain=_explain, cost=lambda body: _status_number(body, "credit_count")
)


def collect_coinmarketcap(
    engine: sa.Engine, settings: Settings, now: datetime, *, sleep: Callable[[float], None] = time.sleep
) -> Collected:
    """Stores what CoinMarketCap says of all coins it knows, inactive ones included, as of `now`.

    Args:
        engine: the platform's database.
        settings: the key and the address.
        now: the snapshot's time.
        sleep: waits between attempts.

    Raises:
        SettingError: the key is missing or refused.
        QuotaExhaustedError: the plan's credits are used up.
        SourceError: CoinMarketCap's answers have changed; names the field.
        TransientError: CoinMarketCap cannot be reached or is busy.
        DatabaseError: Postgres refused.
    """
    client = VendorClient(VENDOR, settings.coinmarketcap_url, settings.coinmarketcap_key, engine, sleep=sleep)

    def ask(path: str, **parameters: str) -> Callable[[int, int], Page]:
        def page(_page_number: int, read: int) -> Page:
            body = client.get(path, start=read + 1, limit=PAGE_SIZE, **parameters)
            return Page(objects(f"CoinMarketCap {path}", body, "data"), _status_number(body, "total_count") or None)

        return page

    # By the date of listing: unlike the rank it does not move while pages are read.
    listed, announced = read_pages(f"CoinMarketCap {LISTINGS}", ask(LISTINGS, convert="USD", sort="date_added", sort_dir="asc"), PAGE_SIZE)
    gone, announced_gone = read_pages(f"CoinMarketCap {ID_MAP}", ask(ID_MAP, listing_status="inactive,untracked", sort="id"), PAGE_SIZE)
    parsed = joined(parse_listings(listed, now), parse_id_map(gone, now))
    total = None if announced is None else announced + (announced_gone or len(gone))
    return write_snapshot(engine, COINMARKETCAP_SNAPSHOTS, client, parsed, now, total)


def parse_listings(items: list[Any], snapshot_at: datetime) -> Parsed:
    """Rows of raw.coinmarketcap_snapshots from the objects of listings/latest, versions 1 and 3.

    Raises:
        SourceError: there are none, or no row has a field that all need.
    """
    if not items:
        raise SourceError(f"CoinMarketCap {LISTINGS}: the list is empty")
    rows = read_rows(f"CoinMarketCap {LISTINGS}", items, LISTING_FIELDS, view=_with_quotes_by_currency)
    return _with_standards(frame_of(COINMARKETCAP_SNAPSHOTS, rows, snapshot_at=snapshot_at, is_active=True), items)


def parse_id_map(items: list[Any], snapshot_at: datetime) -> Parsed:
    """Rows of raw.coinmarketcap_snapshots from the objects of the id map's inactive and untracked coins, without capitalisations.

    Raises:
        SourceError: no row has a field that all need.
    """
    rows = read_rows(f"CoinMarketCap {ID_MAP}", items, MAP_FIELDS)
    return _with_standards(frame_of(COINMARKETCAP_SNAPSHOTS, rows, snapshot_at=snapshot_at, is_active=False), items)


def joined(listed: Parsed, gone: Parsed) -> Parsed:
    """Both as one; a coin that stands in both, because it changed in between, counts as listed."""
    rest = gone.frame.filter(~pl.col("coin_id").is_in(listed.frame["coin_id"].implode()))
    return Parsed(pl.concat([listed.frame, rest]), listed.refusals + gone.refusals, merged([listed.unread, gone.unread]))


def _with_quotes_by_currency(item: Any) -> Any:
    """Version 3 gives a list of quotes, version 1 an object by currency."""
    quotes = item.get("quote") if isinstance(item, dict) else None
    if not isinstance(quotes, list):
        return item
    by_currency = {quote["symbol"]: quote for quote in quotes if isinstance(quote, dict) and isinstance(quote.get("symbol"), str)}
    return {**item, "quote": by_currency}


def _with_standards(parsed: Parsed, items: list[Any]) -> Parsed:
    tags = {item["id"]: _tags(item) for item in items if isinstance(item, dict) and isinstance(item.get("id"), int)}
    coins = parsed.frame.select("coin_id", "platform_name").iter_rows()
    standards = [token_standard(platform, tags.get(coin_id, ())) for coin_id, platform in coins]
    return parsed._replace(frame=parsed.frame.with_columns(pl.Series("token_standard", standards, dtype=pl.String)))


def _tags(item: dict[str, Any]) -> list[str]:
    tags = item.get("tags")
    slugs = [tag.get("slug") if isinstance(tag, dict) else tag for tag in tags] if isinstance(tags, list) else []
    return [slug for slug in slugs if isinstance(slug, str)]
