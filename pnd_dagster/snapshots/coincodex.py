"""CoinCodex (https://coincodex.com/page/api/, beta, free for non-commercial use with credit): market capitalisation by day.

Documented: all_coins.json with symbol (CoinCodex's own unique one), display_symbol, name and shortname, and get_coin_history by that
symbol, two days and a number of samples. That a point is [Unix time, price, volume, market capitalisation], that the last day is
included, and that an answer is thinned to about 600 points, is what public clients observed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.settings import Settings
from pnd_dagster.snapshots.collected import Collected, Parsed
from pnd_dagster.snapshots.fields import Field, count, merged, number, objects, read_rows, text
from pnd_dagster.snapshots.http import Vendor, VendorClient
from pnd_dagster.storage import NOTHING_WRITTEN, Window, Written, read_frame, transaction, upsert
from pnd_dagster.storage.dead_letters import Refusal, dead_letters
from pnd_dagster.tables import COINCODEX_DAILY, DEAD_LETTERS, INSTRUMENTS, PUMP_EVENTS, polars_schema

COIN_LIST = "apps/coincodex/cache/all_coins.json"
HISTORY = "api/coincodex/get_coin_history/{symbol}/{first}/{last}/{samples}"
# A day's last point lies at most six hours before its end, and a span fits below the 600 points that an answer is thinned to.
SAMPLES_PER_DAY = 4
MAX_SPAN_DAYS = 120
COINS_PER_WRITE = 50
# So many coins that fail one after the other mean that CoinCodex is away, or has changed.
MAX_FAILURES_IN_A_ROW = 5

VENDOR = Vendor("coincodex", "CoinCodex", interval_seconds=0.5)

COIN_FIELDS = (
    Field("coin_id", ("shortname",), text, "identity"),
    Field("key", ("symbol",), text, "identity"),
    Field("symbol", ("display_symbol",), text, "identity"),
    Field("name", ("name",), text),
)
POINT_FIELDS = (
    Field("at", ("at",), count(), "identity"),
    Field("price_usd", ("price",), number(), "essential"),
    Field("volume_usd", ("volume",), number()),
    Field("market_cap_usd", ("market_cap",), number(), "essential"),
)
_POINT = ("at", "price", "volume", "market_cap")


class Coin(NamedTuple):
    """A coin of CoinCodex: its short name, the unique symbol it is asked by, and the symbol it shows, which others may share."""

    coin_id: str
    key: str
    symbol: str
    name: str | None


class Span(NamedTuple):
    """Days that are asked for at once, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.last - self.first).days + 1


def collect_coincodex(
    engine: sa.Engine,
    settings: Settings,
    window: Window,
    on_progress: Callable[[str], object] = lambda message: None,
    *,
    symbols: Collection[str] | None = None,
    now: datetime | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Collected:
    """Stores the daily history of coins for the whole days of `window` that are missing, one request per coin and span.

    What is there is not asked again; every `COINS_PER_WRITE` coins are committed, so a run that was broken off goes on where it was.
    Days CoinCodex has nothing of stay missing, and are asked again by the next run over them.

    Args:
        engine: the platform's database.
        settings: the address.
        window: days from its start to before its end; the current day and later ones are left out, they have not ended.
        on_progress: called with a line for a person whenever rows were committed.
        symbols: upper-case symbols of the coins; None for those of core.instruments and core.pump_events.
        now: what time it is; the clock's if not given.
        sleep: waits between requests and attempts.

    Raises:
        SourceError: CoinCodex's answers have changed, or no coin is known that could be asked for.
        TransientError: CoinCodex cannot be reached or is busy.
        DatabaseError: Postgres refused.
    """
    now = now or datetime.now(UTC)
    client = VendorClient(VENDOR, settings.coincodex_url, None, engine, sleep=sleep)
    days = _days(window, now)
    if not days:
        return _collected(client, NOTHING_WRITTEN, 0, 0, Counter(), None)
    wanted = _traded_symbols(engine) if symbols is None else set(symbols)
    if not wanted:
        raise SourceError("CoinCodex: no coin to ask for; core.instruments and core.pump_events are empty, refresh the instruments first")
    listed, refusals = parse_coins(client.get(COIN_LIST))
    coins = [coin for coin in listed if coin.symbol.upper() in wanted]
    missing = _missing_days(engine, coins, days)
    _write(engine, [], refusals, now)
    written, refused, failures, unread = NOTHING_WRITTEN, len(refusals), 0, Counter[str]()
    batch: list[Parsed] = []
    with_rows: set[str] = set()
    try:
        for done, coin in enumerate(coins, 1):
            try:
                parsed = _ask(client, coin, missing.get(coin.coin_id, days), now)
                failures = 0
            except (SourceError, TransientError) as error:
                failures += 1
                if failures == MAX_FAILURES_IN_A_ROW:
                    raise
                parsed = Parsed(_no_rows(), [Refusal(f"get_coin_history {coin.coin_id}", str(error), coin._asdict())], Counter())
            batch.append(parsed)
            refused += len(parsed.refusals)
            unread = merged([unread, parsed.unread])
            with_rows.update(parsed.frame["coin_id"])
            if len(batch) == COINS_PER_WRITE or done == len(coins):
                ready, batch = batch, []
                written += _write(engine, ready, [], now)
                on_progress(f"CoinCodex: {done} of {len(coins)} coins, {written.inserted} days new, {refused} refused")
    finally:
        # What was answered is kept, whatever ends the run.
        _write(engine, batch, [], now)
    return _collected(client, written, len(with_rows), refused, unread, len(coins))


def parse_coins(body: Any) -> tuple[list[Coin], list[Refusal]]:
    """Coins of all_coins.json, and the objects that are none.

    Raises:
        SourceError: it is no list, or no coin has a field that all need.
    """
    items = objects("CoinCodex all_coins", body)
    if not items:
        raise SourceError("CoinCodex all_coins: the list is empty")
    rows = read_rows("CoinCodex all_coins", items, COIN_FIELDS)
    return [Coin(**{name: row[name] for name in Coin._fields}) for row in rows.rows], rows.refusals


def parse_history(body: Any, coin: Coin, days: Collection[date], ingested_at: datetime) -> Parsed:
    """Rows of raw.coincodex_daily from an answer of get_coin_history: each day's last point, for the `days` alone.

    Raises:
        SourceError: the answer has no list of points, or no point could be read, or none lies near the days.
    """
    what = f"CoinCodex get_coin_history {coin.coin_id}"
    points = objects(what, body.get(coin.key, []) if isinstance(body, dict) else None)
    if not points:
        return Parsed(_no_rows(), [], Counter())
    rows = read_rows(what, points, POINT_FIELDS, view=_named)
    reach = (min(days) - timedelta(days=MAX_SPAN_DAYS), max(days) + timedelta(days=MAX_SPAN_DAYS))
    by_day: dict[date, list[dict[str, Any]]] = {}
    for row in sorted(rows.rows, key=lambda row: row["at"]):
        day = _day(row["at"])
        if day is None or not reach[0] <= day <= reach[1]:
            raise SourceError(f"{what}: a point lies at {row['at']}, far from the days that were asked for; has the API changed?")
        by_day.setdefault(day, []).append(row)
    daily = [
        {
            "coin_id": coin.coin_id,
            "day": day,
            "symbol": coin.symbol,
            "name": coin.name,
            **{name: rows_of_day[-1][name] for name in ("price_usd", "market_cap_usd", "volume_usd")},
            "payload": "[" + ",".join(row["payload"] for row in rows_of_day) + "]",
            "ingested_at": ingested_at,
        }
        for day, rows_of_day in by_day.items()
        if day in days
    ]
    return Parsed(pl.DataFrame(daily, schema=polars_schema(COINCODEX_DAILY)), rows.refusals, rows.unread)


def spans(days: Collection[date]) -> Iterator[Span]:
    """The days from the first to the last, in as few spans as fit into one answer each."""
    first, last = min(days), max(days)
    while first <= last:
        span = Span(first, min(last, first + timedelta(days=MAX_SPAN_DAYS - 1)))
        # Spans that lie in a gap between missing days have nothing to ask for.
        if any(span.first <= day <= span.last for day in days):
            yield span
        first = span.last + timedelta(days=1)


def _ask(client: VendorClient, coin: Coin, days: set[date], now: datetime) -> Parsed:
    parts = [Parsed(_no_rows(), [], Counter())]
    for span in spans(days) if days else ():
        samples = span.days * SAMPLES_PER_DAY
        path = HISTORY.format(symbol=quote(coin.key, safe=""), first=span.first, last=span.last, samples=samples)
        parts.append(parse_history(client.get(path), coin, days, now))
    return Parsed(
        pl.concat([part.frame for part in parts]),
        [refusal for part in parts for refusal in part.refusals],
        merged(part.unread for part in parts),
    )


def _named(point: Any) -> Any:
    return dict(zip(_POINT, point, strict=False)) if isinstance(point, list) else point


def _day(at: int) -> date | None:
    try:
        return datetime.fromtimestamp(at, UTC).date()
    except (OverflowError, ValueError, OSError):
        return None


def _days(window: Window, now: datetime) -> set[date]:
    first = window[0].astimezone(UTC).date()
    # A day belongs to the window when it begins in it, and is whole when the next one has begun.
    end = min((window[1] - timedelta(microseconds=1)).astimezone(UTC).date() + timedelta(days=1), now.astimezone(UTC).date())
    return {first + timedelta(days=number_) for number_ in range((end - first).days)}


def _traded_symbols(engine: sa.Engine) -> set[str]:
    statements = (sa.select(INSTRUMENTS.c.base_symbol).where(~INSTRUMENTS.c.is_derivative), sa.select(PUMP_EVENTS.c.symbol))
    with transaction(engine) as connection:
        return {symbol for statement in statements for symbol in connection.execute(statement.distinct()).scalars()}


def _missing_days(engine: sa.Engine, coins: list[Coin], days: set[date]) -> dict[str, set[date]]:
    """Days without a row, of the coins that have any row; the others miss all."""
    daily = COINCODEX_DAILY.c
    there = read_frame(engine, sa.select(daily.coin_id, daily.day).where(daily.day.between(min(days), max(days))))
    known = {coin_id: set(found) for coin_id, found in there.group_by("coin_id").agg("day").iter_rows()}
    return {coin.coin_id: days - known[coin.coin_id] for coin in coins if coin.coin_id in known}


def _write(engine: sa.Engine, batch: list[Parsed], refusals: list[Refusal], now: datetime) -> Written:
    refused = refusals + [refusal for parsed in batch for refusal in parsed.refusals]
    with transaction(engine) as connection:
        upsert(connection, DEAD_LETTERS, dead_letters(VENDOR.name, refused, refused_at=now))
        return upsert(connection, COINCODEX_DAILY, pl.concat([_no_rows(), *(parsed.frame for parsed in batch)]))


def _no_rows() -> pl.DataFrame:
    return pl.DataFrame(schema=polars_schema(COINCODEX_DAILY))


def _collected(client: VendorClient, written: Written, coins: int, refused: int, unread: Counter[str], announced: int | None) -> Collected:
    return Collected(written, coins, refused, client.usage.requests, client.usage.credits, dict(unread), announced)
