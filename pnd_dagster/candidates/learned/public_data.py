"""Panels from public data sets: daily tweets of 2017-18 with that time's pumps, and hourly bars of trades around pumps on Binance.

Neither allows the paper's 27 series: the first has no prices and no Bitcoin, the second two days instead of thirty.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pnd_dagster.candidates.learned.panels import DAY, Panel, Pump, Source, daily_panel
from pnd_dagster.candidates.learned.samples import CUT_BEFORE, ROW_SCHEMA, Samples
from pnd_dagster.candidates.learned.series import Floats, Form, comparable
from pnd_dagster.errors import SourceError

TWEETS = Path("market/social_twitter_daily_2017_2018.parquet")
EVENT_FILES = (Path("pump_events_sapienza.csv"), Path("pump_events_other.csv"), Path("pump_events_hu.csv"))
TRADES, TRADE_EVENTS = Path("market/binance_trades_around_pumps.parquet"), Path("market/binance_trades_events.csv")
CANDLES = Path("market/binanceus_ohlcv_1d.parquet")
ONE_PUMP = timedelta(days=1)
"""Listings of one coin so close to each other are one pump: the lists overlap, and some give the announced, some the true time."""

TRADE_BARS = 23
_HOUR_MS = 3_600_000


def tweets(folder: Path) -> Source:
    """Daily tweets of 1,441 coins, 2017-09 to 2018-08, with the pumps listed in that time: 7 of the 27 series.

    posts_created are tweets, interactions are mentions of users, social_dominance is the share of all tweets of that day that are held.

    Raises:
        SourceError: a file is not there or does not fit.
    """
    numbers = dict.fromkeys(("tweets", "user_mentions", "sentiment_mean"), pl.Float64)
    days = _parquet(folder / TWEETS, {"coin": pl.String, "day": pl.Date, **numbers})
    days = days.with_columns(social_dominance=100 * pl.col("tweets") / pl.col("tweets").sum().over("day"))
    named = days.select(
        "day",
        "coin",
        "social_dominance",
        symbol="coin",
        market=pl.lit("tweets"),
        posts_created="tweets",
        interactions="user_mentions",
        sentiment="sentiment_mean",
    )
    panel = daily_panel(named)
    held = {symbol: place for place, symbol in enumerate(panel.symbols)}
    inside = _pumps(folder).filter(pl.col("at").is_between(panel.starts_at, panel.starts_at + panel.bars * panel.bar))
    pumps = [Pump(held[coin], at) for coin, at in inside.iter_rows() if coin in held]
    return Source(
        panel,
        pumps,
        [
            f"{inside.height} pumps are listed in the time of the tweets, {len(pumps)} of a coin with tweets",
            "Bitcoin's tweets are not held: the day's median over the coins stands for its series",
            "a coin is a ticker here; which exchange listed which other coin then is not known: others are of any exchange",
        ],
    )


def trades(folder: Path, form: Form) -> tuple[Samples, list[str]]:
    """The 23 hours before each pump on Binance, and the same hours of the day before of the same coin: 11 series of hourly bars.

    Prices are Bitcoin's already, so nothing is divided; the scale is that of the coin's two windows together. A pump counts where both have
    trades in 12 hours at least.

    Raises:
        SourceError: a file is not there or does not fit.
    """
    events = _csv(folder / TRADE_EVENTS, ("event_id", "event_coin"), "event_time").unique("event_id").sort("at", "event_id")
    numbers = dict.fromkeys(("price", "amount", "btc_volume"), pl.Float64)
    rows = _parquet(folder / TRADES, {"event_id": pl.String, "timestamp_ms": pl.Int64, **numbers})
    samples: list[tuple[int, str, str, datetime, bool]] = []
    windows: list[Floats] = []
    series: list[str] = []
    left_out = 0
    for number, (event, coin, at) in enumerate(events.iter_rows()):
        own = rows.filter(pl.col("event_id") == event).sort("timestamp_ms")
        twins = [hourly(own, at - CUT_BEFORE - shift) for shift in (timedelta(0), DAY)]
        if any(np.isfinite(twin["close"]).sum() < TRADE_BARS // 2 + 1 for twin in twins):
            left_out += 1
            continue
        observed = {name: np.stack([twin[name] for twin in twins]) for name in twins[0]}
        made = comparable(observed, {name: np.ones(TRADE_BARS) for name in observed}, form)
        series = list(made)
        windows.append(np.stack(list(made.values()), axis=1))
        samples += [(number, f"{coin}, {which}", coin, at, which == "before the pump") for which in ("before the pump", "a day earlier")]
    stacked = np.concatenate(windows) if windows else np.empty((0, 0, 0))
    found = Samples(pl.DataFrame(samples, ROW_SCHEMA, orient="row"), series, stacked, {"too few trades": left_out} if left_out else {})
    return found, ["the last 23 hours instead of 30 days, the day before of the same coin instead of another coin, no Bitcoin to divide by"]


def candles(folder: Path) -> Panel:
    """Daily candles of 110 USDT pairs, 2025-03 to 2026-03, without Bitcoin's; no pump of that time is known.

    Raises:
        SourceError: the file is not there or does not fit.
    """
    numbers = dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64)
    days = _parquet(folder / CANDLES, {"symbol": pl.String, "timestamp": pl.Datetime("us", "UTC"), **numbers})
    symbol = pl.col("symbol").str.split("/").list.first()
    named = days.select(
        pl.exclude("symbol", "timestamp"),
        coin=symbol,
        symbol=symbol,
        market=pl.lit("binanceus"),
        day=pl.col("timestamp").dt.date(),
        quote_volume=pl.col("volume") * pl.col("close"),
    )
    return daily_panel(named, "BTC")


def hourly(trades: pl.DataFrame, end: datetime) -> dict[str, Floats]:
    """Bars of the `TRADE_BARS` hours before `end`: prices NaN in an hour without trades, volumes 0. Shape [bars] each.

    Args:
        trades: timestamp_ms ascending, price, amount, btc_volume of one coin.
        end: trades from then on are not read.
    """
    stop = round(end.timestamp() * 1000)
    bar = (pl.col("timestamp_ms") - (stop - TRADE_BARS * _HOUR_MS)) // _HOUR_MS
    made = (
        trades.with_columns(bar=bar)
        .filter(pl.col("bar").is_between(0, TRADE_BARS - 1))
        .group_by("bar")
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("amount").sum(),
            quote_volume=pl.col("btc_volume").sum(),
        )
    )
    whole = pl.DataFrame({"bar": range(TRADE_BARS)}).join(made, on="bar", how="left", maintain_order="left")
    return {
        name: whole[name].fill_null(0.0 if "volume" in name else float("nan")).to_numpy()
        for name in ("open", "high", "low", "close", "volume", "quote_volume")
    }


def _pumps(folder: Path) -> pl.DataFrame:
    """coin, at: of the event lists that are there, listings within `ONE_PUMP` as one, ascending in time."""
    files = [folder / name for name in EVENT_FILES if (folder / name).exists()]
    if not files:
        raise SourceError(f"{folder}: none of {', '.join(map(str, EVENT_FILES))} is there")
    listed = pl.concat(_csv(file, ("coin",), "timestamp") for file in files)
    events = listed.select(pl.col("coin").str.to_uppercase(), "at").sort("coin", "at")
    is_first = (pl.col("at").diff().over("coin") > ONE_PUMP).fill_null(True)
    return events.filter(is_first).sort("at", "coin")


def _csv(path: Path, columns: tuple[str, ...], time: str) -> pl.DataFrame:
    """The columns as text, and the time as `at`."""
    at = pl.col(time).str.replace(" ", "T").str.to_datetime(time_zone="UTC", time_unit="us")
    try:
        return pl.read_csv(path, columns=[*columns, time], infer_schema=False).select(*columns, at=at)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error


def _parquet(path: Path, schema: Mapping[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    try:
        return pl.scan_parquet(path).select(pl.col(name).cast(dtype) for name, dtype in schema.items()).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path}: {'not there' if isinstance(error, FileNotFoundError) else ' '.join(str(error).split())[:200]}")
