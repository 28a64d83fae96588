"""Warning signs of the general guides, per coin: lack of information, small size, little trading, swings that nothing explains."""

from __future__ import annotations

import math
from datetime import date, timedelta

import polars as pl

MICRO_CAP_USD = 2.7e6
"""The median market capitalisation of the paper's pumped coins (V-B)."""
THIN_VALUE_USD = 10_000.0
NEW_DAYS = 30
SWING = 1.5
"""A swing is a price of the day this much above, or the inverse of it below, the close of the day before ..."""
OUTSTANDING = 3.0
"""... and so many times as large, in logarithms, as is usual: for the exchange's coins on that day, and for the coin before."""
SWING_DAYS, USUAL_DAYS, LEAST_DAYS = 7, 30, 7


def coin_flags(coins: pl.DataFrame, candles: pl.DataFrame, day: date) -> pl.DataFrame:
    """Rows of out.coin_flags without the time of computing. What is not known raises no flag.

    Args:
        coins: instrument_id, exchange, symbol (pair), link_reason, cap_source (NULL: nothing was decided), market_cap_usd, added_at.
        candles: complete days up to `day`: exchange, symbol (pair), day, high, low, close, value (USDT).
        day: as of its end.
    """
    cap, source = pl.col("market_cap_usd"), pl.col("cap_source")
    age = (pl.lit(day) - pl.col("added_at").dt.date()).dt.total_days()
    trading = _trading(candles, day)
    parts = [
        _flag(
            coins.filter(source == "unlinked"),
            "no metadata",
            pl.lit(None, pl.Float64),
            pl.format("no coin of CoinMarketCap is known to be this: {}", pl.col("link_reason").fill_null("no link was looked for")),
        ),
        _flag(
            coins.filter((source == "unreported") | (cap <= 0)),
            "unreported cap",
            pl.lit(None, pl.Float64),
            pl.lit("no vendor reports a market capitalisation"),
        ),
        _flag(
            coins.filter((source == "self-reported") & cap.is_not_null()),
            "self-reported cap",
            cap,
            _money("the capitalisation of {} USD is the project's own word", cap),
        ),
        _flag(
            coins.filter((cap > 0) & (cap < MICRO_CAP_USD)),
            "micro cap",
            cap,
            _money("worth {} USD, less than the paper's median pumped coin (2.7 million)", cap),
        ),
        _flag(
            coins.filter(age.is_between(0, NEW_DAYS)),
            "new listing",
            age.cast(pl.Float64),
            pl.format("listed by CoinMarketCap {} days before", age),
        ),
        _flag(
            coins.join(trading.filter(pl.col("value") < THIN_VALUE_USD), on=["exchange", "symbol"]),
            "thin trading",
            pl.col("value"),
            _money("a median of {} USDT traded a day in the week", pl.col("value")),
        ),
        _flag(
            coins.join(_swings(candles, day), on=["exchange", "symbol"]),
            "unexplained swing",
            pl.col("swing"),
            pl.format(
                "{}% from the close before on {}; the exchange's median coin moved {}%, the coin itself {}% on a usual day",
                *((100 * pl.col(name)).round(1) if name != "day" else pl.col(name) for name in ("swing", "day", "market", "usual")),
            ),
        ),
    ]
    return pl.concat(parts).sort("exchange", "symbol", "instrument_id", "flag").with_columns(as_of_date=pl.lit(day))


def _flag(coins: pl.DataFrame, flag: str, value: pl.Expr, reason: pl.Expr) -> pl.DataFrame:
    return coins.select("instrument_id", "exchange", "symbol", flag=pl.lit(flag), value=value, reason=reason)


def _money(words: str, amount: pl.Expr) -> pl.Expr:
    return pl.format(words, amount.round(0).cast(pl.Int128))


def _trading(candles: pl.DataFrame, day: date) -> pl.DataFrame:
    """Median value of a day of the last week; only of coins with at least three days in it."""
    week = candles.filter(pl.col("day").is_between(day - timedelta(days=SWING_DAYS - 1), day))
    return (
        week.group_by("exchange", "symbol").agg(pl.col("value").median(), pl.len().alias("days")).filter(pl.col("days") >= 3).drop("days")
    )


def _swings(candles: pl.DataFrame, day: date) -> pl.DataFrame:
    """The largest swing of the last week per coin that stands out: exchange, symbol, day, swing, market, usual (ratios)."""
    pair = ["exchange", "symbol"]
    span = candles.filter(pl.col("day").is_between(day - timedelta(days=SWING_DAYS + USUAL_DAYS), day)).sort(*pair, "day")
    before = pl.col("close").shift().over(pair)
    is_next_day = (pl.col("day") - pl.col("day").shift().over(pair)).dt.total_days() == 1
    up, down = (pl.col("high") / before).log(), (pl.col("low") / before).log()
    moves = (
        span.with_columns(move=pl.when(up.abs() >= down.abs()).then(up).otherwise(down), is_next_day=is_next_day)
        .filter(pl.col("is_next_day") & pl.col("move").is_finite())
        .with_columns(
            market=pl.col("move").abs().median().over("exchange", "day"),
            usual=pl.col("move").abs().shift().rolling_median(USUAL_DAYS, min_samples=LEAST_DAYS).over(pair),
        )
    )
    size = pl.col("move").abs()
    found = moves.filter(
        pl.col("day") > day - timedelta(days=SWING_DAYS),
        size >= math.log(SWING),
        size >= OUTSTANDING * pl.col("market"),
        size >= OUTSTANDING * pl.col("usual"),
    )
    largest = found.sort(size, descending=True).unique(pair, keep="first", maintain_order=True)
    return largest.select(*pair, "day", swing=pl.col("move").exp() - 1, market=pl.col("market").exp() - 1, usual=pl.col("usual").exp() - 1)
