"""Which coin an event pumped, as far as our links tell; what they do not tell is said, not guessed."""

from __future__ import annotations

import polars as pl
import sqlalchemy as sa

from pnd_dagster.analysis.sources import Sources
from pnd_dagster.tables import COIN_LINKS, COINMARKETCAP_SNAPSHOTS, INSTRUMENTS

RESOLVED = ("instrument", "symbol")
"""Ways of `resolve` that name a coin."""


def resolve(events: pl.DataFrame, listings: pl.DataFrame, coins: pl.DataFrame) -> pl.DataFrame:
    """Events with coin_id and identity: how the coin was found.

    `instrument`: the exchange listed one coin under the symbol at the release, and it is linked. `symbol`: the exchange listed none that we
    know of, and of all coins that CoinMarketCap had by then only one has the symbol. `ambiguous`: several coins it may be. `unknown`: none
    that we know of. For the last two coin_id is NULL.

    Args:
        events: event_id, exchange, symbol, released_at, and whatever shall be kept.
        listings: exchange, symbol (base), valid_from, valid_to, coin_id (NULL if not linked).
        coins: coin_id, symbol, added_at (NULL if not known); several rows of a coin that was renamed.
    """
    listed = (
        events.select("event_id", "exchange", "symbol", "released_at")
        .join(listings, on=["exchange", "symbol"])
        .filter(
            (pl.col("valid_from") <= pl.col("released_at")) & (pl.col("valid_to").is_null() | (pl.col("valid_to") > pl.col("released_at")))
        )
        .group_by("event_id")
        .agg(
            listed_coin=pl.col("coin_id").min(),
            listed_coins=pl.col("coin_id").drop_nulls().n_unique(),
            unlinked=pl.col("coin_id").null_count(),
        )
    )
    named = (
        events.select("event_id", "symbol", "released_at")
        .join(coins.with_columns(pl.col("symbol").str.to_uppercase()), on="symbol")
        .filter(pl.col("added_at").is_null() | (pl.col("added_at") <= pl.col("released_at")))
        .group_by("event_id")
        .agg(named_coin=pl.col("coin_id").min(), named_coins=pl.col("coin_id").n_unique())
    )
    joined = events.join(listed, on="event_id", how="left", maintain_order="left").join(
        named, on="event_id", how="left", maintain_order="left"
    )
    is_listed = pl.col("listed_coins").is_not_null()
    by_instrument = (pl.col("listed_coins") == 1) & (pl.col("unlinked") == 0)
    by_symbol = ~is_listed & (pl.col("named_coins") == 1)
    is_unlinked = is_listed & (pl.col("listed_coins") == 0) & (pl.col("unlinked") == 1) & pl.col("named_coins").is_null()
    told = joined.with_columns(
        identity=pl.when(by_instrument)
        .then(pl.lit("instrument"))
        .when(by_symbol)
        .then(pl.lit("symbol"))
        .when(is_unlinked | (~is_listed & pl.col("named_coins").is_null()))
        .then(pl.lit("unknown"))
        .otherwise(pl.lit("ambiguous")),
        coin_id=pl.when(by_instrument).then("listed_coin").when(by_symbol).then("named_coin"),
    )
    return told.drop("listed_coin", "listed_coins", "unlinked", "named_coin", "named_coins")


def resolved_events(sources: Sources, events: pl.DataFrame) -> pl.DataFrame:
    """Events with coin_id, identity, and the coin's name and token_standard, by the listings, links and coins of the database."""
    listing, link, snapshot = INSTRUMENTS.c, COIN_LINKS.c, COINMARKETCAP_SNAPSHOTS.c
    listings = sources.select(
        sa.select(listing.exchange, listing.base_symbol.label("symbol"), listing.valid_from, listing.valid_to, link.coin_id)
        .join_from(INSTRUMENTS, COIN_LINKS, link.instrument_id == listing.instrument_id, isouter=True)
        .where(~listing.is_derivative)
    )
    coins = sources.select(
        sa.select(snapshot.coin_id, snapshot.symbol, sa.func.min(snapshot.added_at).label("added_at")).group_by(
            snapshot.coin_id, snapshot.symbol
        )
    )
    return resolve(events, listings, coins.with_columns(pl.col("added_at").cast(pl.Datetime("us", "UTC")))).join(
        coins_of(sources).select("coin_id", "name", "token_standard"), on="coin_id", how="left", maintain_order="left"
    )


def coins_of(sources: Sources) -> pl.DataFrame:
    """Each coin by its last snapshot of CoinMarketCap: coin_id, symbol, name, token_standard, is_active."""
    snapshot = COINMARKETCAP_SNAPSHOTS.c
    return sources.select(
        sa.select(snapshot.coin_id, snapshot.symbol, snapshot.name, snapshot.token_standard, snapshot.is_active)
        .distinct(snapshot.coin_id)
        .order_by(snapshot.coin_id, snapshot.snapshot_at.desc())
    )


def identities(events: pl.DataFrame) -> pl.DataFrame:
    """How many events were told apart how: identity, events, symbols."""
    return events.group_by("identity").agg(events=pl.len(), symbols=pl.col("symbol").n_unique()).sort("identity")
