"""Made-up markets around made-up pumps, as files that `pnd backtest` reads: trades, order books and events.

A coin's trades come in clusters (a self-exciting process: each draws others after it), with heavy-tailed sizes and a price that wanders;
its books lean to one side and back. Before a pump somebody accumulates: the *strength* of that signal, 0 to 1, is declared. At 1 the last
hour has three times the coin's usual trades, nearly all of them purchases, more and more towards the start, and the bids of the book
grow to twice their size; at 0 there is nothing to find. It proves that the machinery finds what is there, never how well it would do on
real markets.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FIRST_EVENT_AT = datetime(2024, 1, 10, 17, tzinfo=UTC)
SIGNAL_MS = 3_600_000
"""Accumulation lasts the last hour before the start."""

BOOK_LEVELS = 5
_HOUR_MS = 3_600_000
_EXTRA_TRADES = 3.0
_EXTRA_BIDS = 1.0
_PUMP_TRADES = 400


class MadeUpTrades(NamedTuple):
    """[trades] each, ascending in time: milliseconds since 1970, BTC, base units, 1 where the taker bought and -1 where he sold."""

    times: NDArray[np.int64]
    prices: Floats
    amounts: Floats
    sides: NDArray[np.int64]


class MadeUpBooks(NamedTuple):
    """Books, ascending in time: times [books] in milliseconds since 1970; BTC and base units [books, levels], best first."""

    times: NDArray[np.int64]
    bid_prices: Floats
    bid_amounts: Floats
    ask_prices: Floats
    ask_amounts: Floats


class MadeUpCoin(NamedTuple):
    """What is known of a coin around a moment."""

    trades: MadeUpTrades
    books: MadeUpBooks


def make_coin(
    seed: int, at: int, *, hours_before: float, strength: float = 0.0, is_pumped: bool = False, book_seconds: int = 60
) -> MadeUpCoin:
    """A coin's trades and books up to `at`, and for an hour after it if it is pumped then.

    Coins of one seed differ only by the signal and the pump.

    Args:
        seed: of the coin.
        at: milliseconds since 1970.
        hours_before: length before `at`.
        strength: of the accumulation in the hour before `at`, 0 to 1.
        is_pumped: whether a pump follows.
        book_seconds: a book comes so often.
    """
    rng, signal_rng = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    start = at - round(hours_before * _HOUR_MS)
    per_hour = float(np.exp(rng.normal(np.log(25), 0.9)))
    times, sides = _clusters(rng, start, at, per_hour)
    typical = float(np.exp(rng.normal(5, 1)))
    amounts = typical * np.exp(rng.normal(0, 1.4, len(times)))
    first_price = float(10 ** rng.uniform(-6, -4))
    steps = rng.normal(0, 0.0006, len(times))
    books_rng = np.random.default_rng([seed, 2])

    bought = signal_rng.poisson(strength * _EXTRA_TRADES * per_hour)
    # The square root of a uniform number: more and more towards the start.
    bought_at = at - SIGNAL_MS + np.floor(SIGNAL_MS * np.sqrt(signal_rng.random(bought))).astype(np.int64)
    is_purchase = np.where(signal_rng.random(bought) < 0.9, 1, -1)
    bought_amounts = typical * np.exp(signal_rng.normal(0, 1.4, bought))
    rising = np.abs(signal_rng.normal(0.0004, 0.0004, bought))
    parts = [(times, sides, amounts, steps), (bought_at, is_purchase, bought_amounts, rising)]
    if is_pumped:
        parts.append(_pump(signal_rng, at, typical))
    times, sides, amounts, steps = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(times, kind="stable")
    # A price that comes back: it stays within some percent of where it began, but for the pump.
    prices = first_price * np.exp(_wandering(steps[order], 0.002) + 0.0005 * sides[order])
    trades = MadeUpTrades(times[order], prices, amounts[order], sides[order])
    return MadeUpCoin(trades, _books(books_rng, trades, start, at, first_price, typical, strength, book_seconds))


def write_pump_history(folder: Path, *, events: int, strength: float, seed: int = 0, hours_before: float = 48) -> tuple[Path, Path, Path]:
    """Writes trades.parquet, books.parquet and events.csv of pumps, one coin each, two days apart; the same arguments, the same files.

    Args:
        folder: made if it is not there.
        events: pumps.
        strength: of the signal before each, 0 to 1.
        seed: of everything.
        hours_before: length of the data before each pump.

    Returns:
        The three paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trades, books, rows = list[pl.DataFrame](), list[pl.DataFrame](), list[dict[str, str]]()
    for number in range(events):
        starts_at = FIRST_EVENT_AT + number * timedelta(days=2)
        coin, event_id = f"MADE{number:03}", f"MADE{number:03}_{starts_at:%Y%m%dT%H%MZ}"
        made = make_coin(
            seed * 100_003 + number,
            round(starts_at.timestamp() * 1000),
            hours_before=hours_before,
            strength=strength,
            is_pumped=True,
        )
        trades.append(_trade_rows(event_id, made.trades))
        books.append(_book_rows(event_id, made.books))
        rows.append({"event_id": event_id, "event_coin": coin, "event_time": starts_at.isoformat(" ")})
    paths = folder / "trades.parquet", folder / "books.parquet", folder / "events.csv"
    pl.concat(trades).write_parquet(paths[0])
    pl.concat(books).write_parquet(paths[1])
    pl.DataFrame(rows).write_csv(paths[2])
    return paths


def _clusters(rng: np.random.Generator, start: int, end: int, per_hour: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Times and sides of trades that draw others after them: half of all trades come so, within a minute, mostly on the same side."""
    hours = (end - start) / _HOUR_MS
    parents = np.sort(rng.uniform(start, end, rng.poisson(hours * per_hour / 2)))
    children = rng.geometric(0.5, len(parents)) - 1
    first = np.repeat(np.arange(len(parents)), children)
    times = np.concatenate((parents, parents[first] + rng.exponential(20_000, len(first))))
    sides = np.where(rng.random(len(parents)) < 0.5, 1, -1)
    of_children = np.where(rng.random(len(first)) < 0.8, sides[first], -sides[first])
    is_inside = times < end
    order = np.argsort(times[is_inside], kind="stable")
    return np.floor(times[is_inside][order]).astype(np.int64), np.concatenate((sides, of_children))[is_inside][order]


def _pump(rng: np.random.Generator, at: int, typical: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    times = at + 1 + np.sort(np.floor(rng.exponential(5 * 60_000, _PUMP_TRADES))).astype(np.int64)
    sides = np.where(rng.random(_PUMP_TRADES) < np.linspace(0.95, 0.2, _PUMP_TRADES), 1, -1)
    return times, sides, 5 * typical * np.exp(rng.normal(0, 1.4, _PUMP_TRADES)), 0.003 * sides


def _wandering(steps: Floats, pull: float) -> Floats:
    """Sums of `steps`, drawn back to 0 by `pull` a step."""
    weight = (1 - pull) ** np.arange(min(len(steps), 2_000))
    return np.convolve(steps, weight)[: len(steps)]


def _books(
    rng: np.random.Generator, trades: MadeUpTrades, start: int, end: int, first_price: float, typical: float, strength: float, every: int
) -> MadeUpBooks:
    times = np.arange(start + int(rng.integers(1, every * 1000)), end + 1, every * 1000, dtype=np.int64)
    count, shape = len(times), (len(times), BOOK_LEVELS)
    last = np.searchsorted(trades.times, times, side="right") - 1
    mid = np.where(last >= 0, trades.prices[np.maximum(last, 0)], first_price)[:, None]
    lean = _wandering(rng.normal(0, 0.06, count), 0.02)[:, None]
    spread = 0.002 * np.exp(_wandering(rng.normal(0, 0.05, count), 0.05))[:, None]
    level = 1 + 0.5 * np.arange(BOOK_LEVELS)
    bids, asks = (3 * typical * np.exp(sign * lean + rng.normal(0, 0.3, shape)) for sign in (1, -1))
    grown = 1 + strength * _EXTRA_BIDS * np.clip((times - (end - SIGNAL_MS)) / SIGNAL_MS, 0, 1)[:, None]
    return MadeUpBooks(times, mid * (1 - spread * level), bids * grown, mid * (1 + spread * level), asks)


def _trade_rows(event_id: str, trades: MadeUpTrades) -> pl.DataFrame:
    return pl.DataFrame({"timestamp_ms": trades.times, "side": trades.sides, "price": trades.prices, "amount": trades.amounts}).select(
        pl.lit(event_id).alias("event_id"),
        "timestamp_ms",
        pl.col("side").replace_strict({1: "buy", -1: "sell"}, return_dtype=pl.String),
        "price",
        "amount",
        (pl.col("price") * pl.col("amount")).alias("btc_volume"),
    )


def _book_rows(event_id: str, books: MadeUpBooks) -> pl.DataFrame:
    level = np.tile(np.arange(BOOK_LEVELS), len(books.times))
    times = np.repeat(books.times, BOOK_LEVELS)
    sides = (("bid", books.bid_prices, books.bid_amounts), ("ask", books.ask_prices, books.ask_amounts))
    return pl.concat(
        pl.DataFrame({"timestamp_ms": times, "level": level, "price": prices.ravel(), "amount": amounts.ravel()}).select(
            pl.lit(event_id).alias("event_id"), "timestamp_ms", pl.lit(side).alias("side"), "level", "price", "amount"
        )
        for side, prices, amounts in sides
    ).sort("timestamp_ms", "side", "level")
