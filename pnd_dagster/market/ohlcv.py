"""Daily candles of all spot USDT pairs: read pair by pair, resumed where a run stopped; gaps are listed, not filled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.market.instruments import MIN_REMAINING_RATIO
from pnd_dagster.market.ohlcv_pairs import Pair, pairs_due
from pnd_dagster.market.ohlcv_reading import PairAnswer, read_pair
from pnd_dagster.market.rest import ask, open_client
from pnd_dagster.settings import Settings
from pnd_dagster.storage import NOTHING_WRITTEN, Window, Written, transaction, upsert
from pnd_dagster.storage.dead_letters import dead_letters
from pnd_dagster.tables import DEAD_LETTERS, OHLCV_DAILY, OHLCV_GAPS, polars_schema

PAIRS_PER_COMMIT = 50
# One pair that fails is a gap; so many in a row are an exchange that is gone.
MAX_FAILURES_IN_A_ROW = 8


class ExchangeCandles(NamedTuple):
    """What one exchange gave: pairs that were due, pairs read, rows written, gaps listed, candles refused, why it stopped if it did."""

    pairs: int
    pairs_read: int
    written: Written
    gaps: int
    refused: int
    error: str | None


class Collected(NamedTuple):
    """What a collection gave, in all and by exchange; `errors` of those that could not be read to the end."""

    written: Written
    gaps: int
    exchanges: dict[str, ExchangeCandles]
    errors: dict[str, str]


def collect_candles(
    engine: sa.Engine,
    settings: Settings,
    window: Window,
    on_progress: Callable[[str, int, int], object] = lambda exchange, done, pairs: None,
    *,
    now: datetime | None = None,
) -> Collected:
    """Stores the daily candles of all instruments of core.instruments for the days that start in `window`.

    Exchanges are asked at the same time, the pairs of one in turn, as fast as it allows. What is there and complete is not asked for
    again, and every `PAIRS_PER_COMMIT` pairs are committed: a run that was ended goes on where it stopped.

    Args:
        engine: the platform's database.
        settings: which exchanges, and where.
        window: start, included, and end, excluded; any number of days. Days that have not begun are left out.
        on_progress: called with exchange, pairs done and pairs that are due.
        now: the present; the clock's if None.

    Raises:
        TransientError: not one pair of any exchange could be read.
        SettingError: ccxt does not know an exchange.
    """
    run = _Run(engine, settings.exchange_url, window, on_progress, now)
    results = dict(zip(settings.exchanges, asyncio.run(_collect_all(run, settings.exchanges)), strict=True))
    errors = {exchange: result.error for exchange, result in results.items() if result.error is not None}
    if errors and len(errors) == len(results) and not any(result.pairs_read for result in results.values()):
        raise TransientError("no exchange gave candles: " + "; ".join(errors.values()))
    written = sum((result.written for result in results.values()), NOTHING_WRITTEN)
    return Collected(written, sum(result.gaps for result in results.values()), results, errors)


class _Run(NamedTuple):
    engine: sa.Engine
    url: str | None
    window: Window
    on_progress: Callable[[str, int, int], object]
    fixed_now: datetime | None

    def now(self) -> datetime:
        return self.fixed_now or datetime.now(UTC)


async def _collect_all(run: _Run, exchanges: Sequence[str]) -> list[ExchangeCandles]:
    return await asyncio.gather(*(_collect_exchange(run, exchange) for exchange in exchanges))


async def _collect_exchange(run: _Run, exchange: str) -> ExchangeCandles:
    total = ExchangeCandles(0, 0, NOTHING_WRITTEN, 0, 0, None)
    try:
        pairs = await asyncio.to_thread(pairs_due, run.engine, exchange, run.window, run.now())
        total = total._replace(pairs=len(pairs))
        async with open_client(exchange, url=run.url) as client:
            if pairs:
                await ask(client, "load_markets")
                _check_markets(client, pairs)
            failures = 0
            for start in range(0, len(pairs), PAIRS_PER_COMMIT):
                answers: list[PairAnswer] = []
                for pair in pairs[start : start + PAIRS_PER_COMMIT]:
                    answer, error = await read_pair(client, pair, run.now)
                    failures = failures + 1 if error else 0
                    if failures >= MAX_FAILURES_IN_A_ROW:
                        total = total._replace(
                            error=f"{error} ({failures} pairs in a row; stopped after {total.pairs_read} of {len(pairs)})"
                        )
                        break
                    answers.append(answer)
                    total = total._replace(pairs_read=total.pairs_read + (error is None))
                total = await asyncio.to_thread(_store, run, exchange, answers, total)
                run.on_progress(exchange, min(start + PAIRS_PER_COMMIT, len(pairs)), len(pairs))
                if total.error:
                    break
    except (SourceError, TransientError) as error:
        total = total._replace(error=str(error))
    return total


def _check_markets(client: Any, pairs: Sequence[Pair]) -> None:
    """Raises a SourceError if the exchange's list lacks most of the open pairs: they are not all delisted, the answer is broken."""
    expected = [pair for pair in pairs if pair.delisted_at is None]
    found = sum(pair.market_id in client.markets_by_id for pair in expected)
    if found < MIN_REMAINING_RATIO * len(expected):
        raise SourceError(
            f"{client.id}: lists {found} of {len(expected)} known pairs; taken for a broken answer, or refresh the instruments"
        )


def _store(run: _Run, exchange: str, answers: Sequence[PairAnswer], total: ExchangeCandles) -> ExchangeCandles:
    name = pl.lit(exchange).alias("exchange")
    candles = _frame([candle for answer in answers for candle in answer.candles], OHLCV_DAILY).with_columns(name)
    gaps = _frame([gap for answer in answers for gap in answer.gaps], OHLCV_GAPS).with_columns(name)
    refusals = [refusal for answer in answers for refusal in answer.refusals]
    with transaction(run.engine) as connection:
        written = upsert(connection, OHLCV_DAILY, candles)
        upsert(connection, OHLCV_GAPS, gaps)
        upsert(connection, DEAD_LETTERS, dead_letters(f"{exchange} ohlcv", refusals, refused_at=run.now()))
        if not candles.is_empty():
            candle, gap = OHLCV_DAILY.c, OHLCV_GAPS.c
            is_filled = sa.exists().where(candle.exchange == gap.exchange, candle.symbol == gap.symbol, candle.day == gap.day)
            symbols = candles["symbol"].unique().to_list()
            connection.execute(sa.delete(OHLCV_GAPS).where(gap.exchange == exchange, gap.symbol.in_(symbols), is_filled))
    return total._replace(written=total.written + written, gaps=total.gaps + gaps.height, refused=total.refused + len(refusals))


def _frame(rows: list[dict[str, Any]], table: sa.Table) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={name: dtype for name, dtype in polars_schema(table).items() if name != "exchange"})
