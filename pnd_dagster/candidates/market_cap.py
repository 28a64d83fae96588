"""The market-cap filter of the paper's section V-B: coins of 0 (unreported) to 60 million USD are the ones that groups pump.

Belongs here: the decision for a day with what was known by its end. Does not belong here: which coin an instrument trades (`links`).
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from pnd_dagster.candidates.names import normalised_name
from pnd_dagster.tables import CANDIDATE_COINS, polars_schema

# A capitalisation older than this says nothing of the day.
MAX_CAP_AGE = timedelta(days=30)


def decide(
    listed: pl.DataFrame, snapshots: pl.DataFrame, histories: pl.DataFrame, identities: pl.DataFrame, max_cap_usd: float
) -> pl.DataFrame:
    """Rows of core.candidate_coins: each instrument and day in or out, and why.

    The capitalisation is that of the last snapshot known by the day's end: CoinMarketCap's own, else the project's, else CoinCodex's; NULL
    and 0 are unreported. Out are derivative tokens and coins above `max_cap_usd`; an instrument without a coin is in.

    Args:
        listed: instruments on days on which they were listed: instrument_id, as_of_date (UTC), exchange, symbol, is_derivative,
            derivative_of, coin_id, link_reason.
        snapshots: of CoinMarketCap, any order: coin_id, snapshot_at, market_cap_usd, self_reported_market_cap_usd.
        histories: of CoinCodex by day, any order: symbol, name, codex_id, day, market_cap_usd (at the day's end).
        identities: coin_id, symbol, name of CoinMarketCap's coins, by which CoinCodex's are found; several rows of a coin that was renamed.
        max_cap_usd: the most that a candidate may be worth, included.
    """
    caps = (
        listed.with_columns(asked_at=_end_of(pl.col("as_of_date")))
        .pipe(_join_as_of, _reported(snapshots), "snapshot_at")
        .pipe(_join_as_of, _codex(histories, identities), "codex_at")
    )
    has_coin, is_derivative = pl.col("coin_id").is_not_null(), pl.col("is_derivative")
    is_in_snapshot = pl.col("verified").is_not_null() | pl.col("self_reported").is_not_null()
    source = (
        pl.when(~has_coin)
        .then(pl.lit("unlinked"))
        .when(pl.col("verified").is_not_null())
        .then(pl.lit("coinmarketcap"))
        .when(pl.col("self_reported").is_not_null())
        .then(pl.lit("self-reported"))
        .when(pl.col("codex").is_not_null())
        .then(pl.lit("coincodex"))
        .otherwise(pl.lit("unreported"))
    )
    decided = caps.with_columns(
        market_cap_usd=pl.coalesce("verified", "self_reported", "codex"),
        cap_as_of=pl.when(is_in_snapshot).then(pl.col("snapshot_at")).when(pl.col("codex").is_not_null()).then(pl.col("codex_at")),
        cap_source=source,
    ).with_columns(is_candidate=~is_derivative & (pl.col("market_cap_usd").fill_null(0.0) <= max_cap_usd))
    return decided.with_columns(reason=_reason(max_cap_usd)).select(polars_schema(CANDIDATE_COINS).names())


def _reported(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Snapshots as they are, unreported capitalisations as NULL: what was reported once and no longer is, is unreported."""
    return snapshots.select(
        "coin_id",
        "snapshot_at",
        verified=pl.when(_is_reported("market_cap_usd")).then("market_cap_usd"),
        self_reported=pl.when(_is_reported("self_reported_market_cap_usd")).then("self_reported_market_cap_usd"),
    )


def _codex(histories: pl.DataFrame, identities: pl.DataFrame) -> pl.DataFrame:
    """CoinCodex's capitalisations by CoinMarketCap's id; coins that several share the symbol and name with are left out."""
    keys = ["symbol_key", "name_key"]
    coins = _keyed(identities).select("coin_id", *keys).unique()
    codex = _keyed(histories.select("codex_id", "symbol", "name").unique()).select("codex_id", *keys).unique()
    pairs = coins.join(codex, on=keys).select("coin_id", "codex_id").unique()
    is_single = (pl.len().over("coin_id") == 1) & (pl.len().over("codex_id") == 1)
    return (
        histories.filter(_is_reported("market_cap_usd"))
        .join(pairs.filter(is_single), on="codex_id")
        .select("coin_id", codex_at=_end_of(pl.col("day")), codex="market_cap_usd")
    )


def _keyed(coins: pl.DataFrame) -> pl.DataFrame:
    named = coins.with_columns(
        symbol_key=pl.col("symbol").str.to_uppercase(), name_key=pl.col("name").map_elements(normalised_name, return_dtype=pl.String)
    )
    return named.filter(pl.col("name_key") != "")


def _end_of(day: pl.Expr) -> pl.Expr:
    return (day + timedelta(days=1)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _is_reported(cap: str) -> pl.Expr:
    return pl.col(cap).is_finite() & (pl.col(cap) > 0)


def _join_as_of(listed: pl.DataFrame, caps: pl.DataFrame, known_at: str) -> pl.DataFrame:
    """Each instrument with the row of its coin that was the last one known at `asked_at`."""
    return listed.sort("asked_at").join_asof(
        caps.sort(known_at),
        left_on="asked_at",
        right_on=known_at,
        by="coin_id",
        strategy="backward",
        tolerance=MAX_CAP_AGE,
        coalesce=False,
        check_sortedness=False,
    )


def _reason(max_cap_usd: float) -> pl.Expr:
    cap = pl.col("market_cap_usd")
    # CoinCodex's value of a day is known at its end, the next day's first moment.
    known_at = pl.when(pl.col("cap_source") == "coincodex").then(pl.col("cap_as_of").dt.offset_by("-1d")).otherwise(pl.col("cap_as_of"))
    amount = _dollars(cap) + pl.lit(" USD of ") + known_at.dt.strftime("%Y-%m-%d") + pl.lit(", ")
    vendor = pl.col("cap_source").replace_strict(
        {"coinmarketcap": "CoinMarketCap", "self-reported": "self-reported at CoinMarketCap", "coincodex": "CoinCodex"}, default=""
    )
    limit = pl.when(cap > max_cap_usd).then(pl.lit(": above ") + _dollars(pl.lit(max_cap_usd))).otherwise(pl.lit(""))
    return (
        pl.when(pl.col("is_derivative"))
        .then(pl.lit("derivative token of ") + pl.col("derivative_of").fill_null("an unknown coin"))
        .when(pl.col("coin_id").is_null())
        .then(pl.lit("market cap unknown: ") + pl.col("link_reason").fill_null("not linked to a coin yet"))
        .when(cap.is_null())
        .then(pl.lit(f"no market cap reported in the {MAX_CAP_AGE.days} days before"))
        .otherwise(pl.lit("market cap ") + amount + vendor + limit)
    )


def _dollars(amount: pl.Expr) -> pl.Expr:
    """Three significant digits in words: 950, 12.3 thousand, 2.7 million, 1.2 billion."""
    rounded = amount.round_sig_figs(3)
    scaled = pl.lit("")
    for unit, word in ((1.0, ""), (1e3, " thousand"), (1e6, " million"), (1e9, " billion")):
        digits = (rounded / unit).round_sig_figs(3).cast(pl.String).str.strip_suffix(".0")
        scaled = pl.when(rounded >= unit).then(digits + pl.lit(word)).otherwise(scaled)
    return pl.when(rounded < 1.0).then(pl.lit("less than 1")).otherwise(scaled)
