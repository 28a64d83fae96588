"""Reads the daily candles of one pair: page by page, each candle checked, each day without one explained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.market.instruments import is_open_spot_market
from pnd_dagster.market.ohlcv_from_trades import candles_from_trades, trade_day
from pnd_dagster.market.ohlcv_pairs import DAY, Pair, day_start
from pnd_dagster.market.rest import ask, recent_trades
from pnd_dagster.storage.dead_letters import Refusal

# MEXC promises 1,000 and gives 500; the others as ccxt documents them.
PAGE_DAYS = {"kucoin": 1500, "mexc": 500, "poloniex": 500, "xt": 1000}
DEFAULT_PAGE_DAYS = 500
# No day has more trades or USDT than this.
MAX_EXTRA = 2**53
# Where an exchange's own candle holds the quote volume and the number of trades, which ccxt leaves out.
_EXTRAS: Mapping[str, tuple[int | str | None, int | str | None]] = {
    "kucoin": (6, None),
    "mexc": (7, None),
    "poloniex": (4, 8),
    "xt": ("v", None),
}


class PairAnswer(NamedTuple):
    """Rows of raw.ohlcv_daily and raw.ohlcv_gaps without the exchange, and what was refused."""

    candles: list[dict[str, Any]]
    gaps: list[dict[str, Any]]
    refusals: list[Refusal]


async def read_pair(client: Any, pair: Pair, clock: Callable[[], datetime]) -> tuple[PairAnswer, str | None]:
    """The days that a pair lacks, from a ccxt client whose markets are loaded; and the error, where all days became gaps by one."""
    asked_at = clock()
    market = client.safe_value(client.markets_by_id, pair.market_id, [None])[0]
    if pair.delisted_at is not None or market is None or not is_open_spot_market(market):
        return PairAnswer([], _delisted(pair, asked_at), []), None
    try:
        if client.has["fetchOHLCV"]:
            return await _read_candles(client, pair, market, clock), None
        return await _read_trades(client, pair, asked_at), None
    except (SourceError, TransientError) as error:
        return PairAnswer([], _gaps(pair, _ended(pair.days, asked_at), "refused", str(error), asked_at), []), str(error)


async def _read_candles(client: Any, pair: Pair, market: Mapping[str, Any], clock: Callable[[], datetime]) -> PairAnswer:
    rows: list[list[Any]] = []
    for first, last in pages(pair.days, PAGE_DAYS.get(client.id, DEFAULT_PAGE_DAYS)):
        rows += await _fetch_page(client, pair.market_id, first, last)
    asked_at = clock()
    candles: dict[date, dict[str, Any]] = {}
    refusals: list[Refusal] = []
    wanted = set(pair.days)
    for row in rows:
        reason = absurdity(row)
        if reason is not None:
            refusals.append(Refusal(f"{pair.symbol} {_printed_day(row[0])}", reason, row))
        elif (day := datetime.fromtimestamp(row[0] / 1_000, UTC).date()) in wanted:
            candles[day] = _candle(row, day, asked_at)
    opened = market.get("created")
    missing = [day for day in _ended(pair.days, asked_at) if day not in candles]
    before = [day for day in missing if opened and day_start(day) + DAY <= datetime.fromtimestamp(opened / 1_000, UTC)]
    refused_days = {refusal.location.rpartition(" ")[2] for refusal in refusals}
    gaps = _gaps(pair, before, "not listed", "before the market opened", asked_at)
    for day in missing[len(before) :]:
        detail = "its candle was absurd, see raw.dead_letters" if day.isoformat() in refused_days else None
        gaps += _gaps(pair, [day], "no candle", detail, asked_at)
    return PairAnswer([{"symbol": pair.symbol, **candle} for candle in candles.values()], gaps, refusals)


async def _fetch_page(client: Any, market_id: str, first: date, last: date) -> list[list[Any]]:
    """Candles of the days, as ccxt gives them, with quote volume and number of trades added (None where the exchange gives none)."""
    since = int(day_start(first).timestamp() * 1_000)
    count = (last - first).days + 1
    # Poloniex allows limits from 100 on; KuCoin reckons the end from the limit.
    limit = max(count, 100) if client.id == "poloniex" else count
    # ccxt passes MEXC's `until` on as it is, beside the endTime made of it.
    end = {"kucoin": None, "mexc": "endTime"}.get(client.id, "until")
    parameters = {} if end is None else {end: since + count * 86_400_000 - 1}
    if "parse_ohlcv" not in vars(client):
        _keep_extras(client)
    return await ask(client, "fetch_ohlcv", market_id, "1d", since, limit, parameters)


def _keep_extras(client: Any) -> None:
    parse: Callable[..., list[Any]] = client.parse_ohlcv
    fields = _EXTRAS.get(client.id, (None, None))

    def parse_with_extras(row: Any, market: Any = None) -> list[Any]:
        extras = [None if field is None else client.safe_number(row, field) for field in fields]
        return [*parse(row, market), *extras]

    client.parse_ohlcv = parse_with_extras


async def _read_trades(client: Any, pair: Pair, asked_at: datetime) -> PairAnswer:
    trades = await recent_trades(client, pair.market_id)
    made = {candle["day"]: candle for candle in candles_from_trades(trades, asked_at)}
    # Of one day the later answer holds fewer trades: what is there is kept unless there are more now.
    fresh = [
        made[day] for day in pair.days if day in made and (made[day]["is_complete"] or made[day]["trade_count"] > pair.partial.get(day, 0))
    ]
    missing = [day for day in _ended(pair.days, asked_at) if day not in made and day not in pair.partial]
    gaps: list[dict[str, Any]] = []
    for day in missing:
        is_reached = bool(trades) and trade_day(trades[0]) < day
        detail = "no trades" if is_reached else _reach(trades[0].at if trades else None)
        gaps += _gaps(pair, [day], "no candle", detail, asked_at)
    return PairAnswer([{"symbol": pair.symbol, **candle} for candle in fresh], gaps, [])


def _reach(oldest: float | None) -> str:
    if oldest is None:
        return "the exchange gave no trades"
    return f"the last trades reach back to {datetime.fromtimestamp(oldest, UTC):%Y-%m-%d %H:%M} UTC only"


def pages(days: Sequence[date], size: int) -> Iterator[tuple[date, date]]:
    """Spans of at most `size` days, first and last included, that hold all of `days` and begin and end with one of them."""
    start = 0
    while start < len(days):
        end = start
        while end + 1 < len(days) and (days[end + 1] - days[start]).days < size:
            end += 1
        yield days[start], days[end]
        start = end + 1


def absurdity(row: Sequence[Any]) -> str | None:
    """Why a candle (milliseconds, open, high, low, close, volume, quote volume, trades) cannot be true; None if it can."""
    moment, *numbers = row[:6]
    if not isinstance(moment, int) or moment % 86_400_000:
        return "does not start at midnight UTC"
    if any(not isinstance(number, int | float) or not math.isfinite(number) for number in numbers):
        return "a price or the volume is missing or not finite"
    _, high, low, _, volume = numbers
    if min(numbers[:4]) <= 0:
        return "a price is not positive"
    if high < low:
        return "the high is below the low"
    if volume < 0 or any(extra is not None and not 0 <= extra < MAX_EXTRA for extra in row[6:8]):
        return "a volume or the number of trades is negative or absurd"
    return None


def _candle(row: Sequence[Any], day: date, asked_at: datetime) -> dict[str, Any]:
    return {
        "day": day,
        **dict(zip(("open", "high", "low", "close", "volume", "quote_volume"), row[1:7], strict=True)),
        "trade_count": None if row[7] is None else int(row[7]),
        "source": "ohlcv",
        "is_complete": day_start(day) + DAY <= asked_at,
        "ingested_at": asked_at,
    }


def _delisted(pair: Pair, asked_at: datetime) -> list[dict[str, Any]]:
    """Gaps of a pair that is no longer listed, and so cannot be asked for: not listed from that day on, without a candle before."""
    since = pair.delisted_at.date() if pair.delisted_at else asked_at.date()
    detail = f"gone from the exchange's list since {since}"
    before = [day for day in pair.days if day < since]
    return _gaps(pair, before, "no candle", detail, asked_at) + _gaps(pair, pair.days[len(before) :], "not listed", detail, asked_at)


def _ended(days: Sequence[date], at: datetime) -> list[date]:
    return [day for day in days if day_start(day) + DAY <= at]


def _gaps(pair: Pair, days: Sequence[date], reason: str, detail: str | None, asked_at: datetime) -> list[dict[str, Any]]:
    clean = detail.replace("\0", "") if detail else None
    return [{"symbol": pair.symbol, "day": day, "reason": reason, "detail": clean, "asked_at": asked_at} for day in days]


def _printed_day(moment: Any) -> str:
    if not isinstance(moment, int):
        return "without a time"
    try:
        return datetime.fromtimestamp(moment / 1_000, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return str(moment)
