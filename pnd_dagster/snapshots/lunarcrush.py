"""LunarCrush API v4 (https://lunarcrush.com/developers/api): social metrics of coins.

Documented for coins/list/v2: everything read here but likes and shares, which v4 no longer tells apart: its interactions are views,
likes, comments, shares and votes together. They are read where an answer has them, and are NULL otherwise.
Posts created and contributors stand in the time series of a coin only, at one request per coin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import PndError, QuotaExhaustedError, SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.snapshots.collected import Collected, Page, Parsed, frame_of, read_pages, write_snapshot
from pnd_dagster.snapshots.fields import Field, count, identifier, number, objects, read_rows, text
from pnd_dagster.snapshots.http import Vendor, VendorClient
from pnd_dagster.storage.dead_letters import Refusal
from pnd_dagster.tables import LUNARCRUSH_SNAPSHOTS

LIST = "api4/public/coins/list/v2"
SERIES = "api4/public/coins/{coin_id}/time-series/v2"
PAGE_SIZE = 1_000
DAY_SECONDS = 86_400
MAX_RANK = 2**31 - 1

FIELDS = (
    Field("coin_id", ("id",), identifier, "identity"),
    Field("symbol", ("symbol",), text, "identity"),
    Field("name", ("name",), text),
    Field("price_usd", ("price",), number(), "essential"),
    Field("market_cap_usd", ("market_cap",), number(), "essential"),
    Field("volume_24h_usd", ("volume_24h",), number()),
    Field("likes", ("likes",), count(), "undocumented"),
    Field("shares", ("shares",), count(), "undocumented"),
    Field("interactions", ("interactions_24h",), count(), "essential"),
    Field("social_dominance", ("social_dominance",), number(0, 100), "essential"),
    Field("sentiment", ("sentiment",), number(0, 100)),
    Field("posts_active", ("social_volume_24h",), count()),
    Field("galaxy_score", ("galaxy_score",), number(0, 100)),
    Field("alt_rank", ("alt_rank",), count(MAX_RANK)),
)
SERIES_FIELDS = (
    Field("time", ("time",), count(), "identity"),
    Field("posts_created", ("posts_created",), count(), "essential"),
    Field("contributors", ("contributors_active",), count(), "essential"),
)


def _explain(status: int, body: Any, headers: Mapping[str, str]) -> PndError | None:
    # Seen in answers, not documented: what is left of the plan's requests today.
    if status == 429 and headers.get("x-rate-limit-day-remaining") == "0":
        return QuotaExhaustedError("LunarCrush: today's requests of the plan are used up")
    return None


VENDOR = Vendor("lunarcrush", "LunarCrush", "Authorization", "Bearer {}", explain=_explain)


def collect_lunarcrush(
    engine: sa.Engine,
    settings: Settings,
    now: datetime,
    *,
    detailed_symbols: Collection[str] = (),
    sleep: Callable[[float], None] = time.sleep,
) -> Collected:
    """Stores what LunarCrush says of all coins it follows, as of `now`.

    Args:
        engine: the platform's database.
        settings: the key and the address.
        now: the snapshot's time.
        detailed_symbols: coins of these symbols are asked one by one for posts created and contributors of the last whole day.
        sleep: waits between attempts.

    Raises:
        SettingError: the key is missing or refused.
        QuotaExhaustedError: the plan's requests are used up.
        SourceError: LunarCrush's answers have changed; names the field.
        TransientError: LunarCrush cannot be reached or is busy.
        DatabaseError: Postgres refused.
    """
    client = VendorClient(VENDOR, settings.lunarcrush_url, settings.lunarcrush_key, engine, sleep=sleep)

    def ask(page_number: int, _read: int) -> Page:
        body = client.get(LIST, limit=PAGE_SIZE, page=page_number, sort="market_cap_rank")
        config = body.get("config") if isinstance(body, dict) else None
        total = config.get("total_rows") if isinstance(config, dict) else None
        return Page(objects("LunarCrush coins/list", body, "data"), total if isinstance(total, int) else None)

    items, announced = read_pages("LunarCrush coins/list", ask, PAGE_SIZE)
    parsed = parse_coins(items, now)
    if detailed_symbols:
        parsed = _with_details(client, parsed, set(detailed_symbols), now)
    return write_snapshot(engine, LUNARCRUSH_SNAPSHOTS, client, parsed, now, announced)


def parse_coins(items: list[Any], snapshot_at: datetime) -> Parsed:
    """Rows of raw.lunarcrush_snapshots from the objects of coins/list/v2.

    Raises:
        SourceError: there are none, or no row has a field that all need.
    """
    if not items:
        raise SourceError("LunarCrush coins/list: the list is empty")
    return frame_of(LUNARCRUSH_SNAPSHOTS, read_rows("LunarCrush coins/list", items, FIELDS), snapshot_at=snapshot_at)


def parse_series(items: list[Any], now: datetime) -> tuple[int | None, int | None]:
    """Posts created and contributors of the last day that is whole at `now`, from the daily points of time-series/v2; None without one.

    Raises:
        SourceError: no point has a field that all need.
    """
    rows = read_rows("LunarCrush time-series", items, SERIES_FIELDS).rows
    whole = [row for row in rows if row["time"] + DAY_SECONDS <= now.timestamp()]
    last = max(whole, key=lambda row: row["time"], default=None)
    return (last["posts_created"], last["contributors"]) if last else (None, None)


def _with_details(client: VendorClient, parsed: Parsed, symbols: set[str], now: datetime) -> Parsed:
    details: list[dict[str, int | None]] = []
    refusals: list[Refusal] = []
    for (coin_id,) in parsed.frame.filter(pl.col("symbol").is_in(symbols)).select("coin_id").iter_rows():
        path = SERIES.format(coin_id=coin_id)
        try:
            series = objects("LunarCrush time-series", client.get(path, bucket="day", interval="1w"), "data")
            posts_created, contributors = parse_series(series, now)
        except SourceError as error:
            refusals.append(Refusal(path, str(error), {"coin_id": coin_id}))
            continue
        details.append({"coin_id": coin_id, "posts_created": posts_created, "contributors": contributors})
    columns = ("posts_created", "contributors")
    schema = {"coin_id": pl.Int64, "posts_created": pl.Int64, "contributors": pl.Int64}
    known = pl.DataFrame(details, schema=schema)
    frame = parsed.frame.drop(columns).join(known, on="coin_id", how="left").select(parsed.frame.columns)
    return Parsed(frame, parsed.refusals + refusals, parsed.unread)
